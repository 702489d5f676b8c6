//! `cargo xtask bench`: measures Hermes, a minimal program (the floor), s6's own tools and the Python implementation
//! in one run.
//!
//! | file | what it does |
//! |---|---|
//! | `jobs` | the jobs, the programs that do each, and the limits that Hermes must keep |
//! | `sample` | takes samples of the programs in turn; medians and quartiles |
//! | `testbed` | temporary homes, live supervision trees, the commands that are timed |
//! | `peer`, `peer.py` | the Python implementation |
//! | `s6`, `supervisord` | the tools of s6 and supervisord on many gateways |
//! | `up` | `hermes up` on a home, and its end |
//! | `processor` | the processor time of a tree |
//! | `gateway` | readiness and memory of one gateway |
//! | `about` | the machine and the versions |
//! | `report`, `plot` | `bench/latest.json`, `bench/latest.svg`, the table in `docs/performance.md` |

mod about;
mod gateway;
mod jobs;
mod peer;
mod plot;
mod processor;
mod report;
mod s6;
mod sample;
mod supervisord;
mod testbed;
mod up;

use std::fmt::Display;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use xshell::Shell;

use crate::plain_user::PlainUser;
use crate::{install, statically};
use jobs::{Bench, Job, Rule};
use peer::Peer;
use report::About;
use sample::Side;
use supervisord::Supervisor;
use testbed::Testbed;

/// The page with the table.
const PAGE: &str = "docs/performance.md";
const BOOT: &str = "boot, empty scan directory";

/// Options of `cargo xtask bench`.
#[derive(Args)]
pub(crate) struct BenchOptions {
    /// Numbers of profiles, separated by commas
    #[arg(long, value_delimiter = ',', num_args = 0.., default_value = "10,100,1000")]
    profiles: Vec<usize>,
    /// Numbers of running built-in gateways, separated by commas
    #[arg(long, value_delimiter = ',', num_args = 0.., default_value = "100,300,1000")]
    running: Vec<usize>,
    /// Seconds for which the processor time of a tree is measured
    #[arg(long, default_value_t = 60)]
    window: u64,
    /// Numbers of profiles beside which one is created, separated by commas
    #[arg(long, value_delimiter = ',', num_args = 0.., default_value = "10,5000")]
    registered: Vec<usize>,
    /// Install the Python implementation and supervisord, and measure them, too
    #[arg(long)]
    peer: bool,
    /// Number of samples per program and job; 24 covers every order of four programs
    #[arg(long, default_value_t = 24)]
    runs: usize,
}

/// Takes the measurements and writes the reports.
pub(crate) fn run(options: &BenchOptions, no_install: bool) -> Result<()> {
    ensure!(
        options.runs > 0 && options.profiles.iter().chain(&options.running).all(|n| *n > 1),
        "--runs must be at least 1, and each number of --profiles and --running at least 2"
    );
    install::ensure(install::FOR_DEMO, no_install)?;
    let peer = options.peer.then(|| Peer::install(no_install)).transpose()?;
    let supervisor = options.peer.then(|| Supervisor::install(no_install)).transpose()?;
    let shell = Shell::new()?;
    shell.change_dir(crate::root());
    let built = statically::build(&shell, &crate::root(), &["hermes-cli", "hermes-floor"], &[])?;
    let interrupted = Arc::default();
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&interrupted))?;
    }
    let mut facts = about::facts(&shell, options.runs, peer.is_some())?;
    let mut jobs = Vec::new();
    let measured = {
        let _user = PlainUser::switch()?;
        measure(options, (peer.as_ref(), supervisor.as_ref()), &built, &interrupted, &mut jobs)
    };
    facts.insert("load afterwards", about::load());
    let about = About { facts, jobs };
    match measured {
        Ok(()) => write(&about, options.profiles.iter().copied().max()),
        // What took long to measure is not lost, and stands in no file as if it were all.
        Err(error) => {
            print(about.table());
            Err(error)
        }
    }
}

fn measure(
    options: &BenchOptions,
    (peer, supervisor): (Option<&Peer>, Option<&Supervisor>),
    built: &Path,
    interrupted: &AtomicBool,
    jobs: &mut Vec<Job>,
) -> Result<()> {
    raise_descriptor_limit()?;
    let testbed = Testbed::new(built)?;
    let bench = Bench { testbed: &testbed, peer, supervisor, runs: options.runs, interrupted };
    jobs.extend(bench.single()?);
    for profiles in &options.profiles {
        jobs.extend(bench.with_profiles(*profiles)?);
    }
    for gateways in &options.running {
        jobs.extend(bench.with_running(*gateways)?);
    }
    if let Some(most) = options.running.iter().max() {
        jobs.extend(bench.shares(*most, Duration::from_secs(options.window))?);
    }
    if let Some(most) = options.profiles.iter().max() {
        jobs.extend(bench.with_parked(*most)?);
    }
    let mut least = None;
    for profiles in &options.registered {
        jobs.extend(bench.with_registered(*profiles, &mut least)?);
    }
    demand_flat(jobs, &[BOOT], 1.0);
    demand_flat(jobs, &jobs::CHANGES.map(|(_, name)| name), 1.25);
    jobs.sort_by_key(|job| job.profiles.is_some());
    Ok(())
}

/// Requires that the cost of each of these jobs per profile does not grow with the number of profiles, by more than this
/// factor from the smallest number to each other.
fn demand_flat(jobs: &mut [Job], names: &[&str], factor: f64) {
    for name in names {
        let cost = |job: &Job| Some((job.figures.get(&Side::Hermes)?.median, job.profiles?));
        let of_name = jobs.iter().filter(|job| job.name == *name).filter_map(cost);
        let Some((least, of)) = of_name.min_by_key(|(_, profiles)| *profiles) else { continue };
        for job in jobs.iter_mut().filter(|job| job.name == *name && job.profiles != Some(of)) {
            #[expect(clippy::cast_precision_loss, reason = "numbers of profiles")]
            let times = job.profiles.unwrap_or_default() as f64 / of as f64;
            job.rules.push(Rule::Flat(least * times * factor));
        }
    }
}

/// s6-svscan needs two descriptors for each gateway.
fn raise_descriptor_limit() -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })
        .context("failed to raise the limit on open files")
}

/// Writes the reports; the plot has the jobs with `most` profiles.
fn write(about: &About, most: Option<usize>) -> Result<()> {
    let root = crate::root();
    let plotted: Vec<_> =
        about.jobs.iter().filter(|job| job.profiles == most && job.unit == "ms").collect();
    let title = format!("Wall time with {} profiles", most.unwrap_or_default());

    fs::create_dir_all(root.join("bench"))?;
    fs::write(root.join("bench/latest.json"), format!("{:#}\n", about.json()))?;
    fs::write(root.join("bench/latest.svg"), plot::plot(&title, &plotted))?;
    let path = root.join(PAGE);
    let text = fs::read_to_string(&path)?;
    let figures = format!("{}\n{}", about.table(), about.line());
    fs::write(&path, report::fill(&text, &figures).with_context(|| PAGE.to_owned())?)?;
    print(figures);
    print(format_args!("wrote bench/latest.json, bench/latest.svg and {PAGE}"));
    Ok(())
}

/// Prints a line.
fn print(line: impl Display) {
    println!("{line}");
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use sample::Figure;

    #[test]
    fn a_flat_cost_grows_with_the_profiles_and_no_more_than_the_factor() {
        let job = |name, profiles, median| {
            let figure = Figure { median, low: median, high: median, runs: 1 };
            let figures = BTreeMap::from([(Side::Hermes, figure)]);
            Job { name, profiles: Some(profiles), unit: "ms", figures, rules: Vec::new() }
        };
        let mut jobs = [job("a", 10, 2.0), job("b", 10, 9.0), job("a", 100, 30.0)];
        demand_flat(&mut jobs, &["a", "c"], 1.25);
        assert_eq!(jobs.map(|job| job.rules), [vec![], vec![], vec![Rule::Flat(25.0)]]);
    }
}
