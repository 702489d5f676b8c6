//! Which scan directory holds a home's gateways, and whether it can be trusted.

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

/// The scan directory of a machine where s6 is in charge.
const SYSTEM_SCANDIR: &str = "/run/service";
/// What to do about a scan directory that can't be used.
const ELSEWHERE: &str = "--scandir or HERMES_SCANDIR names another place";
/// What to do where s6 is missing.
const INSTALL: &str =
    "install it with one of: apt install s6 · apk add s6 · brew install s6 · pacman -S s6";

impl Tree {
    /// The tree that holds the gateways of this environment: on the scan directory that was named, else on
    /// the system's if s6 is in charge, else on this user's own.
    pub fn in_charge(environment: &Environment) -> Result<Self, DriverError> {
        let facts = &environment.facts;
        let system = || facts.s6_in_charge().then(|| PathBuf::from(SYSTEM_SCANDIR));
        match facts.named_scandir.clone().or_else(system) {
            Some(scandir) => Self::on(scandir, environment),
            None => Self::of_user(environment),
        }
    }

    /// The tree that `hermes up` runs: on the scan directory that was named, else on this user's own.
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

/// The scan directory of this user's own `hermes up`: below the runtime directory, which is the user's
/// alone and gone after a restart.
pub fn user_scandir(runtime_dir: Option<&Path>) -> PathBuf {
    match runtime_dir {
        Some(dir) => dir.join("hermes/service"),
        None => {
            let uid = rustix::process::getuid().as_raw();
            PathBuf::from(format!("/tmp/hermes-{uid}/service"))
        }
    }
}

/// Whether an s6-svscan holds `scandir`, and both it and its parent are this user's. Where others may write
/// in the parent's parent, somebody else may have been first; a link of theirs may lead to another tree of
/// this user's.
pub fn is_held_by_user(scandir: &Path) -> bool {
    let me = rustix::process::geteuid().as_raw();
    let is_mine =
        |path: &Path| fs::symlink_metadata(path).is_ok_and(|metadata| metadata.uid() == me);
    is_mine(scandir)
        && scandir.parent().is_some_and(is_mine)
        && matches!(ScanDir::new(scandir).svscan(), Ok(Some(_)))
}

/// Creates the scan directory, and refuses one into which somebody else could put a service: whoever may
/// write there can run programs as this user. Idempotent.
pub fn prepare_scandir(scandir: &Path) -> Result<(), DriverError> {
    let failed = |error: io::Error| {
        let why = format!("failed to create the scan directory `{}`: {error}", scandir.display());
        DriverError::unreachable(why).with_hint(ELSEWHERE)
    };
    DirBuilder::new().recursive(true).mode(0o700).create(scandir).map_err(failed)?;
    let me = rustix::process::geteuid().as_raw();
    for directory in [Some(scandir), scandir.parent()].into_iter().flatten() {
        let metadata = fs::symlink_metadata(directory).map_err(failed)?;
        if !is_closed(&metadata, me, directory != scandir) {
            let why = format!(
                "`{}` belongs to, or is open to, others: whoever may write there can run programs as this user",
                directory.display()
            );
            return Err(DriverError::unreachable(why).with_hint(ELSEWHERE));
        }
    }
    Ok(())
}

/// Whether only `user` and root may replace entries in the directory. In a sticky parent others may create
/// entries, but not replace those of this user.
fn is_closed(metadata: &Metadata, user: u32, is_parent: bool) -> bool {
    let is_sticky = metadata.mode() & 0o1000 != 0 && is_parent;
    [user, 0].contains(&metadata.uid()) && (metadata.mode() & 0o022 == 0 || is_sticky)
}
