//! The profiles of one root home: create, delete, rename, list, show, choose, export, import.
//!
//! A profile appears and disappears by one rename(2), so no process ever sees a partial profile; `staged` has the one
//! exception.
//! Leftovers of a crash have a dot name; [`Store::remove_leftovers`] removes them.

mod clone;
mod delete;
mod edit;
mod error;
mod graves;
mod leftovers;
mod open;
mod place;
mod port_writer;
mod ports;
mod rename;
mod staged;
mod transfer;

use std::io;
use std::path::Path;
use std::time::Duration;

use fs_err as fs;

use crate::agent;
use crate::config::{ConfigError, GatewayConfig};
use crate::fsutil;
use crate::home::{ProfileHome, RootHome};
use crate::intent::Intent;
use crate::lock::{Lock, LockError};
use crate::name::ProfileName;
use crate::settings;
use crate::writers;

pub use error::StoreError;
pub use leftovers::Cleared;
pub use place::Skipped;
pub use port_writer::PortChange;
pub(crate) use ports::is_free;
pub use rename::{Interrupted, Renaming, Settled};
pub use transfer::Imported;

/// The port of `default` if its configuration has none, and of no other profile.
pub const DEFAULT_PORT: u16 = agent::FALLBACK;
/// The first port that the store assigns.
pub const FIRST_PORT: u16 = DEFAULT_PORT + 1;

/// The name prefix of profiles being created or removed; a dot name can't be a profile's.
const HIDDEN: &str = ".hermes-";
/// How long commands wait for each other by default.
const TIMEOUT: Duration = Duration::from_secs(15);

/// The profiles of one root home.
#[derive(Debug, Clone)]
pub struct Store {
    root: RootHome,
    timeout: Duration,
    open_homes: bool,
}

/// One profile and its home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Its name.
    pub name: ProfileName,
    /// Its home.
    pub home: ProfileHome,
}

impl Profile {
    /// The port that its gateway listens on: `gateway.port` in `config`; if that is unset,
    /// [`DEFAULT_PORT`] for `default` and no port for any other profile. None if the gateway is an agent whose API server
    /// is disabled.
    pub fn port(&self, config: &GatewayConfig) -> Option<u16> {
        let port = config.port.or(self.name.is_default().then_some(DEFAULT_PORT));
        port.filter(|_| config.may_listen())
    }
}

/// The result of [`Store::list`].
#[derive(Debug, Default)]
pub struct Listing {
    /// The profiles, `default` first, then by name.
    pub profiles: Vec<Profile>,
    /// Directories that look like profiles but are not valid ones.
    pub skipped: Vec<Skipped>,
}

impl Store {
    /// The profiles below `root`. Reads nothing yet. Commands wait for each other at most 15 s.
    pub fn new(root: RootHome) -> Self {
        Self { root, timeout: TIMEOUT, open_homes: false }
    }

    /// The same store; its commands wait for each other at most `timeout`.
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// How long commands wait for each other.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Takes the lock of `profile`, which a command holds while it changes the profile or its service.
    /// Blocks while another command holds the lock, at most for the store's timeout.
    pub fn lock_profile(&self, profile: &ProfileName) -> Result<Lock, LockError> {
        Lock::acquire(&self.root.profile_lock(profile), self.timeout)
    }

    /// The root home.
    pub fn root(&self) -> &RootHome {
        &self.root
    }

    /// Creates a profile with the given port (or the lowest free one from [`FIRST_PORT`] up) and
    /// intent. Not idempotent: an existing name is [`StoreError::Exists`]. Another profile's port is
    /// [`StoreError::PortTaken`]. A partial profile is never
    /// visible, and a failure leaves nothing behind. Blocks while another command creates a profile,
    /// at most for the store's timeout.
    pub fn create(
        &self,
        name: &ProfileName,
        port: Option<u16>,
        intent: Intent,
    ) -> Result<Profile, StoreError> {
        self.create_with(None, name, port, intent)
    }

    /// Like [`create`](Self::create), with the configuration, secrets, character, skills and memories of `other`. Every
    /// place that names a port names that of the new profile.
    pub fn create_like(
        &self,
        other: &Profile,
        name: &ProfileName,
        port: Option<u16>,
        intent: Intent,
    ) -> Result<Profile, StoreError> {
        self.create_with(Some(other), name, port, intent)
    }

    fn create_with(
        &self,
        like: Option<&Profile>,
        name: &ProfileName,
        port: Option<u16>,
        intent: Intent,
    ) -> Result<Profile, StoreError> {
        if name.is_reserved() {
            return Err(StoreError::Reserved { name: name.clone() });
        }
        self.refuse_open(None)?;
        self.settle_renames_of(name, self.timeout)?;
        if self.find(name)?.is_some() {
            return Err(StoreError::Exists { name: name.clone() });
        }
        let failed = |source| StoreError::Create { name: name.clone(), source };
        let _ports = self.lock_ports(failed)?;
        let port = match port {
            Some(port) => self.unclaimed(port, name)?,
            None => self.free_port(name)?,
        };
        let staged = self.stage(name).map_err(failed)?;
        if let Some(other) = like {
            clone::copy(other.home.path(), staged.path()).map_err(failed)?;
        }
        populate_home(staged.path(), name, port, intent).map_err(failed)?;
        if like.is_some() {
            port_writer::write(&self.root.staged(name, staged.path()), port)?;
            fsutil::sync_all_below(staged.path()).map_err(failed)?;
        }
        // tempfile creates the directory with mode 0700; a profile is as open as its root home.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(staged.path(), mode).map_err(failed)?;
        self.publish(staged, name, failed)
    }

    /// All profiles. `default` is among them if the root home exists.
    pub fn list(&self) -> Result<Listing, StoreError> {
        let mut listing = Listing::default();
        listing.profiles.extend(self.find(&ProfileName::default_profile())?);
        let failed = |source| StoreError::List { path: self.root.profiles(), source };
        let entries = match fs::read_dir(self.root.profiles()) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(listing),
            Err(error) => return Err(failed(error)),
        };
        for entry in entries {
            let path = entry.map_err(failed)?.path();
            match self.profile_at(&path) {
                Ok(Some(profile)) => listing.profiles.push(profile),
                Ok(None) => {}
                Err(skipped) => listing.skipped.push(skipped),
            }
        }
        listing.profiles.sort_by(|a, b| a.name.cmp_for_listing(&b.name));
        listing.skipped.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(listing)
    }

    /// The names of all profiles, in the order of [`list`](Self::list).
    pub fn names(&self) -> Result<Vec<ProfileName>, StoreError> {
        Ok(self.list()?.profiles.into_iter().map(|profile| profile.name).collect())
    }

    /// The same, with those of directories that can't be read: they may be profiles, whose gateways may run.
    pub fn possible_names(&self) -> Result<Vec<ProfileName>, StoreError> {
        let Listing { profiles, skipped } = self.list()?;
        let unreadable = skipped.iter().filter(|skipped| skipped.unreadable);
        let unreadable =
            unreadable.filter_map(|skipped| skipped.path.file_name()?.to_str()?.parse().ok());
        let mut names: Vec<_> = profiles.into_iter().map(|profile| profile.name).collect();
        names.extend(unreadable);
        names.sort_by(ProfileName::cmp_for_listing);
        Ok(names)
    }

    /// The profile called `name`, or `None`.
    pub fn find(&self, name: &ProfileName) -> Result<Option<Profile>, StoreError> {
        let home = self.root.profile(name);
        let failed = |source| StoreError::List { path: home.path().to_owned(), source };
        let exists = match name.is_default() {
            true => home.path().is_dir(),
            false => place::is_home(home.path()).map_err(failed)?,
        };
        Ok(exists.then(|| Profile { name: name.clone(), home }))
    }

    /// The profile called `name`, or [`StoreError::Absent`] or [`StoreError::Displaced`].
    pub fn get(&self, name: &ProfileName) -> Result<Profile, StoreError> {
        if let Some(profile) = self.find(name)? {
            return Ok(profile);
        }
        let (name, path) = (name.clone(), self.root.profile(name).path().to_owned());
        // An empty directory gives way to a new profile.
        let is_free = path.symlink_metadata().is_err()
            || path.read_dir().is_ok_and(|mut entries| entries.next().is_none());
        Err(if is_free {
            StoreError::Absent { name }
        } else {
            StoreError::Displaced { name, path }
        })
    }

    /// The profile chosen for interactive commands without `-p`, if any.
    pub fn active(&self) -> Result<Option<ProfileName>, StoreError> {
        let path = self.root.active_profile();
        let bytes = fsutil::read_if_there(&path)
            .map_err(|source| StoreError::Active { path: path.clone(), source })?;
        let Some(bytes) = bytes else { return Ok(None) };
        let text = String::from_utf8_lossy(&bytes);
        match text.trim() {
            "" => Ok(None),
            name => Ok(Some(name.parse().map_err(|error| StoreError::Active {
                path,
                source: io::Error::new(io::ErrorKind::InvalidData, error),
            })?)),
        }
    }

    /// Chooses `name` for interactive commands without `-p`; `default` undoes the choice.
    /// Idempotent. An absent profile is [`StoreError::Absent`].
    pub fn set_active(&self, name: &ProfileName) -> Result<(), StoreError> {
        self.get(name)?;
        self.choose(name)
    }

    fn choose(&self, name: &ProfileName) -> Result<(), StoreError> {
        let path = self.root.active_profile();
        let _ports = self.lock_ports(|source| StoreError::Active { path, source })?;
        self.write_active(name)
    }

    /// Needs the lock on the profiles.
    fn write_active(&self, name: &ProfileName) -> Result<(), StoreError> {
        let path = self.root.active_profile();
        let written = if name.is_default() {
            fsutil::remove_file_if_there(&path).map(drop)
        } else {
            let text = format!("{name}\n");
            fsutil::write_durably(&path, text.as_bytes(), 0o644)
        };
        written.map_err(|source| StoreError::Active { path, source })
    }

    /// The port of a profile's gateway ([`Profile::port`]), read from its current `config.yaml`.
    pub fn port(&self, profile: &Profile) -> Result<Option<u16>, ConfigError> {
        Ok(profile.port(&settings::load(&profile.home)?.gateway))
    }
}

const CONFIG_MODE: u32 = 0o644;

/// Writes the files of a new profile into the staged directory `at`. Keeps files that exist, which come
/// from an archive, but always writes the intent.
fn populate_home(at: &Path, name: &ProfileName, port: u16, intent: Intent) -> io::Result<()> {
    let config = format!(
        "# Profile `{name}`. Hermes reads the keys under `gateway`; all others are the agent's.\n\
         gateway:\n  port: {port}\n"
    );
    let home = RootHome::new(at).profile(&ProfileName::default_profile());
    let dotenv = b"# Secrets of this profile, as NAME=value lines.\n";
    for (path, bytes, mode) in [
        (home.soul(), &b""[..], 0o644),
        (home.config(), config.as_bytes(), CONFIG_MODE),
        (home.dotenv(), dotenv, 0o600),
    ] {
        if !fsutil::exists(&path)? {
            fsutil::write_durably(&path, bytes, mode)?;
        }
    }
    if !fsutil::exists(&home.logs())? {
        writers::create_log_directory(&home.logs())?;
    }
    intent.write(&home).map_err(io::Error::other)
}
