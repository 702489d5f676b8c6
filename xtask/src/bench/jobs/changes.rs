//! Jobs that start, restart and stop many built-in gateways, each until all of them are ready or down.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use super::super::s6;
use super::super::sample::{Figure, Sampler, Side, take_each};
use super::super::testbed::{Home, run, time};
use super::{Bench, Job, Rule};

/// The jobs of one sample, in their order: before and after it all gateways are down.
pub(in crate::bench) const CHANGES: [(&str, &str); 3] = [
    ("start", "gateway start --all"),
    ("restart", "gateway restart --all"),
    ("stop", "gateway stop --all"),
];
const BOOT_READY: &str = "boot until all are ready";
/// No more samples than this, since each takes seconds.
const MOST_RUNS: usize = 5;

impl Bench<'_> {
    /// Measures the jobs on this many gateways.
    pub(in crate::bench) fn with_running(&self, gateways: usize) -> Result<Vec<Job>> {
        let home = self.testbed.serving(&format!("running-{gateways}"), gateways)?;
        let mut jobs = self.changes(&home)?;
        home.intend("running")?;
        jobs.push(self.boot_ready(&home)?);
        jobs.extend(self.ends(&home)?);
        Ok(jobs)
    }

    fn changes(&self, home: &Home) -> Result<Vec<Job>> {
        let _tree = home.tree()?;
        run(&mut self.testbed.hermes(home, &["boot"]), &[0])?;
        self.scripts(home)?;
        let scandir = &*home.scandir.to_string_lossy();
        let hermes = |verb| time(self.testbed.hermes(home, &["gateway", verb, "--all"]), &[0]);
        let floor = |verb| time(self.testbed.floor(home, &[verb, scandir]), &[0]);
        // The Python implementation leaves records of its own in a home.
        let beside = self
            .peer
            .map(|_| self.testbed.serving(&format!("python-{}", home.profiles), home.profiles));
        let beside = beside.transpose()?;
        let mut sides: Vec<Sampler<'_, _>> = vec![
            (Side::Hermes, Box::new(|| each(hermes))),
            (Side::Floor, Box::new(|| each(floor))),
            (Side::S6, Box::new(|| each(|verb| s6::change(home, verb)))),
        ];
        sides.extend(self.supervisor.map(|supervisor| -> Sampler<'_, _> {
            let sample = || {
                let running = supervisor.start(self.testbed, home)?;
                let times = each(|verb| running.change(verb))?;
                drop(running);
                // Nothing but the next start looks for what gateways of another supervisor have left: each for its own.
                run(&mut self.testbed.hermes(home, &["gateway", "stop", "--all"]), &[0])?;
                Ok(times)
            };
            (Side::Supervisord, Box::new(sample))
        }));
        sides.extend(beside.as_ref().map(|home| -> Sampler<'_, _> {
            let sample = || {
                let _tree = home.tree()?;
                run(&mut self.testbed.hermes(home, &["boot"]), &[0])?;
                let functions = self.functions(home)?.context("it is measured")?;
                each(|verb| functions.borrow_mut().call(verb))
            };
            (Side::Peer, Box::new(sample))
        }));
        let names = CHANGES.map(|(_, name)| name);
        self.seconds(names, home, &[Rule::Times(Side::Floor, 1.5)], sides)
    }

    /// Measures a boot of a home whose gateways are all to run. Each sample has a tree of its own.
    fn boot_ready(&self, home: &Home) -> Result<Job> {
        let scripts = self.testbed.path().join("scripts");
        let [path, scandir, scripts] =
            [&home.path, &home.scandir, &scripts].map(|path| path.to_string_lossy());
        let floor = ["boot-ready", &*path, &*scandir, &*scripts];
        let sides: Vec<Sampler<'_, _>> = vec![
            (
                Side::Hermes,
                Box::new(|| {
                    let _tree = home.tree()?;
                    time(self.testbed.hermes(home, &["boot"]), &[0]).map(|time| [time])
                }),
            ),
            (
                Side::Floor,
                Box::new(|| {
                    let _tree = home.tree()?;
                    time(self.testbed.floor(home, &floor), &[0]).map(|time| [time])
                }),
            ),
        ];
        let rules = [Rule::Times(Side::Floor, 1.3)];
        let jobs = self.seconds([BOOT_READY], home, &rules, sides)?;
        jobs.into_iter().next().context("one job")
    }

    /// As [`Bench::job`], of jobs that take seconds.
    pub(super) fn seconds<const N: usize>(
        &self,
        names: [&'static str; N],
        home: &Home,
        rules: &[Rule],
        sides: Vec<Sampler<'_, [f64; N]>>,
    ) -> Result<Vec<Job>> {
        let profiles = Some(home.profiles);
        super::super::print(format_args!("{}, {} gateways", names.join(", "), home.profiles));
        let figures = take_each(self.runs.min(MOST_RUNS), self.interrupted, sides)
            .with_context(|| format!("failed to measure `{}`", names.join("`, `")))?;
        let job = |(name, figures): (_, BTreeMap<Side, Figure>)| Job {
            name,
            profiles,
            unit: "ms",
            figures,
            rules: rules.to_vec(),
        };
        Ok(names.into_iter().zip(figures).map(job).collect())
    }
}

/// The times of all [`CHANGES`].
fn each(change: impl Fn(&'static str) -> Result<f64>) -> Result<[f64; CHANGES.len()]> {
    let mut times = [0.0; CHANGES.len()];
    for (time, (verb, _)) in times.iter_mut().zip(CHANGES) {
        *time = change(verb)?;
    }
    Ok(times)
}
