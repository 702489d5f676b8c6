//! `cargo xtask load`: the load test at full size, with its figures.
//!
//! Some minutes and 4,000 processes: too much for every run of the checks, which have a small one.

use anyhow::{Context, Result};
use xshell::Shell;

use crate::install;

/// Runs the load test with 450 gateways under s6-svscan as s6 has it, and with 1,000 under `hermes up`.
pub(crate) fn run(no_install: bool) -> Result<()> {
    install::ensure(install::FOR_TEST, no_install)?;
    let shell = Shell::new()?;
    shell.change_dir(crate::root());
    let args = ["test", "--locked", "--package", "hermes-tests", "--test", "load", "--"];
    let tests = shell
        .cmd(crate::cargo())
        .args(args)
        .args(["--nocapture", "--test-threads", "1"])
        .env("HERMES_TEST_LOAD", "full")
        .quiet();
    tests.run().context("the load test failed")
}
