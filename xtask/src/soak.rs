//! `cargo xtask soak`: a long run on a live tree, which keeps its promises whatever is killed or changed.
//!
//! `hermes up` runs in a temporary home, as a plain user. In each round random commands run, some of which are killed, and
//! processes of the tree are killed; other programs make, rename and remove profiles; now and then the tree itself ends.
//! Then the run waits until the tree is as wanted, and fails if it does not become so.
//!
//! | file | what it does |
//! |---|---|
//! | `run` | carries out rounds, and waits until the tree is as wanted |
//! | `step` | chooses what to do next |
//! | `model` | the profiles and intents that are possible |
//! | `seen` | compares a look at the tree with the model |
//! | `tree` | the tree, and its processes |
//! | `command` | a command that runs, or is killed |
//! | `look` | a look at the tree: files, processes, status |
//! | `gateways` | the programs that the gateways run |
//! | `figures` | counts, for the end |

mod command;
mod figures;
mod gateways;
mod look;
mod model;
mod run;
mod seen;
mod step;
mod tree;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Result, bail, ensure};
use clap::Args;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use self::run::Soak;
use crate::plain_user::PlainUser;
use crate::{install, program};

/// Options of `cargo xtask soak`.
#[derive(Args)]
pub(crate) struct SoakOptions {
    /// How long to run, in minutes
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    minutes: u64,
    /// The seed of the random numbers, as a failure prints it [default: a new one]
    #[arg(long)]
    seed: Option<u64>,
    /// How many profiles there are at most
    #[arg(long, value_name = "P", default_value_t = 8, value_parser = clap::value_parser!(u8).range(2..=100))]
    profiles: u8,
}

/// Runs until the time is over or a promise is broken.
pub(crate) fn run(options: &SoakOptions, no_install: bool) -> Result<()> {
    ensure!(Path::new("/proc/self/environ").exists(), "the run needs /proc, which only Linux has");
    install::ensure(install::FOR_DEMO, no_install)?;
    let hermes = program::build()?;
    let interrupted = Arc::default();
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&interrupted))?;
    }
    let seed = options.seed.unwrap_or_else(new_seed);
    println!("soak: {} minutes, {} profiles, seed {seed}", options.minutes, options.profiles);
    let _user = PlainUser::switch()?;
    let mut soak = Soak::new(&hermes, seed, options.profiles, interrupted)?;
    let done = soak.play(Duration::from_secs(options.minutes * 60));
    println!("{}", soak.figures);
    let Err(violation) = done else {
        soak.tree.remove()?;
        println!("soak: every promise was kept; no process and no file is left");
        return Ok(());
    };
    let collected = soak.tree.collect_evidence(&format!("{violation:?}\n"));
    let killed = soak.tree.kill_all();
    if soak.interrupted.load(Ordering::Relaxed) {
        soak.tree.remove()?;
        bail!("interrupted");
    }
    let evidence = soak.tree.keep();
    collected.and(killed)?;
    Err(violation.context(format!("seed {seed}; the evidence is kept in {}", evidence.display())))
}

fn new_seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or_default()
}
