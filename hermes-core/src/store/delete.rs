//! Deletion of a profile: its home, the logs of its gateway and the sticky choice of it.
//!
//! One rename moves the home into a hidden directory, the grave. A note in the grave, written before,
//! records the profile's name and whether to keep its logs. After the rename the profile no longer
//! exists; if a crash interrupts the deletion, the next boot or `create` completes it.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{HIDDEN, Profile, Store, StoreError};
use crate::fsutil;
use crate::name::ProfileName;

/// The name of a grave's [`Note`].
const NOTE: &str = "deleted.json";
/// The name of the profile's home in a grave.
const HOME: &str = "home";

/// The note in a grave, written before the home is moved.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    profile: ProfileName,
    keep_logs: bool,
}

impl Store {
    /// The profile called `name`, if it may be deleted: `default` is [`StoreError::Default`].
    pub fn deletable(&self, name: &ProfileName) -> Result<Profile, StoreError> {
        match name.is_default() {
            true => Err(StoreError::Default),
            false => self.get(name),
        }
    }

    /// Removes a profile's home, its gateway's logs unless `keep_logs`, and the sticky choice of
    /// it. Its gateway must have ended. Not idempotent: an absent profile is [`StoreError::Absent`].
    /// After a crash the profile is either unchanged, or [`Store::remove_leftovers`] completes the
    /// deletion.
    pub fn delete(&self, name: &ProfileName, keep_logs: bool) -> Result<(), StoreError> {
        self.settle_renames_of(name, self.timeout)?;
        let profile = self.deletable(name)?;
        let failed = |source| StoreError::Delete { name: name.clone(), source };
        // Without the lock `remove_leftovers` could take the grave for a leftover.
        let _ports = self.lock_ports(failed)?;
        let grave = tempfile::Builder::new()
            .prefix(HIDDEN)
            .tempdir_in(self.root.profiles())
            .map_err(failed)?;
        let note = Note { profile: name.clone(), keep_logs };
        let text = serde_json::to_vec(&note).map_err(|error| failed(error.into()))?;
        fsutil::write_durably(&grave.path().join(NOTE), &text, 0o644).map_err(failed)?;
        fsutil::rename_exclusively(profile.home.path(), &grave.path().join(HOME))
            .map_err(failed)?;
        // The profile no longer exists: a later failure must not remove the grave with its note.
        let grave = grave.keep();
        fsutil::sync_directory(&self.root.profiles()).map_err(failed)?;
        self.finish_deletion(&grave, &note)
    }

    /// Completes a deletion of `name` that a crash interrupted. Needs the lock on the profiles.
    pub(super) fn finish_deletion_of(&self, name: &ProfileName) -> Result<(), StoreError> {
        let failed = |source| StoreError::List { path: self.root.profiles(), source };
        for path in self.hidden().map_err(failed)? {
            if let Some(note) = note_of(&path).filter(|note| note.profile == *name) {
                self.finish_deletion(&path, &note)?;
            }
        }
        Ok(())
    }

    /// Removes the leftover at `path` among the profiles; if it is a grave, completes the deletion.
    /// Needs the lock on the profiles.
    pub(super) fn remove_hidden(&self, path: &Path) -> Result<(), StoreError> {
        if let Some(note) = note_of(path) {
            return self.finish_deletion(path, &note);
        }
        let removed = match path.is_dir() {
            true => fsutil::remove_tree_if_there(path).map(drop),
            false => fsutil::remove_unfinished(path),
        };
        removed.map_err(|source| StoreError::Leftover { path: path.to_owned(), source })
    }

    fn finish_deletion(&self, grave: &Path, note: &Note) -> Result<(), StoreError> {
        let Note { profile: name, keep_logs } = note;
        let failed = |source| StoreError::Delete { name: name.clone(), source };
        // An invalid choice chooses no profile.
        if self.active().is_ok_and(|active| active.as_ref() == Some(name)) {
            self.write_active(&ProfileName::default_profile())?;
        }
        if !keep_logs {
            fsutil::remove_tree_if_there(&self.root.gateway_logs(name)).map_err(failed)?;
        }
        // The note is removed last: after a crash it describes the remaining steps.
        fsutil::remove_tree_if_there(&grave.join(HOME)).map_err(failed)?;
        fsutil::remove_tree_if_there(grave).map_err(failed)?;
        Ok(())
    }
}

/// The note of a grave; `None` if `grave` is not one, or if no home was moved into it.
fn note_of(grave: &Path) -> Option<Note> {
    let moved = grave.join(HOME).is_dir();
    let bytes = fsutil::read_if_there(&grave.join(NOTE)).ok().flatten().filter(|_| moved)?;
    serde_json::from_slice(&bytes).ok()
}
