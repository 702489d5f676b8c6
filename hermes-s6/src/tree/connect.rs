//! Finds the scan directory of a home's gateways, and checks that other users can't write to it.

use std::fs::{DirBuilder, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use fs_err as fs;
use hermes_core::driver::{DriverError, Environment};

use crate::programs::S6Programs;
use crate::protocol::scandir::ScanDir;
use crate::slot::render::ScriptPrograms;
use crate::tree::Tree;

/// The scan directory of a machine whose init system is s6.
const SYSTEM_SCANDIR: &str = "/run/service";
/// The hint for an unusable scan directory.
const ELSEWHERE: &str = "set another directory with --scandir or HERMES_SCANDIR";
/// The hint for a machine without s6.
const INSTALL: &str =
    "install it with one of: apt install s6 · apk add s6 · brew install s6 · pacman -S s6";

impl Tree {
    /// The tree that runs the gateways of this environment: on the scan directory named there, else on the
    /// system's if s6 is the init system, else on this user's. Fails if s6 is not installed.
    pub fn in_charge(environment: &Environment) -> Result<Self, DriverError> {
        let facts = &environment.facts;
        let system = || facts.s6_in_charge().then(|| PathBuf::from(SYSTEM_SCANDIR));
        match facts.named_scandir.clone().or_else(system) {
            Some(scandir) => Self::on(scandir, environment),
            None => Self::of_user(environment),
        }
    }

    /// The tree that `hermes up` runs: on the scan directory named in the environment, else on this user's.
    /// Fails if s6 is not installed.
    pub fn of_user(environment: &Environment) -> Result<Self, DriverError> {
        let named = environment.facts.named_scandir.clone();
        let scandir = named.unwrap_or_else(|| user_scandir(environment.runtime_dir().as_deref()));
        Self::on(scandir, environment)
    }

    fn on(scandir: PathBuf, environment: &Environment) -> Result<Self, DriverError> {
        let path = (environment.variable)("PATH").unwrap_or_default();
        let s6 = S6Programs::find(Path::new("/"), &path).ok_or_else(|| {
            DriverError::unreachable(
                "s6 is not installed: no s6-svscan was found in /command or on PATH",
            )
            .with_hint(INSTALL)
        })?;
        let programs = ScriptPrograms::new(s6, &environment.program);
        let (scandir, root) = (ScanDir::new(scandir), environment.root.clone());
        Ok(Self { timeouts: environment.timeouts, ..Self::new(scandir, root, programs) })
    }
}

/// The scan directory of this user's `hermes up`: below the runtime directory, which is private to the user
/// and cleared at a restart of the machine; without one, below `/tmp`.
pub fn user_scandir(runtime_dir: Option<&Path>) -> PathBuf {
    match runtime_dir {
        Some(dir) => dir.join("hermes/service"),
        None => {
            let uid = rustix::process::getuid().as_raw();
            PathBuf::from(format!("/tmp/hermes-{uid}/service"))
        }
    }
}

/// Whether an s6-svscan holds `scandir`, and this user owns both the directory and its parent. In `/tmp`
/// another user may create the parent first, or a link that leads to another tree of this user.
pub fn is_held_by_user(scandir: &Path) -> bool {
    let me = rustix::process::geteuid().as_raw();
    let is_mine =
        |path: &Path| fs::symlink_metadata(path).is_ok_and(|metadata| metadata.uid() == me);
    is_mine(scandir)
        && scandir.parent().is_some_and(is_mine)
        && matches!(ScanDir::new(scandir).svscan(), Ok(Some(_)))
}

/// Creates the scan directory. Refuses one in which another user could create a service, and so run programs
/// as this user. Idempotent.
pub fn prepare_scandir(scandir: &Path) -> Result<(), DriverError> {
    let failed = |error: io::Error| {
        let scandir = scandir.display();
        DriverError::unreachable(format!(
            "failed to create the scan directory `{scandir}`: {error}"
        ))
        .with_hint(ELSEWHERE)
    };
    DirBuilder::new().recursive(true).mode(0o700).create(scandir).map_err(failed)?;
    let me = rustix::process::geteuid().as_raw();
    for directory in [Some(scandir), scandir.parent()].into_iter().flatten() {
        let metadata = fs::symlink_metadata(directory).map_err(failed)?;
        if !is_closed(&metadata, me, directory != scandir) {
            let reason = format!(
                "another user owns `{}` or may write to it, and could run programs as this user",
                directory.display()
            );
            return Err(DriverError::unreachable(reason).with_hint(ELSEWHERE));
        }
    }
    Ok(())
}

/// Whether only `user` and root may replace entries in the directory. In a sticky parent, others may create
/// entries but not replace this user's.
fn is_closed(metadata: &Metadata, user: u32, is_parent: bool) -> bool {
    let is_sticky = metadata.mode() & 0o1000 != 0 && is_parent;
    [user, 0].contains(&metadata.uid()) && (metadata.mode() & 0o022 == 0 || is_sticky)
}
