//! Installs python-dotenv, the reference for reading a `.env`, in a virtual environment at
//! `target/python-dotenv`. Distributions have older releases, whose dialect differs.

use anyhow::Result;

use crate::venv;

/// The release that Hermes reads a `.env` like.
const REQUIREMENT: &str = "python-dotenv==1.2.4";

/// Installs it unless it is installed; with `no_install` a missing one is an error.
pub(crate) fn ensure(no_install: bool) -> Result<()> {
    venv::ensure("python-dotenv", &[REQUIREMENT], no_install).map(drop)
}
