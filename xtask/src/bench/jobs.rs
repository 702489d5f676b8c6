//! The jobs: what is measured, of whom, and what Hermes must reach.

mod alone;
mod asking;
mod changing;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};

use super::peer::{Functions, Peer};
use super::sample::{Figure, Side, Taker, take};
use super::scene::{Home, ONE_RUNS_OF, Scene, run, time};

/// What Hermes must reach.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Rule {
    /// At most so many times the median of that side.
    Times(Side, f64),
    /// At most so much, in the job's unit.
    AtMost(f64),
    /// The same: what a smaller number of profiles costs, times how many more there are.
    Flat(f64),
}

/// A job, and what its sides came to.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) name: &'static str,
    /// How many profiles there were; none where that doesn't matter.
    pub(super) profiles: Option<usize>,
    pub(super) unit: &'static str,
    pub(super) figures: BTreeMap<Side, Figure>,
    pub(super) rules: Vec<Rule>,
}

/// What is needed to measure.
pub(super) struct Bench<'a> {
    pub(super) scene: &'a Scene,
    pub(super) peer: Option<&'a Peer>,
    pub(super) runs: usize,
    pub(super) interrupted: &'a AtomicBool,
}

impl Bench<'_> {
    fn job(
        &self,
        name: &'static str,
        profiles: Option<usize>,
        rules: &[Rule],
        sides: Vec<Taker<'_>>,
    ) -> Result<Job> {
        let of = profiles.map_or_else(String::new, |profiles| format!(", {profiles} profiles"));
        super::say(format_args!("{name}{of}"));
        let figures = take(self.runs, self.interrupted, sides)
            .with_context(|| format!("failed to measure `{name}`"))?;
        Ok(Job { name, profiles, unit: "ms", figures, rules: rules.to_vec() })
    }

    /// Everything about a home of so many profiles.
    pub(super) fn with_profiles(&self, profiles: usize) -> Result<Vec<Job>> {
        let (home, idle) = (format!("home-{profiles}"), format!("idle-{profiles}"));
        let home = self.scene.home(&home, profiles, true)?;
        let mut jobs = Vec::new();
        {
            let tree = home.tree()?;
            let at_once = (profiles / ONE_RUNS_OF + 1).to_string();
            run(&mut self.scene.hermes(&home, &["boot", "--at-once", &at_once]), &[0])?;
            let scripts = self.scripts(&home)?;
            jobs.extend(self.asking(&home, profiles)?);
            jobs.extend(self.changing(&home, &tree, &scripts, profiles)?);
        }
        let scripts = self.scene.path().join("scripts");
        jobs.push(self.boot(&self.scene.home(&idle, profiles, false)?, &scripts)?);
        Ok(jobs)
    }

    /// The scripts of a slot of Hermes', for the slots that others make.
    fn scripts(&self, home: &Home) -> Result<PathBuf> {
        let scripts = self.scene.path().join("scripts");
        fs::create_dir_all(&scripts)?;
        for (file, name) in [("run", "run"), ("finish", "finish"), ("log/run", "log-run")] {
            let text = fs::read_to_string(home.slot("agent0").join(file))?;
            fs::write(scripts.join(name), text.replace("agent0", "@PROFILE@"))?;
        }
        Ok(scripts)
    }

    fn hermes<'b>(&'b self, home: &'b Home, args: &'b [&'b str], codes: &'b [i32]) -> Taker<'b> {
        (Side::Hermes, Box::new(move || time(self.scene.hermes(home, args), codes)))
    }

    fn floor<'b>(&'b self, home: &'b Home, args: &'b [&'b str]) -> Taker<'b> {
        (Side::Floor, Box::new(move || time(self.scene.floor(home, args), &[0])))
    }

    fn peer<'b>(&'b self, home: &'b Home, args: &'b [&'b str]) -> Option<Taker<'b>> {
        let peer = self.peer?;
        Some((Side::Peer, Box::new(move || time(peer.command(home, args), &[0]))))
    }

    fn functions(&self, home: &Home) -> Result<Option<RefCell<Functions>>> {
        let scripts = self.scene.path().join("scripts");
        let start = |peer: &Peer| peer.functions(self.scene, home, &scripts).map(RefCell::new);
        self.peer.map(start).transpose()
    }
}
