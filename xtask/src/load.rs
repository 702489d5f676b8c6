//! `cargo xtask load`: runs the load test at full size and prints its figures.
//!
//! It takes minutes and 4,000 processes; with 5,000 registered profiles, of which 1,000 run, 16,000. The normal checks run
//! it at a small size.

use anyhow::{Context, Result, ensure};
use clap::Args;
use xshell::Shell;

use crate::install;

/// The test of many registered profiles.
const SOME_RUN: &str = "some_of_many_run";

/// Options of `cargo xtask load`.
#[derive(Args)]
pub(crate) struct LoadOptions {
    /// Number of registered profiles
    #[arg(long, requires = "running")]
    registered: Option<usize>,
    /// How many of them run
    #[arg(long, requires = "registered")]
    running: Option<usize>,
}

/// Runs the load test with 450 gateways under a plain s6-svscan, and with 1,000 under `hermes up`; or, with options, with
/// that many under `hermes up`.
pub(crate) fn run(options: &LoadOptions, no_install: bool) -> Result<()> {
    let (load, filter) = match options.registered.zip(options.running) {
        Some((registered, running)) => {
            ensure!(running <= registered, "--running must be at most --registered");
            (format!("{registered},{running}"), [SOME_RUN, "--exact"])
        }
        None => ("full".to_owned(), ["--skip", SOME_RUN]),
    };
    install::ensure(install::FOR_TEST, no_install)?;
    let shell = Shell::new()?;
    shell.change_dir(crate::root());
    let args = ["test", "--locked", "--package", "hermes-tests", "--test", "load", "--"];
    let tests = shell
        .cmd(crate::cargo())
        .args(args)
        .args(["--nocapture", "--test-threads", "1"])
        .args(filter)
        .env("HERMES_TEST_LOAD", load)
        .quiet();
    tests.run().context("the load test failed")
}
