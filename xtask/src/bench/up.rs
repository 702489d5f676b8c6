//! `hermes up` on a home, from the moment when all gateways are ready until its end.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::process::Child;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;

use super::testbed::{Home, Testbed, milliseconds};
use crate::{processes, wait};

/// How often its log is read, which has a line or more for each gateway.
const POLL: Duration = Duration::from_millis(50);

/// A `hermes up` whose gateways are all ready, ended on drop.
pub(super) struct Up<'a> {
    home: &'a Home,
    child: Child,
}

impl<'a> Up<'a> {
    /// Starts it, and returns once it has started all gateways.
    pub(super) fn start(testbed: &Testbed, home: &'a Home) -> Result<Self> {
        Self::start_until(testbed, home, home.profiles, Duration::from_secs(300))
    }

    /// Starts it, and returns once it has tried to start all gateways, none of which comes up.
    pub(super) fn start_failing(testbed: &Testbed, home: &'a Home) -> Result<Self> {
        // The restarts of those that have failed already have the cores, too.
        Self::start_until(testbed, home, 0, Duration::from_secs(1200))
    }

    fn start_until(
        testbed: &Testbed,
        home: &'a Home,
        gateways: usize,
        timeout: Duration,
    ) -> Result<Self> {
        let path = testbed.path().join("up.log");
        let log = File::create(&path)?;
        let mut command = testbed.hermes(home, &["up"]);
        // Only the bench gets Ctrl-C; it then stops its trees.
        command.process_group(0).stdout(log.try_clone()?).stderr(log);
        let mut up = Self { home, child: command.spawn().context("failed to run hermes")? };
        let started = format!("gateways started: {gateways}");
        wait::until(timeout, POLL, "`hermes up` has started all gateways", || {
            let log = fs::read_to_string(&path)?;
            ensure!(up.child.try_wait()?.is_none(), "`hermes up` has ended: {log}");
            Ok(log.lines().any(|line| line.contains(&started)))
        })?;
        Ok(up)
    }

    /// Ends it, and returns how many milliseconds that took.
    pub(super) fn end(self) -> Result<f64> {
        let pid = self.child.id();
        self.ended_by(pid, Signal::TERM)
    }

    /// Kills its s6-svscan, and returns how many milliseconds it took to end what that left.
    pub(super) fn lose(self) -> Result<f64> {
        let all = processes::mentioning(&self.home.scandir)?;
        let is_svscan = |process: &&processes::Process| {
            process.parent == self.child.id() && process.runs("s6-svscan")
        };
        let svscan = all.iter().find(is_svscan).context("`hermes up` runs no s6-svscan")?.pid;
        self.ended_by(svscan, Signal::KILL)
    }

    fn ended_by(mut self, pid: u32, signal: Signal) -> Result<f64> {
        let start = Instant::now();
        processes::signal(pid, signal)?;
        self.child.wait()?;
        let took = milliseconds(start.elapsed());
        let left = processes::mentioning(&self.home.path)?;
        ensure!(left.is_empty(), "the tree has left processes: {left:?}");
        Ok(took)
    }
}

impl Drop for Up<'_> {
    fn drop(&mut self) {
        // After its end this does nothing.
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = processes::signal(self.child.id(), Signal::TERM);
            let _ = self.child.wait();
        }
    }
}
