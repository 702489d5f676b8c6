//! What a crash left of profiles that were being made, removed, changed or chosen.

use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::{HIDDEN, Store, StoreError};
use crate::{fsutil, lock, parallel};

/// What became of what crashes had left.
#[derive(Debug, Default)]
pub struct Cleared {
    /// How much was removed.
    pub removed: usize,
    /// What could not be, and why. It stands in nobody's way.
    pub failed: Vec<(PathBuf, StoreError)>,
}

impl Store {
    /// Removes what a crash left of profiles being made, removed, changed or chosen, and finishes the
    /// removals among them. Locks of commands that were killed go uncounted. Idempotent.
    pub fn remove_leftovers(&self) -> Result<Cleared, StoreError> {
        let mut cleared = Cleared::default();
        let profiles = self.root.profiles();
        if !profiles.is_dir() {
            return Ok(cleared);
        }
        // Whoever makes a profile holds this lock, so what is found now belongs to nobody, but for
        // what its writer has marked as its own.
        let failed = |source| StoreError::List { path: profiles.clone(), source };
        let _ports = self.lock_ports(failed)?;
        for path in self.left().map_err(failed)? {
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

    /// What a crash left of profiles being made, removed, changed or chosen. Changes nothing; where there
    /// is something to see it blocks until nobody makes or removes one, at most as long as the store's timeout.
    pub fn leftovers(&self) -> Result<Vec<PathBuf>, StoreError> {
        let profiles = self.root.profiles();
        let failed = |source| StoreError::List { path: profiles.clone(), source };
        if !profiles.is_dir() || self.left().map_err(failed)?.is_empty() {
            return Ok(Vec::new());
        }
        let _ports = self.lock_ports(failed)?;
        self.left().map_err(failed)
    }

    /// What is being made or removed, or was left by a crash, but for what somebody has marked as
    /// their own; and of files in the homes what was left.
    fn left(&self) -> io::Result<Vec<PathBuf>> {
        let (hidden, mut homes): (Vec<_>, Vec<_>) =
            self.entries()?.into_iter().partition(|path| is_hidden(path));
        homes.push(self.root.path().to_owned());
        let left_in = |home: PathBuf| {
            // A home that can't be read is told of by what concerns it.
            let left = fsutil::unfinished(&home).unwrap_or_default();
            // Hardly ever is anything found, so that only then it is asked whether that is a home.
            let is_home =
                || home == self.root.path() || self.profile_at(&home).is_ok_and(|p| p.is_some());
            if left.is_empty() || is_home() { left } else { Vec::new() }
        };
        let in_homes = parallel::compute(homes, left_in).into_iter().flatten();
        let mut left: Vec<_> =
            hidden.into_iter().filter(|path| !fsutil::is_in_use(path)).chain(in_homes).collect();
        left.sort();
        Ok(left)
    }

    /// What of it is among the profiles.
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
