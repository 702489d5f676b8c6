//! Removing a profile: its home, the logs of its gateway and the sticky choice of it.
//!
//! The home goes by one rename into a hidden grave, in which a note says beforehand whose it is and
//! whether its logs are kept. From then on the profile is gone, and what is left to be done can be done
//! by anybody: after a crash by the next boot, or by whoever makes a profile.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{HIDDEN, Profile, Store, StoreError};
use crate::fsutil;
use crate::name::ProfileName;

/// In a grave: whose it is. Written before the home is moved.
const NOTE: &str = "deleted.json";
/// In a grave: the profile's home.
const HOME: &str = "home";

/// What a grave's note says.
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
    /// it. Its gateway must be gone. Not idempotent: an absent profile is [`StoreError::Absent`].
    /// Interrupted by a crash it is not begun, or finished by [`Store::remove_leftovers`].
    pub fn delete(&self, name: &ProfileName, keep_logs: bool) -> Result<(), StoreError> {
        self.settle_renames_of(name, self.timeout)?;
        let profile = self.deletable(name)?;
        let failed = |source| StoreError::Delete { name: name.clone(), source };
        // Held against `remove_leftovers`, which would take the grave for one.
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
        // From here on it is gone, and what is left is not undone by dropping the grave.
        let grave = grave.keep();
        fsutil::sync_directory(&self.root.profiles()).map_err(failed)?;
        self.finish_deletion(&grave, &note)
    }

    /// Finishes a deletion of `name` that a crash interrupted. Under the lock on the profiles.
    pub(super) fn finish_deletion_of(&self, name: &ProfileName) -> Result<(), StoreError> {
        let failed = |source| StoreError::List { path: self.root.profiles(), source };
        for path in self.hidden().map_err(failed)? {
            if let Some(note) = note_of(&path).filter(|note| note.profile == *name) {
                self.finish_deletion(&path, &note)?;
            }
        }
        Ok(())
    }

    /// Removes what a crash left at `path` among the profiles, and finishes what it is left of. Under
    /// the lock on the profiles.
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
        // What makes no sense chooses nobody.
        if self.active().is_ok_and(|active| active.as_ref() == Some(name)) {
            self.write_active(&ProfileName::default_profile())?;
        }
        if !keep_logs {
            fsutil::remove_tree_if_there(&self.root.gateway_logs(name)).map_err(failed)?;
        }
        // The note goes last: without it nobody would know what is left to be done.
        fsutil::remove_tree_if_there(&grave.join(HOME)).map_err(failed)?;
        fsutil::remove_tree_if_there(grave).map_err(failed)?;
        Ok(())
    }
}

/// What the note in a grave says; `None` if it is no grave, or one whose profile was not moved there.
fn note_of(grave: &Path) -> Option<Note> {
    let moved = grave.join(HOME).is_dir();
    let bytes = fsutil::read_if_there(&grave.join(NOTE)).ok().flatten().filter(|_| moved)?;
    serde_json::from_slice(&bytes).ok()
}
