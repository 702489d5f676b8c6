//! A supervision tree: its scan directory, the home whose gateways it runs, the programs that its scripts
//! run, and how long commands wait for it.

pub(crate) mod bootlog;
pub mod capacity;
pub(crate) mod changes;
pub mod connect;
pub mod delegate;
pub mod owner;
pub mod process_tracker;
pub mod shutdown;
pub(crate) mod stray;
pub(crate) mod survey;
pub(crate) mod suspended;
pub mod svscan;
pub(crate) mod svscan_view;
pub(crate) mod unregistered;

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

use fs_err as fs;
use hermes_core::driver::{DriverError, UP};
use hermes_core::error_chain::in_one_line;
use hermes_core::home::env;
use hermes_core::lock::Lock;
use hermes_core::process_lock::Holder;
use hermes_core::wait::Timeouts;
use hermes_core::writers::ALLOWED;
use hermes_core::{ProfileName, RootHome};

use crate::protocol::scandir::ScanDir;
use crate::slot::layout::{MAX_PROFILE_LEN, ServiceDir, TREE_LOCK};
use crate::slot::render::ScriptPrograms;
use crate::tree::capacity::Capacity;
use crate::tree::shutdown::Shutdown;
use hermes_core::proc::{Proc, same_directory};

/// The directory of the variables that s6-overlay's `with-contenv` passes to a service, one file each.
const CONTAINER_ENVIRONMENT: &str = "/run/s6/container_environment";

/// A supervision tree, with the settings to work with it.
#[derive(Debug, Clone)]
pub struct Tree {
    /// The scan directory that holds the slots.
    pub scandir: ScanDir,
    /// The home whose gateways the tree runs.
    pub root: RootHome,
    /// The programs that rendered scripts run.
    pub programs: ScriptPrograms,
    /// How long commands wait.
    pub timeouts: Timeouts,
    /// The proc file system.
    pub proc: Proc,
    /// Whether this process is stopping the tree.
    pub shutdown: Shutdown,
    /// Whether only the home's owner runs its gateways; `false` for a file system without locks.
    pub has_owner: bool,
}

impl Tree {
    /// A line that names an s6-svscan among all that run one after the other: its process ID and start time.
    pub(crate) fn identity_of(&self, svscan: Holder) -> String {
        let pid = svscan.pid.unwrap_or_default();
        let started = self.proc.start_time(pid).unwrap_or_default();
        format!("{pid} {started}\n")
    }

    /// The tree on `scandir` that runs the gateways of `root`. Nothing is read yet.
    pub fn new(scandir: ScanDir, root: RootHome, programs: ScriptPrograms) -> Self {
        let (timeouts, proc, shutdown) = Default::default();
        Self { scandir, root, programs, timeouts, proc, shutdown, has_owner: true }
    }

    /// The s6-svscan that holds the scan directory; unreachable if there is none.
    pub fn require_svscan(&self) -> Result<Holder, DriverError> {
        if let Some(svscan) = self.scandir.svscan()? {
            return Ok(svscan);
        }
        self.refuse_other_owner()?;
        let path = self.scandir.path().display();
        if let Some(Holder { pid: Some(svscan) }) = self.svscan()? {
            let reason = format!(
                "the scan directory `{path}` was removed, and its s6-svscan still runs as process {svscan}"
            );
            return Err(DriverError::unreachable(reason).with_hint("`hermes down` ends the tree"));
        }
        let reason = format!("no s6-svscan holds the scan directory `{path}`");
        Err(DriverError::unreachable(reason).with_hint(UP))
    }

    /// The s6-svscan that holds the scan directory, or did so when the directory was removed. Does not wait.
    pub fn svscan(&self) -> io::Result<Option<Holder>> {
        if let Some(svscan) = self.scandir.svscan()? {
            return Ok(Some(svscan));
        }
        let owner = || owner::owner(&self.root).ok().flatten().filter(|owner| owner.runs(self));
        let removed = !self.has_scandir();
        Ok(if removed { owner().map(|owner| owner.svscan) } else { None })
    }

    pub(crate) fn has_scandir(&self) -> bool {
        self.scandir.path().symlink_metadata().is_ok()
    }

    /// Refuses a tree that runs another home's gateways. A tree whose home can't be read is accepted.
    pub fn require_same_home(&self, svscan: Holder) -> Result<(), DriverError> {
        let Some(home) = self.home_of(svscan) else {
            return Ok(());
        };
        let root = self.root.path();
        let is_ours = svscan.pid.and_then(|pid| self.proc.looks_at(pid, &home, root));
        if is_ours.unwrap_or_else(|| same_directory(&home, root)) {
            return Ok(());
        }
        let (theirs, ours) = (home.display(), root.display());
        if same_directory(&home, root) {
            return Err(DriverError::unreachable(format!(
                "this tree runs the gateways of another directory that is `{theirs}` in its mount namespace"
            ))
            .with_hint("run the command there"));
        }
        Err(DriverError::unreachable(format!(
            "this tree runs the gateways of `{theirs}`, not of `{ours}`"
        ))
        .with_hint(format!(
            "set {}={theirs}, or name the tree of `{ours}` with --scandir",
            env::HOME
        )))
    }

    /// Refuses a change to a service, or to a profile with one, if another tree is the owner of the home: its slots,
    /// not this tree's, are the services. Names the owner.
    pub fn refuse_other_owner(&self) -> Result<(), DriverError> {
        match owner::other_owner(self) {
            Ok(None) => Ok(()),
            Ok(Some(owner)) => Err(owner::elsewhere(&owner)),
            Err(error) => {
                log::warn!("the owner of the home can't be read: {}", in_one_line(&error));
                Ok(())
            }
        }
    }

    /// Refuses a tree that runs another home's gateways. Succeeds if no tree runs.
    pub fn refuse_other_home(&self) -> Result<(), DriverError> {
        match self.scandir.svscan()? {
            Some(svscan) => self.require_same_home(svscan),
            None => Ok(()),
        }
    }

    /// The home whose gateways the tree runs; `None` if this user can't read it.
    pub fn home_of(&self, svscan: Holder) -> Option<PathBuf> {
        self.variable(svscan, env::HOME).map(PathBuf::from)
    }

    /// Whether the gateway in `slot` finds the variable that allows homes which other users may write to, as far as this
    /// user can read its environment.
    pub fn allows_open_homes(&self, slot: &ServiceDir) -> bool {
        // Every tree has a home: without one, its environment can't be read.
        let Ok(Some(svscan)) = self.scandir.svscan() else { return true };
        let of_slot =
            slot.extra_env().ok().and_then(|mut variables| variables.remove(env::OPEN_HOME));
        let value = of_slot.map(OsString::from).or_else(|| self.variable(svscan, env::OPEN_HOME));
        self.home_of(svscan).is_none() || value.is_some_and(|value| value == ALLOWED)
    }

    /// A variable in the environment of the tree's services; `None` if unset or unreadable for this user.
    pub fn variable(&self, svscan: Holder, name: &str) -> Option<OsString> {
        let in_container = self.programs.s6.with_contenv.is_some().then(|| {
            let text = fs::read_to_string(format!("{CONTAINER_ENVIRONMENT}/{name}")).ok()?;
            Some(OsString::from(text.trim_end_matches('\n')))
        });
        in_container.flatten().or_else(|| self.proc.variable(svscan.pid?, name).ok()?)
    }

    /// Refuses a name that is too long for a slot ([`MAX_PROFILE_LEN`]).
    pub fn require_short_name(&self, profile: &ProfileName) -> Result<(), DriverError> {
        let len = profile.as_str().len();
        if len <= MAX_PROFILE_LEN {
            return Ok(());
        }
        let reason = format!("the name has {len} bytes, and s6 carries at most {MAX_PROFILE_LEN}");
        Err(DriverError::new(reason))
    }

    /// The limits of the scan directory and its use of them.
    pub fn capacity(&self, svscan: Holder) -> std::io::Result<Capacity> {
        Capacity::of(&self.scandir, &self.proc, svscan.pid)
    }

    /// Takes the lock of `profile`, which every command that changes the profile holds. Blocks until the lock
    /// timeout at most.
    pub fn lock_profile(&self, profile: &ProfileName) -> Result<Lock, DriverError> {
        self.lock(self.root.profile_lock(profile))
    }

    /// Takes the lock on the scan directory. Lock order: the profile's lock before this one, never after.
    pub(crate) fn lock_scandir(&self) -> Result<Lock, DriverError> {
        self.lock(self.scandir.command_lock())
    }

    /// Takes the lock that `hermes up` holds while it clears a former tree and starts s6-svscan. Otherwise a
    /// second `hermes up` could clear the tree that the first is just starting.
    pub fn lock_tree(&self) -> Result<Lock, DriverError> {
        self.lock(self.scandir.path().join(TREE_LOCK))
    }

    fn lock(&self, path: PathBuf) -> Result<Lock, DriverError> {
        Ok(Lock::acquire(&path, self.timeouts.lock)?)
    }
}
