//! Leftovers: files of commands that a crash interrupted while they created, deleted, changed or chose
//! a profile.

use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::{HIDDEN, Store, StoreError};
use crate::{fsutil, lock, parallel};

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
            lock::remove_unheld(&entry.map_err(failed)?.path()).map_err(failed)?;
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

    /// Unlocked hidden entries among the profiles, and unlocked temporary files in the homes. Without
    /// the lock on the profiles, a running command's may be among them.
    fn find_leftovers(&self) -> io::Result<Vec<PathBuf>> {
        let (hidden, mut homes): (Vec<_>, Vec<_>) =
            self.entries()?.into_iter().partition(|path| is_hidden(path));
        homes.push(self.root.path().to_owned());
        let leftovers_in = |home: PathBuf| {
            // Commands on a profile whose home can't be read report that.
            let unfinished = fsutil::unfinished(&home).unwrap_or_default();
            // Checked second, because there hardly ever are any files.
            let is_home =
                || home == self.root.path() || self.profile_at(&home).is_ok_and(|p| p.is_some());
            if unfinished.is_empty() || is_home() { unfinished } else { Vec::new() }
        };
        let in_homes = parallel::compute(homes, leftovers_in).into_iter().flatten();
        let mut leftovers: Vec<_> =
            hidden.into_iter().filter(|path| !fsutil::is_in_use(path)).chain(in_homes).collect();
        leftovers.sort();
        Ok(leftovers)
    }

    /// The leftovers among the profiles: unlocked entries with a hidden name.
    pub(super) fn hidden(&self) -> io::Result<Vec<PathBuf>> {
        let mut hidden = self.entries()?;
        hidden.retain(|path| is_hidden(path) && !fsutil::is_in_use(path));
        Ok(hidden)
    }

    fn entries(&self) -> io::Result<Vec<PathBuf>> {
        fs::read_dir(self.root.profiles())?.map(|entry| Ok(entry?.path())).collect()
    }
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(HIDDEN.as_bytes()))
}
