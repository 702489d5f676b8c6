//! Installs the Python agent, whose gateway the tests run as the README says it is run.
//!
//! Into a virtual environment at `target/python-agent`, once. The tests run it as a plain user: where
//! root builds in a directory that only root can enter, `target/python-agent` is a link out of it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use rustix::fs::Mode;
use xshell::Shell;

use crate::install;

/// What is installed; `aiohttp` in the version that the agent's own extras name.
pub(crate) const REQUIREMENTS: &[&str] = &["hermes-agent==0.19.0", "aiohttp==3.14.1"];
/// What is written last, so that a half-done installation is done again.
const STAMP: &str = "installed-by-xtask";
/// Where root installs if its build directory is closed to others.
const ELSEWHERE: &str = "/var/cache/hermes-python-agent";

/// Returns once the agent is there.
pub(crate) fn ensure(no_install: bool) -> Result<()> {
    let target = target()?;
    let at = place()?;
    let stamp = REQUIREMENTS.join("\n");
    if fs::read_to_string(at.join(STAMP)).is_ok_and(|found| found == stamp) {
        return Ok(());
    }
    if no_install {
        bail!("missing: the Python agent in {}; to install: cargo xtask install", at.display());
    }
    let python =
        install::python_with("ensurepip").context("there is no python3 with `ensurepip`")?;
    let start = Instant::now();
    remove(&at)?;
    let real = if is_open(&target) { at.clone() } else { ELSEWHERE.into() };
    remove(&real)?;
    // The programs in it are for everybody, whatever this shell's umask.
    rustix::process::umask(Mode::WGRP | Mode::WOTH);
    let shell = Shell::new()?;
    install::run(&shell, &[&text(&python)?, "-m", "venv", &text(&real)?])?;
    let pip = text(&real.join("bin/python"))?;
    let pip = [&pip, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    install::run(&shell, &[&pip, REQUIREMENTS].concat())
        .with_context(|| format!("failed to install {}", REQUIREMENTS.join(" and ")))?;
    fs::write(real.join(STAMP), stamp)?;
    if real != at {
        symlink(&real, &at)?;
    }
    println!("installed the Python agent in {:.0} s", start.elapsed().as_secs_f64());
    Ok(())
}

/// Where it is, once it is installed.
pub(crate) fn place() -> Result<PathBuf> {
    Ok(target()?.join("python-agent"))
}

/// The build directory that this program is in.
fn target() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    let target = program.ancestors().nth(2).context("target/<profile>/xtask")?;
    Ok(target.to_owned())
}

/// Whether users who are not in the owner's group can get to what is in `dir`, or none has to.
fn is_open(dir: &Path) -> bool {
    let open = |dir: &Path| {
        fs::metadata(dir).is_ok_and(|metadata| metadata.permissions().mode() & 0o001 != 0)
    };
    !rustix::process::geteuid().is_root() || dir.ancestors().all(open)
}

/// Removes a link or a virtual environment.
fn remove(path: &Path) -> Result<()> {
    let Ok(metadata) = fs::symlink_metadata(path) else { return Ok(()) };
    if !metadata.is_dir() {
        return Ok(fs::remove_file(path)?);
    }
    let venv = path.join("pyvenv.cfg").exists() || fs::read_dir(path)?.next().is_none();
    ensure!(venv, "{} is there and no virtual environment", path.display());
    Ok(fs::remove_dir_all(path)?)
}

fn text(path: &Path) -> Result<String> {
    Ok(path.to_str().context("a path that is no UTF-8")?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_virtual_environments_and_links_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let (venv, link) = (dir.path().join("venv"), dir.path().join("link"));
        fs::create_dir(&venv).unwrap();
        fs::write(venv.join("precious"), "").unwrap();
        symlink(&venv, &link).unwrap();
        remove(&link).unwrap();
        assert!(!link.exists());
        remove(&venv).unwrap_err();
        fs::write(venv.join("pyvenv.cfg"), "").unwrap();
        remove(&venv).unwrap();
        remove(&venv).unwrap();
        assert!(!venv.exists());
    }

    #[test]
    fn a_directory_below_a_closed_one_is_closed_to_others() {
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
