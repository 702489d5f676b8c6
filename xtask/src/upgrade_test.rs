//! `cargo xtask upgrade-test`: upgrades a tree of the previous version, which `tests/previous` names, to this one, and back.
//!
//! It is not among the normal checks, since a checkout may have no history to build the previous version from.

use anyhow::{Context, Result};
use xshell::Shell;

use crate::install;

const FEATURE: &str = "hermes-tests/upgrade";

/// Builds the previous version and runs the test.
pub(crate) fn run(no_install: bool) -> Result<()> {
    install::ensure(install::FOR_TEST, no_install)?;
    let shell = Shell::new()?;
    shell.change_dir(crate::root());
    let args = ["test", "--locked", "--package", "hermes-tests", "--features", FEATURE];
    let tests = shell.cmd(crate::cargo()).args(args).args(["--test", "upgrade"]).quiet();
    tests.run().context("the upgrade test failed")
}
