//! What a crash left of profiles that were being made, removed or chosen.

use std::io;
use std::path::PathBuf;

use fs_err as fs;

use super::{HIDDEN, HIDDEN_CHOICE, Store, StoreError, transfer};
use crate::fsutil;

impl Store {
    /// Removes what a crash left of profiles being made, removed or chosen, and says how many.
    /// Idempotent.
    pub fn remove_leftovers(&self) -> Result<usize, StoreError> {
        let profiles = self.root.profiles();
        if !profiles.is_dir() {
            return Ok(0);
        }
        // Whoever makes a profile holds this lock, so what is found now belongs to nobody, but for
        // what an import has marked as its own.
        let failed = |source| StoreError::List { path: profiles.clone(), source };
        let _ports = self.lock_ports(failed)?;
        let left = self.hidden().map_err(failed)?;
        for path in &left {
            match path.is_dir() {
                true => fsutil::remove_tree_if_there(path).map_err(failed)?,
                false => fsutil::remove_file_if_there(path).map_err(failed)?,
            };
        }
        Ok(left.len())
    }

    /// What a crash left of profiles being made, removed or chosen. Changes nothing; where there is
    /// something to see it blocks until nobody makes or removes one, at most as long as the store's patience.
    pub fn leftovers(&self) -> Result<Vec<PathBuf>, StoreError> {
        let profiles = self.root.profiles();
        let failed = |source| StoreError::List { path: profiles.clone(), source };
        if !profiles.is_dir() || self.hidden().map_err(failed)?.is_empty() {
            return Ok(Vec::new());
        }
        let _ports = self.lock_ports(failed)?;
        self.hidden().map_err(failed)
    }

    /// What is being made, or was left by a crash; but for what an import has marked as its own.
    fn hidden(&self) -> io::Result<Vec<PathBuf>> {
        let mut hidden = Vec::new();
        let profiles = self.root.profiles();
        for (directory, prefix) in [(profiles.as_path(), HIDDEN), (self.root.path(), HIDDEN_CHOICE)]
        {
            for entry in fs::read_dir(directory)? {
                let entry = entry?;
                let ours = entry.file_name().to_string_lossy().starts_with(prefix);
                if ours && !transfer::is_in_use(&entry.path()) {
                    hidden.push(entry.path());
                }
            }
        }
        hidden.sort();
        Ok(hidden)
    }
}
