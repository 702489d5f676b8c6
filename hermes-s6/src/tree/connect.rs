//! Finds the scan directory of a home's gateways, and checks that other users can't write to it.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use fs_err as fs;
use hermes_core::driver::{DriverError, Environment};
use hermes_core::home::env;
use hermes_core::writers;
use hermes_core::{Proc, RootHome};
use rustix::fs::{AtFlags, CWD, StatVfsMountFlags, StatxAttributes, StatxFlags};

use crate::programs::S6Programs;
use crate::protocol::scandir::ScanDir;
use crate::slot::render::ScriptPrograms;
use crate::tree::{Tree, owner};

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
        let facts = &environment.facts;
        let known = facts.named_scandir.clone().or_else(|| facts.user_scandir.clone());
        let scandir = known.unwrap_or_else(|| user_scandir(environment.runtime_dir().as_deref()));
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
        let has_owner = (environment.variable)(env::OWNER_LOCK).is_none_or(|value| value != "off");
        let timeouts = environment.timeouts;
        Ok(Self { timeouts, has_owner, ..Self::new(scandir, root, programs) })
    }
}

/// The scan directory of this user's `hermes up` that runs the gateways of `root`: the one that the home's owner lock
/// names, else the usual one, if a tree of this user runs there. A session and a cron job have different
/// environments, and mean the same tree. The named one may have been removed, as a runtime directory is at logout.
pub fn find_user_scandir(root: &RootHome, runtime_dir: Option<&Path>) -> Option<PathBuf> {
    let owner = || {
        let scandir = owner::owner(root).ok()??.scandir_here(&Proc::default())?;
        let held = is_mine(&scandir) && matches!(ScanDir::new(&scandir).svscan(), Ok(Some(_)));
        (held || !scandir.exists()).then_some(scandir)
    };
    let usual = || Some(user_scandir(runtime_dir)).filter(|scandir| is_held_by_user(scandir));
    owner().or_else(usual)
}

/// The scan directory of this user's `hermes up`, unless the environment names one: below the runtime directory, which is private to the user
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
fn is_held_by_user(scandir: &Path) -> bool {
    is_mine(scandir)
        && scandir.parent().is_some_and(is_mine)
        && matches!(ScanDir::new(scandir).svscan(), Ok(Some(_)))
}

fn is_mine(path: &Path) -> bool {
    let me = rustix::process::geteuid().as_raw();
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.uid() == me)
}

/// Refuses a scan directory on a file system where s6 can't write, or can't execute the scripts of services. Creates
/// nothing. A file system that can't be examined is not refused.
fn refuse_mount(scandir: &Path) -> Result<(), DriverError> {
    let existing = scandir.ancestors().find_map(|path| fs::canonicalize(path).ok());
    let Some(existing) = existing else { return Ok(()) };
    let flags = rustix::fs::statvfs(&existing).map(|stat| stat.f_flag);
    let (option, why) = match flags {
        Ok(flags) if flags.contains(StatVfsMountFlags::RDONLY) => {
            ("read-only", "s6 keeps the state of services")
        }
        Ok(flags) if flags.contains(StatVfsMountFlags::NOEXEC) => {
            ("noexec", "s6 executes the scripts of services")
        }
        _ => return Ok(()),
    };
    let is_mount = |path: &&Path| {
        let stat = rustix::fs::statx(CWD, *path, AtFlags::empty(), StatxFlags::BASIC_STATS);
        stat.is_ok_and(|stat| stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
    };
    let mount = existing.ancestors().find(is_mount).unwrap_or(&existing);
    // The root of a container stays as it is.
    let missing = match mount.parent() {
        Some(_) => mount,
        None => scandir.parent().unwrap_or(scandir),
    };
    let reason = format!(
        "`{}` is mounted {option}, and {why} in the scan directory `{}`",
        mount.display(),
        scandir.display()
    );
    let hint = format!("in a container: --tmpfs {}:exec; or {ELSEWHERE}", missing.display());
    Err(DriverError::unreachable(reason).with_hint(hint))
}

/// Creates the scan directory. Refuses one where services can't be run, and one in which another user could create a service, and so run programs
/// as this user. Idempotent.
pub fn prepare_scandir(scandir: &Path) -> Result<(), DriverError> {
    let failed = |error: io::Error| {
        let scandir = scandir.display();
        DriverError::unreachable(format!(
            "failed to create the scan directory `{scandir}`: {error}"
        ))
        .with_hint(ELSEWHERE)
    };
    refuse_mount(scandir)?;
    DirBuilder::new().recursive(true).mode(0o700).create(scandir).map_err(failed)?;
    for directory in [Some(scandir), scandir.parent()].into_iter().flatten() {
        let metadata = fs::symlink_metadata(directory).map_err(failed)?;
        if !writers::is_closed(&metadata, directory != scandir) {
            let reason = format!(
                "another user owns `{}` or may write to it, and could run programs as this user",
                directory.display()
            );
            return Err(DriverError::unreachable(reason).with_hint(ELSEWHERE));
        }
    }
    Ok(())
}
