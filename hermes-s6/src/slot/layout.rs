//! The names and modes of all files in a slot and in a scan directory.
//!
//! Sources: s6's `servicedir.html`, `scandir.html` and `src/include/s6/supervise.h`. `data/` holds Hermes's
//! own files: s6 guarantees never to touch it.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hermes_core::config::StopTimeout;
use hermes_core::{ProfileName, fsutil};

/// The prefix of a slot's name; the profile's name follows.
pub const SLOT_PREFIX: &str = "gateway-";
/// The longest profile name whose slot s6-svscan accepts: its limit is 251 bytes for the slot's name.
pub const MAX_PROFILE_LEN: usize = 251 - SLOT_PREFIX.len();
/// The prefix of Hermes's hidden directories. s6-svscan skips names that begin with a dot.
pub const HIDDEN_PREFIX: &str = ".hermes-";
/// The lock that commands hold while they change the scan directory.
pub const SCANDIR_LOCK: &str = ".hermes.lock";
/// The lock held while a tree starts or a former tree is cleared.
pub const TREE_LOCK: &str = ".hermes.tree.lock";

/// The descriptor on which a gateway reports readiness (`notification-fd`).
pub const NOTIFICATION_FD: i32 = 3;
/// The generation of the scripts that this version renders; raise it with every change in `render`.
pub const GENERATION: u32 = 3;

/// Variables as in `/proc/PID/environ`: each ends with a NUL byte.
pub(crate) const EXTRA_ENV: &str = "data/extra-env";
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

/// The profile whose slot is called `name`; `None` for hidden directories and other services.
pub fn profile_of(name: &str) -> Option<ProfileName> {
    name.strip_prefix(SLOT_PREFIX)?.parse().ok()
}

/// A service directory: a slot, or its logger's.
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

    /// The service and its logger, each of which has its own supervisor.
    pub fn parts(&self) -> [Self; 2] {
        [self.clone(), self.log()]
    }

    /// Whether the slot has the scripts of its service and its logger.
    pub(crate) fn is_whole(&self) -> bool {
        let is_directory = self.0.symlink_metadata().is_ok_and(|metadata| metadata.is_dir());
        is_directory && self.parts().iter().all(|part| part.0.join("run").is_file())
    }

    /// The directory of the FIFOs to which s6-supervise writes its events.
    pub fn event(&self) -> PathBuf {
        self.0.join(EVENT)
    }

    /// The FIFO from which s6-supervise reads commands.
    pub fn control(&self) -> PathBuf {
        self.0.join(SUPERVISE).join("control")
    }

    /// The file that s6-supervise keeps locked while it runs.
    pub fn lock(&self) -> PathBuf {
        self.0.join(SUPERVISE).join("lock")
    }

    /// The binary status record.
    pub fn status(&self) -> PathBuf {
        self.0.join(SUPERVISE).join("status")
    }

    /// The binary record of the last deaths.
    pub fn death_tally(&self) -> PathBuf {
        self.0.join(SUPERVISE).join("death_tally")
    }

    /// If this file exists, a new s6-supervise does not start the service.
    pub fn down(&self) -> PathBuf {
        self.0.join("down")
    }

    /// Milliseconds between SIGTERM and SIGKILL when s6-supervise stops the service.
    pub fn timeout_kill(&self) -> PathBuf {
        self.0.join("timeout-kill")
    }

    /// The gateway's stop budget, computed from [`timeout_kill`](Self::timeout_kill).
    pub(crate) fn stop_timeout(&self) -> StopTimeout {
        let text = fsutil::read_to_string(&self.timeout_kill()).unwrap_or_default();
        let kill_after = text.trim().parse().map(Duration::from_millis);
        kill_after.map(StopTimeout::killing_after).unwrap_or_default()
    }

    /// Since when and why the gateway is parked; absent unless it is.
    pub fn parked(&self) -> PathBuf {
        self.0.join("data/parked")
    }

    /// Exists while the service stays down although its intent says otherwise: an operator stopped it.
    pub fn held(&self) -> PathBuf {
        self.0.join("data/held")
    }

    /// The pending restart's count and time; absent unless the gateway is in backoff.
    pub fn backoff(&self) -> PathBuf {
        self.0.join("data/backoff")
    }

    /// The log of the service's deaths.
    pub fn deaths_log(&self) -> PathBuf {
        self.0.join("data/deaths")
    }

    /// When an operator last started the gateway, and the last death before that.
    pub fn since(&self) -> PathBuf {
        self.0.join("data/since")
    }

    /// The variables that the slot was registered with, which its `run` exports.
    pub(crate) fn extra_env(&self) -> io::Result<BTreeMap<String, String>> {
        let bytes = fsutil::read_if_there(&self.0.join(EXTRA_ENV))?.unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let variables = text.split('\0').filter_map(|variable| variable.split_once('='));
        Ok(variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    /// The [`GENERATION`] of the slot's scripts.
    pub fn generation(&self) -> PathBuf {
        self.0.join("data/generation")
    }

    /// Durably replaces the file at `path` in a slot with `bytes` ([`fsutil::write_durably`]). The temporary
    /// file is in the scan directory, so that boot finds all leftovers there without searching every slot.
    pub(crate) fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        // `finish` runs in its slot, which may have been renamed: only a relative path is right.
        fsutil::write_durably_by_way_of(&self.0.join(".."), path, bytes, FILE_MODE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slot_names_and_profiles_map_to_each_other() {
        let coder = "coder".parse().unwrap();
        assert_eq!(slot_name(&coder), "gateway-coder");
        assert_eq!(profile_of("gateway-coder"), Some(coder));
        for other in ["gateway-", "gateway-A", "gateway-.x", ".gateway-a", "coder", ".hermes-x"] {
            assert_eq!(profile_of(other), None, "{other}");
        }
    }
}
