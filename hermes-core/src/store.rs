//! The profiles of one root home: create, delete, rename, list, show, choose, export, import.
//!
//! A profile appears and disappears by one rename(2), so no process ever sees a partial profile.
//! Leftovers of a crash have a dot name; [`Store::remove_leftovers`] removes them.

mod delete;
mod error;
mod leftovers;
mod rename;
mod transfer;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fs_err as fs;
use tempfile::TempDir;

use crate::config::{self, ConfigError, GatewayConfig};
use crate::fsutil;
use crate::home::{ProfileHome, RootHome};
use crate::intent::Intent;
use crate::lock::{Lock, LockError};
use crate::name::ProfileName;

pub use error::StoreError;
pub use leftovers::Cleared;
pub use rename::{Interrupted, Renaming, Settled};
pub use transfer::Imported;

/// The first port that the store assigns, and the port of `default` if its configuration has none.
pub const FIRST_PORT: u16 = 8642;

/// The name prefix of profiles being created or removed; a dot name can't be a profile's.
const HIDDEN: &str = ".hermes-";
/// How long commands wait for each other by default.
const TIMEOUT: Duration = Duration::from_secs(15);

/// The profiles of one root home.
#[derive(Debug, Clone)]
pub struct Store {
    root: RootHome,
    timeout: Duration,
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
    /// [`FIRST_PORT`] for `default` and no port for any other profile.
    pub fn port(&self, config: &GatewayConfig) -> Option<u16> {
        config.port.or(self.name.is_default().then_some(FIRST_PORT))
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

/// A skipped directory below `profiles/`.
#[derive(Debug, PartialEq, Eq)]
pub struct Skipped {
    /// The directory.
    pub path: PathBuf,
    /// Why it is not a profile.
    pub reason: String,
}

impl Store {
    /// The profiles below `root`. Reads nothing yet. Commands wait for each other at most 15 s.
    pub fn new(root: RootHome) -> Self {
        Self { root, timeout: TIMEOUT }
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
    /// intent. Not idempotent: an existing name is [`StoreError::Exists`]. A partial profile is never
    /// visible, and a failure leaves nothing behind. Blocks while another command creates a profile,
    /// at most for the store's timeout.
    pub fn create(
        &self,
        name: &ProfileName,
        port: Option<u16>,
        intent: Intent,
    ) -> Result<Profile, StoreError> {
        if name.is_reserved() {
            return Err(StoreError::Reserved { name: name.clone() });
        }
        self.settle_renames_of(name, self.timeout)?;
        if self.find(name)?.is_some() {
            return Err(StoreError::Exists { name: name.clone() });
        }
        let failed = |source| StoreError::Create { name: name.clone(), source };
        let _ports = self.lock_ports(failed)?;
        let port = match port {
            Some(port) => port,
            None => self.free_port(name)?,
        };
        let staged = tempfile::Builder::new()
            .prefix(HIDDEN)
            .tempdir_in(self.root.profiles())
            .map_err(failed)?;
        populate_home(staged.path(), name, port, intent).map_err(failed)?;
        // tempfile creates the directory with mode 0700; a profile is as open as its root home.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(staged.path(), mode).map_err(failed)?;
        self.publish(staged, name, failed)
    }

    /// Makes a staged home the home of `name`, by one rename that replaces nothing.
    fn publish(
        &self,
        staged: TempDir,
        name: &ProfileName,
        failed: impl Fn(io::Error) -> StoreError,
    ) -> Result<Profile, StoreError> {
        let home = self.root.profile(name);
        // The new profile must not inherit leftovers of a deleted profile of the same name.
        self.finish_deletion_of(name)?;
        match fsutil::rename_exclusively(staged.path(), home.path()) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(StoreError::Exists { name: name.clone() });
            }
            Err(error) => return Err(failed(error)),
        }
        // The staged directory has been renamed: there is nothing to remove on drop.
        let _ = staged.keep();
        fsutil::sync_directory(&self.root.profiles()).map_err(failed)?;
        Ok(Profile { name: name.clone(), home })
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
                Err(reason) => listing.skipped.push(Skipped { path, reason }),
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

    /// The profile called `name`, or `None`.
    pub fn find(&self, name: &ProfileName) -> Result<Option<Profile>, StoreError> {
        let home = self.root.profile(name);
        let failed = |source| StoreError::List { path: home.soul(), source };
        let exists = match name.is_default() {
            true => home.path().is_dir(),
            false => has_soul(home.path()).map_err(failed)?,
        };
        Ok(exists.then(|| Profile { name: name.clone(), home }))
    }

    /// The profile called `name`, or [`StoreError::Absent`].
    pub fn get(&self, name: &ProfileName) -> Result<Profile, StoreError> {
        self.find(name)?.ok_or_else(|| StoreError::Absent { name: name.clone() })
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
        let path = self.root.active_profile();
        let _ports = self.lock_ports(|source| StoreError::Active { path: path.clone(), source })?;
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
        Ok(profile.port(&config::load(&profile.home.config())?.gateway))
    }

    /// Writes `port` (or the lowest free one) into the profile's `config.yaml`, keeps the rest of the
    /// text, and returns the port. Idempotent. Blocks while another command assigns a port, at most for
    /// the store's timeout.
    pub fn set_port(&self, profile: &Profile, port: Option<u16>) -> Result<u16, StoreError> {
        let path = profile.home.config();
        let failed = |source| StoreError::Port { path: path.clone(), source };
        let _ports = self.lock_ports(failed)?;
        let port = match port {
            Some(port) => port,
            None => self.free_port(&profile.name)?,
        };
        write_port(&path, port)?;
        Ok(port)
    }

    /// Takes the lock on the profiles, held while one is created, removed or given a port. `failed`
    /// turns an error of the file system into the caller's.
    fn lock_ports(&self, failed: impl Fn(io::Error) -> StoreError) -> Result<Lock, StoreError> {
        Lock::acquire(&self.root.ports_lock(), self.timeout).map_err(|error| match error {
            LockError::Io { source, .. } => failed(source),
            busy @ LockError::Busy { .. } => StoreError::Busy(busy),
        })
    }

    /// The lowest port from [`FIRST_PORT`] up that no other profile's `config.yaml` names.
    fn free_port(&self, except: &ProfileName) -> Result<u16, StoreError> {
        let taken = self.ports_of_others(except)?;
        (FIRST_PORT..=u16::MAX).find(|port| !taken.contains(port)).ok_or(StoreError::NoPort)
    }

    /// The ports that the `config.yaml` of any other profile names.
    fn ports_of_others(&self, except: &ProfileName) -> Result<Vec<u16>, StoreError> {
        let listing = self.list()?;
        let others = listing.profiles.iter().filter(|profile| profile.name != *except);
        // `doctor` and `start` report a configuration that can't be read.
        let port = |profile: &Profile| config::load(&profile.home.config()).ok()?.gateway.port;
        Ok(others.filter_map(port).collect())
    }

    fn profile_at(&self, path: &Path) -> Result<Option<Profile>, String> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with('.') {
            return Ok(None);
        }
        if !has_soul(path).map_err(|error| format!("failed to read it: {error}"))? {
            return Ok(None);
        }
        let name: ProfileName = name.parse().map_err(|error| format!("{error}"))?;
        if name.is_default() {
            return Err("the profile `default` lives in the root home itself".to_owned());
        }
        Ok(Some(Profile { home: self.root.profile(&name), name }))
    }
}

/// Whether `path` is a directory with a `SOUL.md`, which marks it as a profile.
fn has_soul(path: &Path) -> io::Result<bool> {
    match path.join("SOUL.md").try_exists() {
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(false),
        found => found,
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
        if !exists(&path)? {
            fsutil::write_durably(&path, bytes, mode)?;
        }
    }
    if !exists(&home.logs())? {
        fs::create_dir(home.logs())?;
    }
    intent.write(&home).map_err(io::Error::other)
}

/// Writes `port` into the `config.yaml` at `path` and keeps the rest of its text.
fn write_port(path: &Path, port: u16) -> Result<(), StoreError> {
    let failed = |source| StoreError::Port { path: path.to_owned(), source };
    let old = fsutil::read_if_there(path).map_err(failed)?.unwrap_or_default();
    let old = String::from_utf8(old)
        .map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidData, error)))?;
    let new = config::with_port(&old, port, path)?;
    let mode = match fs::metadata(path) {
        Ok(metadata) => std::os::unix::fs::MetadataExt::mode(&metadata) & 0o777,
        Err(_) => CONFIG_MODE,
    };
    fsutil::write_durably(path, new.as_bytes(), mode).map_err(failed)
}

/// Whether `path` exists; a dangling link does.
fn exists(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        found => found.map(|_| true),
    }
}
