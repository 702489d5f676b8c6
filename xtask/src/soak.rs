//! `cargo xtask soak`: runs random commands and faults on a live tree for a given time.
//!
//! The test is the target `model` of the crate `tests`, which `cargo xtask test` runs for a minute.

use anyhow::Result;
use clap::Args;
use xshell::Shell;

use crate::install;

/// Options of `cargo xtask soak`.
#[derive(Args)]
pub(crate) struct SoakOptions {
    /// How long to run, in minutes
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    minutes: u64,
    /// The seed of the random numbers, as a failure prints it [default: a new one]
    #[arg(long)]
    seed: Option<u64>,
}

/// Runs the test.
pub(crate) fn run(soak: &SoakOptions, no_install: bool) -> Result<()> {
    install::ensure(install::FOR_DEMO, no_install)?;
    let shell = Shell::new()?;
    shell.change_dir(crate::root());
    let test = ["test", "--package", "hermes-tests", "--test", "model", "--locked"];
    let mut command = shell.cmd(crate::cargo()).args(test);
    command = command.env("HERMES_TEST_SECONDS", (soak.minutes * 60).to_string());
    if let Some(seed) = soak.seed {
        command = command.env("HERMES_TEST_SEED", seed.to_string());
    }
    Ok(command.run()?)
}
