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

/// The longest delay before a restart, and the number of deaths in a row after which it begins.
const LONGEST_DELAY: (Duration, u32) = (Duration::from_secs(30), 6);

/// At least `window`, in which each gateway restarts equally often.
fn whole_delays(window: Duration) -> Duration {
    let (delay, _) = LONGEST_DELAY;
    delay * u32::try_from(window.as_secs().div_ceil(delay.as_secs()).max(1)).unwrap_or(1)
}

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
        super::super::print(format_args!("waiting for the longest delay of {gateways} gateways"));
        home.await_deaths(LONGEST_DELAY.1)?;
        let crashing = self.share(CRASHING, &home, whole_delays(window), 20.0, |_| false)?;
        let parked = home.parked();
        up.end()?;
        // A tenth death parks a gateway, which then costs nothing.
        if parked > 0 {
            super::super::print(format_args!("{CRASHING}: left out, since {parked} gave up"));
            return Ok(vec![idle]);
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_has_whole_delays() {
        let window = |seconds| whole_delays(Duration::from_secs(seconds)).as_secs();
        assert_eq!([0, 20, 30, 31, 60].map(window), [30, 30, 30, 60, 60]);
    }
}
