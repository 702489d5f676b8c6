//! `cargo xtask load`: runs the load test at full size and prints its figures.
//!
//! It takes minutes and 4,000 processes. The normal checks run it at a small size.

use anyhow::{Context, Result};
use xshell::Shell;

use crate::install;

/// Runs the load test with 450 gateways under a plain s6-svscan, and with 1,000 under `hermes up`.
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
