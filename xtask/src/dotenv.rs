//! Installs python-dotenv, the reference for reading a `.env`, in a virtual environment at
//! `target/python-dotenv`. Distributions have older releases, whose dialect differs.

use anyhow::{Context, Result, bail};
use xshell::Shell;

use crate::venv;

/// The release that Hermes reads a `.env` like.
const REQUIREMENT: &str = "python-dotenv==1.2.4";

/// Installs it unless it is installed; with `no_install` a missing one is an error.
pub(crate) fn ensure(no_install: bool) -> Result<()> {
    let at = venv::target()?.join("python-dotenv");
    if venv::has(&at, REQUIREMENT) {
        return Ok(());
    }
    if no_install {
        bail!("missing: {REQUIREMENT} in {}; to install: cargo xtask install", at.display());
    }
    venv::remove(&at)?;
    venv::create(&Shell::new()?, &at, None, &[REQUIREMENT])
        .with_context(|| format!("failed to install {REQUIREMENT}"))?;
    venv::record(&at, REQUIREMENT)
}
