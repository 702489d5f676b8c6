//! One supervision tree: the scan directory, the home whose gateways it runs, the programs that
//! its scripts call, and how patient commands are with it.

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
pub mod svscan;
pub(crate) mod svscan_view;

use std::ffi::OsString;
use std::path::PathBuf;

use fs_err as fs;
use hermes_core::DriverError;
use hermes_core::home::env;
use hermes_core::lock::Lock;
use hermes_core::process_lock::Holder;
use hermes_core::wait::Timeouts;
use hermes_core::{ProfileName, RootHome};

use crate::protocol::scandir::ScanDir;
use crate::slot::layout::{MAX_PROFILE_LEN, TREE_LOCK};
use crate::slot::render::ScriptPrograms;
use crate::tree::capacity::Capacity;
use crate::tree::shutdown::Shutdown;
use hermes_core::proc::{Proc, same_directory};

/// Where s6-overlay keeps the environment that `with-contenv` gives to a service.
const CONTAINER_ENVIRONMENT: &str = "/run/s6/container_environment";

/// A supervision tree and what is needed to work with it.
#[derive(Debug, Clone)]
pub struct Tree {
    /// The scan directory that holds the slots.
    pub scandir: ScanDir,
    /// The home whose gateways the tree runs.
    pub root: RootHome,
    /// The programs that rendered scripts call.
    pub programs: ScriptPrograms,
    /// How long commands wait.
    pub timeouts: Timeouts,
    /// The proc file system.
    pub proc: Proc,
    /// Whether this process stops the tree.
    pub shutdown: Shutdown,
}

impl Tree {
    /// The tree on `scandir` that runs the gateways of `root`. Nothing is read yet.
    pub fn new(scandir: ScanDir, root: RootHome, programs: ScriptPrograms) -> Self {
        let (timeouts, proc, shutdown) = Default::default();
        Self { scandir, root, programs, timeouts, proc, shutdown }
    }

    /// The s6-svscan that holds the scan directory; without one the error is of the class [`Class::Unreachable`](hermes_core::driver::Class::Unreachable).
    pub fn require_svscan(&self) -> Result<Holder, DriverError> {
        let path = self.scandir.path().display();
        self.scandir.svscan()?.ok_or_else(|| {
            DriverError::unreachable(format!("no s6-svscan holds the scan directory `{path}`"))
                .with_hint("`hermes up` runs a supervision tree for this user")
        })
    }

    /// Refuses a tree that runs another home's gateways, where its home can be known.
    pub fn require_same_home(&self, svscan: Holder) -> Result<(), DriverError> {
        let Some(home) = self.home_of(svscan) else {
            return Ok(());
        };
        if same_directory(&home, self.root.path()) {
            return Ok(());
        }
        let (theirs, ours) = (home.display(), self.root.path().display());
        Err(DriverError::unreachable(format!(
            "this tree runs the gateways of `{theirs}`, and the home here is `{ours}`"
        ))
        .with_hint(format!(
            "set {}={theirs}, or name the tree of `{ours}` with --scandir",
            env::HOME
        )))
    }

    /// Refuses the tree of another home, if there is a tree.
    pub fn refuse_other_home(&self) -> Result<(), DriverError> {
        match self.scandir.svscan()? {
            Some(svscan) => self.require_same_home(svscan),
            None => Ok(()),
        }
    }

    /// The home that services of this tree get, if a plain user may know it.
    pub fn home_of(&self, svscan: Holder) -> Option<PathBuf> {
        self.variable(svscan, env::HOME).map(PathBuf::from)
    }

    /// A variable that services of this tree get, if a plain user may know it.
    pub fn variable(&self, svscan: Holder, name: &str) -> Option<OsString> {
        let contained = self.programs.s6.with_contenv.is_some().then(|| {
            let text = fs::read_to_string(format!("{CONTAINER_ENVIRONMENT}/{name}")).ok()?;
            Some(OsString::from(text.trim_end_matches('\n')))
        });
        contained.flatten().or_else(|| self.proc.variable(svscan.pid?, name).ok()?)
    }

    /// Refuses a name that s6 can't carry, before anything is written.
    pub fn require_short_name(&self, profile: &ProfileName) -> Result<(), DriverError> {
        let len = profile.as_str().len();
        if len <= MAX_PROFILE_LEN {
            return Ok(());
        }
        let why = format!("the name has {len} bytes, and s6 carries at most {MAX_PROFILE_LEN}");
        Err(DriverError::new(why))
    }

    /// What limits the scan directory and how much of it is used.
    pub fn capacity(&self, svscan: Holder) -> std::io::Result<Capacity> {
        Capacity::of(&self.scandir, &self.proc, svscan.pid)
    }

    /// Takes the lock of `profile`, which every command holds that changes it.
    pub fn lock_profile(&self, profile: &ProfileName) -> Result<Lock, DriverError> {
        self.lock(self.root.profile_lock(profile))
    }

    /// Takes the lock on the scan directory. A profile's lock is taken before it, never after.
    pub(crate) fn lock_scandir(&self) -> Result<Lock, DriverError> {
        self.lock(self.scandir.command_lock())
    }

    /// Takes the lock under which an s6-svscan is started on the scan directory, and what a former one
    /// left is cleared away: of two at once, the second would clear what the first has just begun.
    pub fn lock_tree(&self) -> Result<Lock, DriverError> {
        self.lock(self.scandir.path().join(TREE_LOCK))
    }

    fn lock(&self, path: PathBuf) -> Result<Lock, DriverError> {
        Ok(Lock::acquire(&path, self.timeouts.lock)?)
    }
}
