//! `cargo xtask bench`: Hermes beside the Python implementation, s6's own tools and the floor of the machine,
//! in one run.
//!
//! | file | what it does |
//! |---|---|
//! | `jobs` | what is measured, of whom, and what must be reached |
//! | `sample` | takes samples in turn, and what they come to |
//! | `scene` | homes, trees, commands |
//! | `peer`, `peer.py` | the Python implementation |
//! | `gateway` | readiness and memory of one gateway |
//! | `user` | a plain user |
//! | `report`, `plot` | `bench/latest.json`, `bench/latest.svg`, the tables in the pages |

mod about;
mod gateway;
mod jobs;
mod peer;
mod plot;
mod report;
mod sample;
mod scene;
mod user;

use std::fmt::Display;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, ensure};
use clap::Args;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use xshell::{Shell, cmd};

use crate::install;
use jobs::{Bench, Job, Rule};
use peer::Peer;
use report::About;
use sample::Side;
use scene::Scene;
use user::PlainUser;

/// The pages with figures.
const README: &str = "README.md";
const PAGE: &str = "docs/performance.md";
const BOOT: &str = "boot, empty scan directory";

/// What is measured.
#[derive(Args)]
pub(crate) struct BenchOptions {
    /// Numbers of profiles, separated by commas
    #[arg(long, value_delimiter = ',', default_value = "10,100,1000")]
    profiles: Vec<usize>,
    /// Install the Python implementation, and measure it too
    #[arg(long)]
    peer: bool,
    /// How many samples are taken of each side of a job: 24 are all orders of four sides
    #[arg(long, default_value_t = 24)]
    runs: usize,
}

/// Measures, and writes what was measured.
pub(crate) fn run(options: &BenchOptions, no_install: bool) -> Result<()> {
    ensure!(options.runs > 0 && options.profiles.iter().all(|n| *n > 1), "too little to measure");
    install::ensure(install::FOR_DEMO, no_install)?;
    let peer = options.peer.then(|| Peer::install(no_install)).transpose()?;
    let shell = Shell::new()?;
    shell.change_dir(crate::root());
    let cargo = crate::cargo();
    cmd!(shell, "{cargo} build --release --locked --package hermes-cli --package hermes-floor")
        .run()?;
    let interrupted = Arc::default();
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&interrupted))?;
    }
    let mut facts = about::facts(&shell, options.runs, peer.is_some())?;
    let jobs = {
        let _user = PlainUser::become_one()?;
        measure(options, peer.as_ref(), &crate::root().join("target/release"), &interrupted)?
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
    let scene = Scene::new(built)?;
    let bench = Bench { scene: &scene, peer, runs: options.runs, interrupted };
    let mut jobs = bench.alone()?;
    for profiles in &options.profiles {
        jobs.extend(bench.with_profiles(*profiles)?);
    }
    demand_flat_boot(&mut jobs);
    jobs.sort_by_key(|job| job.profiles.is_some());
    Ok(jobs)
}

/// What a boot costs for each profile must not grow with their number.
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

/// An s6-svscan needs two for each gateway.
fn raise_descriptor_limit() -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })
        .context("failed to raise the limit on descriptors")
}

fn write(about: &About) -> Result<()> {
    let root = crate::root();
    let most = about.jobs.iter().filter_map(|job| job.profiles).max();
    let shown = |job: &Job| job.profiles == most || job.profiles.is_none();
    let plotted: Vec<_> =
        about.jobs.iter().filter(|job| job.profiles == most && job.unit == "ms").collect();
    let title = format!("Wall time with {} profiles", most.unwrap_or_default());

    fs::create_dir_all(root.join("bench"))?;
    fs::write(root.join("bench/latest.json"), format!("{:#}\n", about.json()))?;
    fs::write(root.join("bench/latest.svg"), plot::plot(&title, &plotted))?;
    for (page, table) in [(README, about.table(false, shown)), (PAGE, about.table(true, |_| true))]
    {
        let path = root.join(page);
        let text = fs::read_to_string(&path)?;
        let figures = format!("{table}\n{}", about.line());
        fs::write(&path, report::fill(&text, &figures).with_context(|| page.to_owned())?)?;
    }
    say(about.table(true, |_| true));
    say(about.line());
    say("wrote bench/latest.json and bench/latest.svg, README.md and docs/performance.md");
    Ok(())
}

/// Prints a line.
fn say(line: impl Display) {
    println!("{line}");
}
