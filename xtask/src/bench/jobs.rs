//! The jobs that are measured, the programs that do each, and the limits for Hermes.

mod changes;
mod ends;
mod queries;
mod registered;
mod registration;
mod shares;
mod single;

pub(super) use changes::CHANGES;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};

use super::peer::{Functions, Peer};
use super::sample::{Figure, Sampler, Side, take};
use super::supervisord::Supervisor;
use super::testbed::{Home, ONE_RUNS_OF, Testbed, run, time};

/// The number of profiles from which on the limits for many count.
const MANY: usize = 1000;

/// A limit for the median of Hermes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Rule {
    /// At most this many times the median of another side.
    Times(Side, f64),
    /// At most this, in the job's unit.
    AtMost(f64),
    /// At most this many times the median of another job, with its name.
    Of(f64, &'static str, f64),
    /// At most this, extrapolated in proportion from the smallest number of profiles.
    Flat(f64),
}

/// A job, and the results of its sides.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) name: &'static str,
    /// The number of profiles; none if it does not matter.
    pub(super) profiles: Option<usize>,
    pub(super) unit: &'static str,
    pub(super) figures: BTreeMap<Side, Figure>,
    pub(super) rules: Vec<Rule>,
}

/// Everything that a measurement needs.
pub(super) struct Bench<'a> {
    pub(super) testbed: &'a Testbed,
    pub(super) peer: Option<&'a Peer>,
    pub(super) supervisor: Option<&'a Supervisor>,
    pub(super) runs: usize,
    pub(super) interrupted: &'a AtomicBool,
}

impl Bench<'_> {
    fn job(
        &self,
        name: &'static str,
        profiles: Option<usize>,
        rules: &[Rule],
        sides: Vec<Sampler<'_>>,
    ) -> Result<Job> {
        let of = profiles.map_or_else(String::new, |profiles| format!(", {profiles} profiles"));
        super::print(format_args!("{name}{of}"));
        let figures = take(self.runs, self.interrupted, sides)
            .with_context(|| format!("failed to measure `{name}`"))?;
        Ok(Job { name, profiles, unit: "ms", figures, rules: rules.to_vec() })
    }

    /// Measures all jobs on a home with this many profiles.
    pub(super) fn with_profiles(&self, profiles: usize) -> Result<Vec<Job>> {
        let (home, idle) = (format!("home-{profiles}"), format!("idle-{profiles}"));
        let home = self.testbed.home(&home, profiles, true)?;
        let mut jobs = Vec::new();
        {
            let tree = home.tree()?;
            let jobs_option = (profiles / ONE_RUNS_OF + 1).to_string();
            run(&mut self.testbed.hermes(&home, &["boot", "--jobs", &jobs_option]), &[0])?;
            let scripts = self.scripts(&home)?;
            jobs.extend(self.queries(&home, profiles)?);
            jobs.extend(self.registration(&home, &tree, &scripts, profiles)?);
        }
        let scripts = self.testbed.path().join("scripts");
        jobs.push(self.boot(&self.testbed.home(&idle, profiles, false)?, &scripts)?);
        Ok(jobs)
    }

    /// Saves the scripts of one of Hermes's service directories, for those that the other programs create.
    fn scripts(&self, home: &Home) -> Result<PathBuf> {
        let scripts = self.testbed.path().join("scripts");
        fs::create_dir_all(&scripts)?;
        for (file, name) in [("run", "run"), ("finish", "finish"), ("log/run", "log-run")] {
            let text = fs::read_to_string(home.slot("agent0").join(file))?;
            fs::write(scripts.join(name), text.replace("agent0", "@PROFILE@"))?;
        }
        Ok(scripts)
    }

    fn hermes<'b>(&'b self, home: &'b Home, args: &'b [&'b str], codes: &'b [i32]) -> Sampler<'b> {
        (Side::Hermes, Box::new(move || time(self.testbed.hermes(home, args), codes)))
    }

    fn floor<'b>(&'b self, home: &'b Home, args: &'b [&'b str]) -> Sampler<'b> {
        (Side::Floor, Box::new(move || time(self.testbed.floor(home, args), &[0])))
    }

    fn peer<'b>(&'b self, home: &'b Home, args: &'b [&'b str]) -> Option<Sampler<'b>> {
        let peer = self.peer?;
        Some((Side::Peer, Box::new(move || time(peer.command(home, args), &[0]))))
    }

    fn functions(&self, home: &Home) -> Result<Option<RefCell<Functions>>> {
        let scripts = self.testbed.path().join("scripts");
        let start = |peer: &Peer| peer.functions(self.testbed, home, &scripts).map(RefCell::new);
        self.peer.map(start).transpose()
    }
}
