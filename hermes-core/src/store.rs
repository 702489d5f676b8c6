//! The profiles of one root home: create, delete, rename, list, show, choose, export, import.
//!
//! A profile appears and disappears by one rename each, so nobody ever sees half of one. What a
//! crash leaves behind has a dot name and is removed by [`Store::remove_leftovers`].

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

/// The first port that is given to a profile, and the one that `default` falls back to.
pub const FIRST_PORT: u16 = 8642;

/// How profiles being made or removed are called; a dot name is never a profile's.
const HIDDEN: &str = ".hermes-";
/// How long commands wait for each other where nobody says otherwise.
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
    /// The port that its gateway listens on, whose configuration is `config`: the one that is named
    /// there, and for `default` alone else [`FIRST_PORT`].
    pub fn port(&self, config: &GatewayConfig) -> Option<u16> {
        config.port.or(self.name.is_default().then_some(FIRST_PORT))
    }
}

/// What [`Store::list`] found.
#[derive(Debug, Default)]
pub struct Listing {
    /// The profiles, `default` first, then by name.
    pub profiles: Vec<Profile>,
    /// Directories that look like profiles and can't be one.
    pub skipped: Vec<Skipped>,
}

/// A directory below `profiles/` that is passed over, and why.
#[derive(Debug, PartialEq, Eq)]
pub struct Skipped {
    /// The directory.
    pub path: PathBuf,
    /// Why it is no profile.
    pub reason: String,
}

impl Store {
    /// The profiles below `root`. Nothing is read yet. Commands wait for each other, at most 15 s.
    pub fn new(root: RootHome) -> Self {
        Self { root, timeout: TIMEOUT }
    }

    /// The same, and commands wait for each other at most `timeout`.
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// How long commands wait for each other.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Takes the lock of `profile`, which every command holds that changes it or its service. Blocks while
    /// another one does, at most as long as the store's timeout.
    pub fn lock_profile(&self, profile: &ProfileName) -> Result<Lock, LockError> {
        Lock::acquire(&self.root.profile_lock(profile), self.timeout)
    }

    /// The root home.
    pub fn root(&self) -> &RootHome {
        &self.root
    }

    /// Makes a profile with the given port (or the lowest free one from [`FIRST_PORT`] up) and
    /// intent. Not idempotent: an existing name is [`StoreError::Exists`]. Nothing half-made is
    /// ever visible, and nothing is left on failure. Blocks while another profile is being made,
    /// at most as long as the store's timeout.
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
        // The staging directory is private to its maker; a profile is as open as its root home.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(staged.path(), mode).map_err(failed)?;
        self.publish(staged, name, failed)
    }

    /// Makes a staged home that of `name`, by one rename that replaces nothing.
    fn publish(
        &self,
        staged: TempDir,
        name: &ProfileName,
        failed: impl Fn(io::Error) -> StoreError,
    ) -> Result<Profile, StoreError> {
        let home = self.root.profile(name);
        // What is left of a former profile of this name is not to become this one's.
        self.finish_deletion_of(name)?;
        match fsutil::rename_exclusively(staged.path(), home.path()) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(StoreError::Exists { name: name.clone() });
            }
            Err(error) => return Err(failed(error)),
        }
        // Published under its name: there is no staged directory left to remove.
        let _ = staged.keep();
        fsutil::sync_directory(&self.root.profiles()).map_err(failed)?;
        Ok(Profile { name: name.clone(), home })
    }

    /// All profiles. `default` is among them if the root home exists, which is its own.
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
        let there = match name.is_default() {
            true => home.path().is_dir(),
            false => has_soul(home.path()).map_err(failed)?,
        };
        Ok(there.then(|| Profile { name: name.clone(), home }))
    }

    /// The profile called `name`, or [`StoreError::Absent`].
    pub fn get(&self, name: &ProfileName) -> Result<Profile, StoreError> {
        self.find(name)?.ok_or_else(|| StoreError::Absent { name: name.clone() })
    }

    /// The profile that interactive commands mean when they name none, if one was chosen.
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

    /// Chooses `name` for interactive commands that name no profile; `default` undoes the choice.
    /// Idempotent. An absent profile is [`StoreError::Absent`].
    pub fn set_active(&self, name: &ProfileName) -> Result<(), StoreError> {
        self.get(name)?;
        let path = self.root.active_profile();
        let _ports = self.lock_ports(|source| StoreError::Active { path: path.clone(), source })?;
        self.write_active(name)
    }

    /// Under the lock on the profiles.
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

    /// The port that a profile's gateway listens on, as its `config.yaml` says now ([`Profile::port`]).
    pub fn port(&self, profile: &Profile) -> Result<Option<u16>, ConfigError> {
        Ok(profile.port(&config::load(&profile.home.config())?.gateway))
    }

    /// Writes `port` (or the lowest free one) into the profile's `config.yaml`, keeps the rest of
    /// its text, and returns the port. Idempotent. Blocks while another profile gets its port.
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

    /// Takes the lock under which profiles are made, removed and given ports. What the file system has
    /// against it is `failed`'s to tell.
    fn lock_ports(&self, failed: impl Fn(io::Error) -> StoreError) -> Result<Lock, StoreError> {
        Lock::acquire(&self.root.ports_lock(), self.timeout).map_err(|error| match error {
            LockError::Io { source, .. } => failed(source),
            busy @ LockError::Busy { .. } => StoreError::Busy(busy),
        })
    }

    /// The lowest port from [`FIRST_PORT`] up that no other profile's `config.yaml` names.
    fn free_port(&self, but: &ProfileName) -> Result<u16, StoreError> {
        let taken = self.named_ports(but)?;
        (FIRST_PORT..=u16::MAX).find(|port| !taken.contains(port)).ok_or(StoreError::NoPort)
    }

    /// The ports that the `config.yaml` of any other profile names.
    fn named_ports(&self, but: &ProfileName) -> Result<Vec<u16>, StoreError> {
        let listing = self.list()?;
        let others = listing.profiles.iter().filter(|profile| profile.name != *but);
        // A config that can't be read names no port; `doctor` and `start` say so.
        let port = |profile: &Profile| config::load(&profile.home.config()).ok()?.gateway.port;
        Ok(others.filter_map(port).collect())
    }

    fn profile_at(&self, path: &Path) -> Result<Option<Profile>, String> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with('.') {
            return Ok(None);
        }
        if !has_soul(path).map_err(|error| format!("it can't be read: {error}"))? {
            return Ok(None);
        }
        let name: ProfileName = name.parse().map_err(|error| format!("{error}"))?;
        if name.is_default() {
            return Err("the profile `default` lives in the root home itself".to_owned());
        }
        Ok(Some(Profile { home: self.root.profile(&name), name }))
    }
}

/// Whether the directory at `path` is marked as a profile. A file is not.
fn has_soul(path: &Path) -> io::Result<bool> {
    match path.join("SOUL.md").try_exists() {
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(false),
        found => found,
    }
}

const CONFIG_MODE: u32 = 0o644;

/// Writes the files of a new profile into the staged directory `at`; of an imported one, those that
/// its archive had none of. The intent is always the one given.
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
        if !is_there(&path)? {
            fsutil::write_durably(&path, bytes, mode)?;
        }
    }
    if !is_there(&home.logs())? {
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

/// Whether anything is there, be it a link to nowhere.
fn is_there(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        found => found.map(|_| true),
    }
}
