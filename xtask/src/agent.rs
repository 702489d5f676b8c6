//! Installs the Python agent, whose gateway the tests run with the configuration in README.md.
//!
//! Each release is installed once, in a virtual environment of its own: the newest at `target/python-agent`, an older one
//! beside it, with its minor version behind the name. The tests run them as an unprivileged user: if root builds in a
//! directory that only root may enter, those are symbolic links to places outside.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use rustix::fs::Mode;
use xshell::Shell;

use crate::venv;

/// The packages of the newest release; `aiohttp` in the version that the agent's extras require.
pub(crate) const REQUIREMENTS: &[&str] = &["hermes-agent==0.19.0", "aiohttp==3.14.1"];
/// The last release of each older minor version that is tested, and its packages.
const OLDER: [(&str, &[&str]); 2] = [
    ("0.18", &["hermes-agent==0.18.2", "aiohttp==3.14.1"]),
    ("0.17", &["hermes-agent==0.17.0", "aiohttp==3.13.4"]),
];
/// The name of the newest release's directory, with which the others begin.
const NAME: &str = "python-agent";
/// The directory for root, if other users have no access to the build directory; `hermes-` and a release's name are added.
const ELSEWHERE: &str = "/var/cache";

/// Installs every release unless it is installed; with `no_install` a missing one is an error.
pub(crate) fn ensure_all(no_install: bool) -> Result<()> {
    let newest = ensure(no_install)?;
    thread::scope(|scope| {
        let older = OLDER.map(|(minor, packages)| {
            let (name, newest) = (format!("{NAME}-{minor}"), &newest);
            scope.spawn(move || install(&name, packages, Some(newest), no_install))
        });
        older.into_iter().try_for_each(|thread| {
            thread.join().expect("an installation does not panic").map(|_| ())
        })
    })
}

/// Installs the newest release unless it is installed, as [`ensure_all`] does. Returns its directory.
pub(crate) fn ensure(no_install: bool) -> Result<PathBuf> {
    install(NAME, REQUIREMENTS, None, no_install)
}

/// Installs a release as `name` in the build directory, unless it is installed. Most of its packages are those that the
/// installation `shared` has: pip installs only the others. Returns its directory.
pub(crate) fn install(
    name: &str,
    packages: &[&str],
    shared: Option<&PathBuf>,
    no_install: bool,
) -> Result<PathBuf> {
    let target = venv::target()?;
    let at = target.join(name);
    let shares = shared.into_iter().flat_map(|_| REQUIREMENTS);
    let stamp = packages.iter().chain(shares).copied().collect::<Vec<_>>().join("\n");
    if venv::has(&at, &stamp) {
        return Ok(at);
    }
    if no_install {
        bail!("missing: {} in {}, which --no-install does not install", packages[0], at.display());
    }
    let start = Instant::now();
    venv::remove(&at)?;
    let elsewhere = Path::new(ELSEWHERE).join(format!("hermes-{name}"));
    let real = if is_open(&target) { at.clone() } else { elsewhere };
    venv::remove(&real)?;
    // All users may run its programs, whatever this shell's umask.
    rustix::process::umask(Mode::WGRP | Mode::WOTH);
    let shared = shared.map(fs::canonicalize).transpose()?;
    venv::create(&Shell::new()?, &real, shared.as_deref(), packages)
        .with_context(|| format!("failed to install {}", packages.join(" and ")))?;
    venv::record(&real, &stamp)?;
    if real != at {
        symlink(&real, &at)?;
    }
    println!("installed {} in {:.0} s", packages[0], start.elapsed().as_secs_f64());
    Ok(at)
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
