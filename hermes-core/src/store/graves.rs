//! The second half of a deletion, which an interrupted one leaves to the next command or boot.
//!
//! A home that is being deleted has the name of a *grave* ([`RootHome::grave`]) until the sticky choice and the logs of its
//! profile are settled. Then it loses that name and is a plain leftover, like those logs: removing it concerns no profile
//! any more, however long it takes.

use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;
use serde::Deserialize;

use super::{HIDDEN, Store, StoreError, staged};
use crate::home::RootHome;
use crate::name::ProfileName;
use crate::{fsutil, process_lock};

/// The name of the [`Note`] of earlier versions, in a plain leftover.
const NOTE: &str = "deleted.json";
/// The name of the profile's home beside that note.
const HOME: &str = "home";

/// What earlier versions wrote into a plain leftover before they moved a home into it.
#[derive(Debug, Deserialize)]
struct Note {
    profile: ProfileName,
    keep_logs: bool,
}

impl Store {
    /// Completes a deletion of `name` that a crash interrupted, as far as that is possible: what is left of it never blocks
    /// a new profile of that name. Needs the lock on the profiles.
    pub(super) fn finish_deletion_of(&self, name: &ProfileName) -> Result<(), StoreError> {
        let failed = |source| StoreError::List { path: self.root.profiles(), source };
        for path in self.hidden().map_err(failed)? {
            if deleted_at(&path).is_some_and(|(deleted, _)| deleted == *name) {
                // Boot and `doctor` report what remains.
                let _ = self.remove_hidden(&path);
            }
        }
        Ok(())
    }

    /// Removes the leftover at `path`; if it is of a deletion, completes that. Needs the lock on the profiles.
    pub(super) fn remove_hidden(&self, path: &Path) -> Result<(), StoreError> {
        if staged::is_complete(path) {
            let finished = staged::finish(path.parent().unwrap_or(path));
            return finished
                .map_err(|source| StoreError::Leftover { path: path.to_owned(), source });
        }
        match deleted_at(path) {
            Some((name, keep_logs)) => self.finish_deletion(path, &name, keep_logs),
            None => remove_plain(path),
        }
    }

    /// Completes the deletion of `name` whose home was moved to `grave`. Needs the lock on the profiles.
    pub(super) fn finish_deletion(
        &self,
        grave: &Path,
        name: &ProfileName,
        keep_logs: bool,
    ) -> Result<(), StoreError> {
        let failed = |source| StoreError::Delete { name: name.clone(), source };
        // Choice and logs of a new profile of that name are its own.
        let lives = self.find(name).map_or(true, |found| found.is_some());
        let logs = if lives { None } else { self.settle_deleted(name, keep_logs)? };
        // Whatever of this fails later, no profile is concerned any more.
        let plain = match is_grave(grave) {
            true => set_aside(grave).map_err(failed)?,
            false => {
                fsutil::remove_file_if_there(&grave.join(NOTE)).map_err(failed)?;
                grave.to_owned()
            }
        };
        let removed = logs.map_or(Ok(()), |logs| remove_plain(&logs));
        remove_plain(&plain).and(removed)
    }

    /// Forgets the choice of a deleted profile, removes its lock, and takes its logs away unless they are kept. Returns the plain leftover
    /// that the logs are now.
    pub(super) fn settle_deleted(
        &self,
        name: &ProfileName,
        keep_logs: bool,
    ) -> Result<Option<PathBuf>, StoreError> {
        let failed = |source| StoreError::Delete { name: name.clone(), source };
        // An invalid choice chooses no profile.
        if self.active().is_ok_and(|active| active.as_ref() == Some(name)) {
            self.write_active(&ProfileName::default_profile())?;
        }
        // Empty for long; what can't be removed, like a directory, `doctor` names.
        let _ = process_lock::remove(&self.root.profile(name).gateway_lock());
        let logs = self.root.gateway_logs(name);
        if keep_logs || !fsutil::exists(&logs).map_err(failed)? {
            return Ok(None);
        }
        match set_aside(&logs) {
            Ok(plain) => {
                fsutil::sync_directory(&self.root.all_gateway_logs()).map_err(failed)?;
                Ok(Some(plain))
            }
            Err(error) if stays_in_place(&error) => {
                fsutil::empty_directory(&logs, &[], &[]).map_err(failed)?;
                // A mount point remains, empty.
                let _ = fs::remove_dir(&logs);
                Ok(None)
            }
            Err(error) => Err(failed(error)),
        }
    }
}

/// Whether a rename failed because the directory can't be moved, whoever tries it: it is emptied where it is.
pub(super) fn stays_in_place(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ResourceBusy | io::ErrorKind::CrossesDevices)
}

/// Makes `path` a plain leftover beside itself.
fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let beside = path.parent().unwrap_or(path);
    let plain = tempfile::Builder::new()
        .prefix(HIDDEN)
        .make_in(beside, |plain| fsutil::rename_exclusively(path, plain))?;
    plain.into_temp_path().keep().map_err(|error| error.error)
}

fn remove_plain(path: &Path) -> Result<(), StoreError> {
    let removed = match path.is_dir() {
        true => fsutil::remove_tree_if_there(path).map(drop),
        false => fsutil::remove_unfinished(path),
    };
    removed.map_err(|source| StoreError::Leftover { path: path.to_owned(), source })
}

fn is_grave(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    RootHome::deleted_in(&name).is_some()
}

/// The deleted profile whose home the leftover at `path` is or holds, and whether its logs are kept.
fn deleted_at(path: &Path) -> Option<(ProfileName, bool)> {
    let name = path.file_name()?.to_string_lossy();
    RootHome::deleted_in(&name).or_else(|| {
        let moved = path.join(HOME).is_dir();
        let bytes = fsutil::read_if_there(&path.join(NOTE)).ok().flatten().filter(|_| moved)?;
        let note: Note = serde_json::from_slice(&bytes).ok()?;
        Some((note.profile, note.keep_logs))
    })
}
