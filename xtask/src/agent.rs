//! Installs the Python agent, whose gateway the tests run with the configuration in README.md.
//!
//! It is installed once, in a virtual environment at `target/python-agent`. The tests run it as an unprivileged user: if
//! root builds in a directory that only root may enter, `target/python-agent` is a symbolic link to a place outside.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use rustix::fs::Mode;
use xshell::Shell;

use crate::venv;

/// The packages; `aiohttp` in the version that the agent's extras require.
pub(crate) const REQUIREMENTS: &[&str] = &["hermes-agent==0.19.0", "aiohttp==3.14.1"];
/// The directory for root, if other users have no access to the build directory.
const ELSEWHERE: &str = "/var/cache/hermes-python-agent";

/// Installs the agent unless it is installed; with `no_install` a missing one is an error.
pub(crate) fn ensure(no_install: bool) -> Result<()> {
    let target = venv::target()?;
    let at = place()?;
    let stamp = REQUIREMENTS.join("\n");
    if venv::has(&at, &stamp) {
        return Ok(());
    }
    if no_install {
        bail!("missing: the Python agent in {}; to install: cargo xtask install", at.display());
    }
    let start = Instant::now();
    venv::remove(&at)?;
    let real = if is_open(&target) { at.clone() } else { ELSEWHERE.into() };
    venv::remove(&real)?;
    // All users may run its programs, whatever this shell's umask.
    rustix::process::umask(Mode::WGRP | Mode::WOTH);
    venv::create(&Shell::new()?, &real, REQUIREMENTS)
        .with_context(|| format!("failed to install {}", REQUIREMENTS.join(" and ")))?;
    venv::record(&real, &stamp)?;
    if real != at {
        symlink(&real, &at)?;
    }
    println!("installed the Python agent in {:.0} s", start.elapsed().as_secs_f64());
    Ok(())
}

/// The directory of the installed agent.
pub(crate) fn place() -> Result<PathBuf> {
    Ok(venv::target()?.join("python-agent"))
}

/// Whether other users may enter `dir`. Always true unless this is root, since then the tests run as this user.
fn is_open(dir: &Path) -> bool {
    let open = |dir: &Path| {
        fs::metadata(dir).is_ok_and(|metadata| metadata.permissions().mode() & 0o001 != 0)
    };
    !rustix::process::geteuid().is_root() || dir.ancestors().all(open)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_below_a_closed_one_is_closed() {
        let dir = tempfile::tempdir().unwrap();
        let below = dir.path().join("below");
        fs::create_dir(&below).unwrap();
        let root = rustix::process::geteuid().is_root();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
        assert_eq!(is_open(&below), !root);
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o711)).unwrap();
        assert!(is_open(&below));
    }
}
