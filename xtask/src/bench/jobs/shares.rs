//! The processor time of a tree that has nothing to do, and of one whose gateways all die again and again.

use std::collections::BTreeMap;
use std::process::Child;
use std::time::Duration;

use anyhow::{Context, Result};

use super::super::processor::share;
use super::super::sample::{Figure, Side};
use super::super::testbed::Home;
use super::super::up::Up;
use super::{Bench, Job, Rule};
use crate::processes::Process;

const IDLE: &str = "idle tree and dashboard, liveness on";
const CRASHING: &str = "tree whose gateways all crash, with their restarts";

impl Bench<'_> {
    /// Measures both with this many gateways, each once for `window`.
    pub(in crate::bench) fn shares(&self, gateways: usize, window: Duration) -> Result<Vec<Job>> {
        let home = self.testbed.serving(&format!("idle-tree-{gateways}"), gateways)?;
        home.intend("running")?;
        let is_gateway = |process: &Process| process.args.iter().any(|arg| arg == "--foreground");
        let up = Up::start(self.testbed, &home)?;
        let dashboard = Dashboard::start(self, &home)?;
        let idle = self.share(IDLE, &home, window, 1.0, is_gateway)?;
        drop(dashboard);
        up.end()?;

        let home = self.testbed.home(&format!("crashing-{gateways}"), gateways, false)?;
        home.crash()?;
        let up = Up::start_failing(self.testbed, &home)?;
        let crashing = self.share(CRASHING, &home, window, 20.0, |_| false)?;
        up.end()?;
        Ok(vec![idle, crashing])
    }

    fn share(
        &self,
        name: &'static str,
        home: &Home,
        window: Duration,
        limit: f64,
        spared: impl Fn(&Process) -> bool,
    ) -> Result<Job> {
        super::super::print(format_args!("{name}, {} gateways", home.profiles));
        let share = share(home, window, spared)?;
        let figure = Figure::of(vec![share]).context("a sample")?;
        let figures = BTreeMap::from([(Side::Hermes, figure)]);
        let (profiles, rules) = (Some(home.profiles), vec![Rule::AtMost(limit)]);
        Ok(Job { name, profiles, unit: "% of a core", figures, rules })
    }
}

/// A dashboard without a browser, killed on drop.
struct Dashboard(Child);

impl Dashboard {
    fn start(bench: &Bench<'_>, home: &Home) -> Result<Self> {
        let mut command = bench.testbed.hermes(home, &["dashboard", "--port", "0"]);
        command.stderr(std::process::Stdio::null());
        Ok(Self(command.spawn().context("failed to run the dashboard")?))
    }
}

impl Drop for Dashboard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
