//! Every name and mode in a slot and in a scan directory, once.
//!
//! Sources: `servicedir.html` and `scandir.html` of s6 for what s6 defines, `src/include/s6/supervise.h`
//! for the fixed names. `data/` is ours: s6 promises never to touch it.

use std::io;
use std::path::{Path, PathBuf};

use hermes_core::{ProfileName, fsutil};

/// What a slot's name begins with; the profile's name follows.
pub const SLOT_PREFIX: &str = "gateway-";
/// The longest profile name of which s6 can carry a slot: s6-svscan takes names up to 251 bytes.
pub const MAX_PROFILE_LEN: usize = 251 - SLOT_PREFIX.len();
/// What the names of our unpublished directories begin with. s6-svscan skips dot names.
pub const HIDDEN_PREFIX: &str = ".hermes-";
/// The lock of commands that change the scan directory.
pub const SCANDIR_LOCK: &str = ".hermes.lock";
/// The lock of a tree that begins, or is cleared away.
pub const TREE_LOCK: &str = ".hermes.tree.lock";

/// The descriptor on which a gateway says that it is ready (`notification-fd`).
pub const NOTIFICATION_FD: i32 = 3;
/// Which generation of scripts this version renders; raised with every change of `render`.
pub const GENERATION: u32 = 1;

pub(crate) const EVENT: &str = "event";
pub(crate) const SUPERVISE: &str = "supervise";
pub(crate) const EVENT_MODE: u32 = 0o3730;
pub(crate) const SUPERVISE_MODE: u32 = 0o755;
pub(crate) const CONTROL_MODE: u32 = 0o660;
pub(crate) const SCRIPT_MODE: u32 = 0o755;
pub(crate) const FILE_MODE: u32 = 0o644;

/// The name of the slot of `profile`.
pub fn slot_name(profile: &ProfileName) -> String {
    format!("{SLOT_PREFIX}{profile}")
}

/// The profile whose slot is called `name`; `None` for hidden names and strangers.
pub fn profile_of(name: &str) -> Option<ProfileName> {
    name.strip_prefix(SLOT_PREFIX)?.parse().ok()
}

/// A service directory: a slot, or its logger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceDir(PathBuf);

impl ServiceDir {
    /// The service directory at `path`, whether it exists or not.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The service directory of its logger.
    pub fn log(&self) -> Self {
        Self(self.0.join("log"))
    }

    /// The service proper and its logger: each has a supervisor of its own.
    pub fn parts(&self) -> [Self; 2] {
        [self.clone(), self.log()]
    }

    /// Where s6-supervise announces changes.
    pub fn event(&self) -> PathBuf {
        self.0.join(EVENT)
    }

    /// The FIFO that s6-supervise takes commands from.
    pub fn control(&self) -> PathBuf {
        self.0.join(SUPERVISE).join("control")
    }

    /// The file that s6-supervise locks for as long as it lives.
    pub fn lock(&self) -> PathBuf {
        self.0.join(SUPERVISE).join("lock")
    }

    /// The binary status record.
    pub fn status(&self) -> PathBuf {
        self.0.join(SUPERVISE).join("status")
    }

    /// The record of the last deaths.
    pub fn death_tally(&self) -> PathBuf {
        self.0.join(SUPERVISE).join("death_tally")
    }

    /// Present if s6-supervise is to leave the service down when it starts.
    pub fn down(&self) -> PathBuf {
        self.0.join("down")
    }

    /// Milliseconds after which s6-supervise kills a service that was told to stop.
    pub fn timeout_kill(&self) -> PathBuf {
        self.0.join("timeout-kill")
    }

    /// Why the gateway is parked; absent unless it is.
    pub fn parked(&self) -> PathBuf {
        self.0.join("data/parked")
    }

    /// How long the gateway waits to be started again; absent unless it does.
    pub fn backoff(&self) -> PathBuf {
        self.0.join("data/backoff")
    }

    /// When those deaths were that somebody asked for.
    pub fn asked_for(&self) -> PathBuf {
        self.0.join("data/asked-for")
    }

    /// When an operator last started the gateway.
    pub fn since(&self) -> PathBuf {
        self.0.join("data/since")
    }

    /// The generation that rendered the slot's scripts.
    pub fn generation(&self) -> PathBuf {
        self.0.join("data/generation")
    }

    /// Replaces the file at `path` in a slot by `bytes`, durably ([`fsutil::write_durably`]). It is written
    /// in the scan directory first, so that boot looks there alone for what crashes left in all slots.
    pub(crate) fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        // The working directory of `finish` is a slot, whatever that is called by now.
        fsutil::write_durably_by_way_of(&self.0.join(".."), path, bytes, FILE_MODE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_and_its_profile_name_each_other() {
        let coder = "coder".parse().unwrap();
        assert_eq!(slot_name(&coder), "gateway-coder");
        assert_eq!(profile_of("gateway-coder"), Some(coder));
        for stranger in ["gateway-", "gateway-A", "gateway-.x", ".gateway-a", "coder", ".hermes-x"]
        {
            assert_eq!(profile_of(stranger), None, "{stranger}");
        }
    }
}
