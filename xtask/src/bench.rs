//! `cargo xtask bench`: measures Hermes, a minimal program (the floor), s6's own tools and the Python implementation
//! in one run.
//!
//! | file | what it does |
//! |---|---|
//! | `jobs` | the jobs, the programs that do each, and the limits that Hermes must keep |
//! | `sample` | takes samples of the programs in turn; medians and quartiles |
//! | `testbed` | temporary homes, live supervision trees, the commands that are timed |
//! | `peer`, `peer.py` | the Python implementation |
//! | `gateway` | readiness and memory of one gateway |
//! | `about` | the machine and the versions |
//! | `report`, `plot` | `bench/latest.json`, `bench/latest.svg`, the table in `docs/performance.md` |

mod about;
mod gateway;
mod jobs;
mod peer;
mod plot;
mod report;
mod sample;
mod testbed;

use std::fmt::Display;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

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
use testbed::Testbed;

/// The page with the table.
const PAGE: &str = "docs/performance.md";
const BOOT: &str = "boot, empty scan directory";

/// Options of `cargo xtask bench`.
#[derive(Args)]
pub(crate) struct BenchOptions {
    /// Numbers of profiles, separated by commas
    #[arg(long, value_delimiter = ',', default_value = "10,100,1000")]
    profiles: Vec<usize>,
    /// Install the Python implementation and measure it, too
    #[arg(long)]
    peer: bool,
    /// Number of samples per program and job; 24 covers every order of four programs
    #[arg(long, default_value_t = 24)]
    runs: usize,
}

/// Takes the measurements and writes the reports.
pub(crate) fn run(options: &BenchOptions, no_install: bool) -> Result<()> {
    ensure!(
        options.runs > 0 && options.profiles.iter().all(|n| *n > 1),
        "--runs must be at least 1, and each number of --profiles at least 2"
    );
    install::ensure(install::FOR_DEMO, no_install)?;
    let peer = options.peer.then(|| Peer::install(no_install)).transpose()?;
    let shell = Shell::new()?;
    shell.change_dir(crate::root());
    let built = statically::build(&shell, &["hermes-cli", "hermes-floor"])?;
    let interrupted = Arc::default();
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&interrupted))?;
    }
    let mut facts = about::facts(&shell, options.runs, peer.is_some())?;
    let jobs = {
        let _user = PlainUser::switch()?;
        measure(options, peer.as_ref(), &built, &interrupted)?
    };
    facts.insert("load afterwards", about::load());
    write(&About { facts, jobs })
}

fn measure(
    options: &BenchOptions,
    peer: Option<&Peer>,
    built: &Path,
    interrupted: &AtomicBool,
) -> Result<Vec<Job>> {
    raise_descriptor_limit()?;
    let testbed = Testbed::new(built)?;
    let bench = Bench { testbed: &testbed, peer, runs: options.runs, interrupted };
    let mut jobs = bench.single()?;
    for profiles in &options.profiles {
        jobs.extend(bench.with_profiles(*profiles)?);
    }
    demand_flat_boot(&mut jobs);
    jobs.sort_by_key(|job| job.profiles.is_some());
    Ok(jobs)
}

/// Requires that the cost of a boot per profile does not grow with the number of profiles.
fn demand_flat_boot(jobs: &mut [Job]) {
    let cost = |job: &Job| Some((job.figures.get(&Side::Hermes)?.median, job.profiles?));
    let boots = || jobs.iter().filter(|job| job.name == BOOT).filter_map(cost);
    let Some((least, of)) = boots().min_by_key(|(_, profiles)| *profiles) else { return };
    for job in jobs.iter_mut().filter(|job| job.name == BOOT && job.profiles != Some(of)) {
        #[expect(clippy::cast_precision_loss, reason = "numbers of profiles")]
        let times = job.profiles.unwrap_or_default() as f64 / of as f64;
        job.rules.push(Rule::Flat(least * times));
    }
}

/// s6-svscan needs two descriptors for each gateway.
fn raise_descriptor_limit() -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })
        .context("failed to raise the limit on open files")
}

fn write(about: &About) -> Result<()> {
    let root = crate::root();
    let most = about.jobs.iter().filter_map(|job| job.profiles).max();
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
