//! Leftovers: files of commands that a crash interrupted while they created, deleted, changed or chose
//! a profile.

use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::{HIDDEN, Profile, Store, StoreError, staged};
use crate::name::ProfileName;
use crate::{RootHome, fsutil, lock, parallel};

/// The result of [`Store::remove_leftovers`].
#[derive(Debug, Default)]
pub struct Cleared {
    /// The number of removed leftovers.
    pub removed: usize,
    /// Leftovers that could not be removed, and why. They are harmless.
    pub failed: Vec<(PathBuf, StoreError)>,
}

impl Store {
    /// Removes all leftovers, and completes interrupted deletions. Lock files of killed commands are
    /// removed too, but not counted. Idempotent. Blocks while another command creates or deletes a
    /// profile, at most for the store's timeout.
    pub fn remove_leftovers(&self) -> Result<Cleared, StoreError> {
        let mut cleared = Cleared::default();
        let profiles = self.root.profiles();
        if !profiles.is_dir() {
            return Ok(cleared);
        }
        // Commands hold this lock while they create files here, or lock each file until it is published.
        let failed = |source| StoreError::List { path: profiles.clone(), source };
        let _ports = self.lock_ports(failed)?;
        for path in self.find_leftovers().map_err(failed)? {
            match self.remove_hidden(&path) {
                Ok(()) => cleared.removed += 1,
                Err(error) => cleared.failed.push((path, error)),
            }
        }
        for entry in fs::read_dir(self.root.locks()).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if let Err(error) = lock::remove_unheld(&path) {
                cleared.failed.push((path, error.into()));
            }
        }
        Ok(cleared)
    }

    /// All leftovers. Changes nothing. If there seem to be any, blocks while another command creates or
    /// deletes a profile, at most for the store's timeout.
    pub fn leftovers(&self) -> Result<Vec<PathBuf>, StoreError> {
        let profiles = self.root.profiles();
        let failed = |source| StoreError::List { path: profiles.clone(), source };
        if !profiles.is_dir() || self.find_leftovers().map_err(failed)?.is_empty() {
            return Ok(Vec::new());
        }
        let _ports = self.lock_ports(failed)?;
        self.find_leftovers().map_err(failed)
    }

    /// Whether there seem to be [`leftovers`](Self::leftovers) among the profiles. Those in the homes are not looked
    /// for. Changes nothing, does not wait.
    pub(crate) fn has_hidden(&self) -> io::Result<bool> {
        Ok(self.root.profiles().is_dir() && !self.hidden()?.is_empty())
    }

    /// Whether there seem to be [`leftovers`](Self::leftovers) in the home of this profile. Changes nothing, does not
    /// wait.
    pub(crate) fn has_unfinished(&self, profile: &Profile) -> bool {
        !self.leftovers_in(profile.home.path()).is_empty()
    }

    /// Hidden directories of other users among the profiles that this user can't open, so that nobody here knows whether
    /// they are leftovers. Changes nothing.
    pub fn closed_leftovers(&self) -> Vec<PathBuf> {
        let mut closed = self.entries().unwrap_or_default();
        closed.retain(|path| {
            let is_denied = |error: io::Error| error.kind() == io::ErrorKind::PermissionDenied;
            is_hidden(path) && path.is_dir() && path.read_dir().is_err_and(is_denied)
        });
        closed.sort();
        closed
    }

    /// Unlocked hidden entries among the profiles, and unlocked temporary files in the homes. Without
    /// the lock on the profiles, a running command's may be among them.
    fn find_leftovers(&self) -> io::Result<Vec<PathBuf>> {
        let (mut hidden, mut homes): (Vec<_>, Vec<_>) =
            self.entries()?.into_iter().partition(|path| is_hidden(path));
        hidden.extend(self.hidden_logs());
        homes.push(self.root.path().to_owned());
        let in_homes = parallel::compute(homes, |home| self.leftovers_in(&home));
        let in_homes = in_homes.into_iter().flatten();
        let mut leftovers: Vec<_> =
            hidden.into_iter().filter(|path| !fsutil::is_in_use(path)).chain(in_homes).collect();
        leftovers.sort();
        leftovers.dedup();
        Ok(leftovers)
    }

    /// The leftovers in the directory `home`.
    fn leftovers_in(&self, home: &Path) -> Vec<PathBuf> {
        // Commands on a profile whose home can't be read report that.
        let ours = fsutil::with_prefix(home, HIDDEN).unwrap_or_default();
        let (staged, files): (Vec<_>, Vec<_>) =
            ours.into_iter().partition(|it| it.is_dir() && !it.is_symlink());
        let mut unfinished = fsutil::unfinished_among(files);
        // A configuration behind a link is replaced in its own directory.
        let linked = config_behind_link(home).and_then(|dir| fsutil::unfinished(&dir).ok());
        unfinished.extend(linked.unwrap_or_default());
        // Checked second, because there hardly ever are any files.
        let is_home =
            || home == self.root.path() || self.profile_at(home).is_ok_and(|p| p.is_some());
        let unfinished = if unfinished.is_empty() || is_home() { unfinished } else { Vec::new() };
        let staged = staged.into_iter().filter(|path| staged::is_left(path));
        unfinished.into_iter().chain(staged).collect()
    }

    /// The leftovers among the profiles: unlocked entries with a hidden name.
    pub(super) fn hidden(&self) -> io::Result<Vec<PathBuf>> {
        let mut hidden = self.entries()?;
        hidden.retain(|path| is_hidden(path) && !fsutil::is_in_use(path));
        Ok(hidden)
    }

    /// The logs of deleted profiles. Other checks report a directory that can't be read.
    fn hidden_logs(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.root.all_gateway_logs()).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).filter(|path| has_prefix(path)).collect()
    }

    fn entries(&self) -> io::Result<Vec<PathBuf>> {
        fs::read_dir(self.root.profiles())?.map(|entry| Ok(entry?.path())).collect()
    }
}

/// The directory of the configuration of the profile at `home`, if that is a link.
fn config_behind_link(home: &Path) -> Option<PathBuf> {
    let config = RootHome::new(home).profile(&ProfileName::default_profile()).config();
    fs::read_link(&config).ok()?;
    Some(fs::canonicalize(&config).ok()?.parent()?.to_owned())
}

fn is_hidden(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    has_prefix(path) || RootHome::deleted_in(&name).is_some()
}

fn has_prefix(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(HIDDEN.as_bytes()))
}
