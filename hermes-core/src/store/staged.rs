//! A home that is being made, and how it becomes that of a profile.
//!
//! It is staged under a hidden name beside the profiles, and published by one rename. A mount point can't be replaced by a
//! rename: where one is empty, as a deletion leaves it, the home is staged inside, and its entries are moved up one by one,
//! those that mark a profile last.

use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;
use tempfile::TempDir;

use super::place::MARKS;
use super::{HIDDEN, Profile, Store, StoreError};
use crate::fsutil;
use crate::name::ProfileName;

/// The name prefix of a home that is staged in a mount point.
const INSIDE: &str = ".hermes-home-";
/// The name of such a home once it is complete.
const COMPLETE: &str = ".hermes-complete";

impl Store {
    /// A directory in which the home of `name` is staged. Needs the lock on the profiles.
    pub(super) fn stage(&self, name: &ProfileName) -> io::Result<TempDir> {
        let home = self.root.profile(name);
        finish(home.path())?;
        let (place, prefix) = match is_empty_mount_point(home.path()) {
            true => (home.path().to_owned(), INSIDE),
            false => (self.root.profiles(), HIDDEN),
        };
        fsutil::hidden_directory(&place, prefix)
    }

    /// Makes a staged home that of `name`. Replaces nothing but an empty directory. Needs the lock on the profiles.
    pub(super) fn publish(
        &self,
        staged: TempDir,
        name: &ProfileName,
        failed: impl Fn(io::Error) -> StoreError,
    ) -> Result<Profile, StoreError> {
        let home = self.root.profile(name);
        // The new profile must not inherit leftovers of a deleted profile of the same name.
        self.finish_deletion_of(name)?;
        let published = match staged.path().parent() == Some(home.path()) {
            true => move_up(staged, home.path()),
            false => {
                // An empty directory is no profile, and gives way.
                let _ = fs::remove_dir(home.path());
                fsutil::rename_exclusively(staged.path(), home.path()).map(|()| {
                    // It has been renamed: there is nothing to remove on drop.
                    let _ = staged.keep();
                })
            }
        };
        match published {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(match self.find(name)? {
                    Some(_) => StoreError::Exists { name: name.clone() },
                    None => StoreError::InTheWay { path: home.path().to_owned() },
                });
            }
            Err(error) => return Err(failed(error)),
        }
        fsutil::sync_directory(home.path()).map_err(&failed)?;
        fsutil::sync_directory(&self.root.profiles()).map_err(failed)?;
        Ok(Profile { name: name.clone(), home })
    }
}

/// Whether `path` is a mount point without an entry. A home that a killed command staged there is removed first.
fn is_empty_mount_point(path: &Path) -> bool {
    // Only a mount point stays, and a directory that is not empty.
    let removed = fs::remove_dir(path);
    if removed.map_or_else(|error| error.kind() != io::ErrorKind::ResourceBusy, |()| true) {
        return false;
    }
    for entry in entries(path).unwrap_or_default().iter().filter(|entry| is_left(entry)) {
        let _ = fsutil::remove_tree_if_there(entry);
    }
    // Those that are left are of commands that still run.
    entries(path).is_ok_and(|all| all.iter().all(|entry| has_prefix(entry, INSIDE)))
}

/// Whether `path`, a directory in a profile's place, is a home that a killed command staged there.
pub(super) fn is_left(path: &Path) -> bool {
    is_complete(path) || has_prefix(path, INSIDE) && !fsutil::is_in_use(path)
}

/// Whether it is one that is complete, so that [`finish`] makes it the profile's.
pub(super) fn is_complete(path: &Path) -> bool {
    path.ends_with(COMPLETE)
}

/// Completes what a killed command began with [`move_up`]. Needs the lock on the profiles.
pub(super) fn finish(home: &Path) -> io::Result<()> {
    match home.join(COMPLETE).is_dir() {
        true => move_complete(home),
        false => Ok(()),
    }
}

/// Moves the entries of the home that is staged in the mount point `home` into that itself. `AlreadyExists` if that has
/// other entries by now.
fn move_up(staged: TempDir, home: &Path) -> io::Result<()> {
    if entries(home)?.iter().any(|entry| !has_prefix(entry, INSIDE)) {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    // From here on a crash is settled by going on.
    fsutil::rename_exclusively(staged.path(), &home.join(COMPLETE))?;
    let _ = staged.keep();
    move_complete(home).inspect_err(|_| {
        let _ = fsutil::empty_directory(home, &[], &MARKS);
    })
}

fn move_complete(home: &Path) -> io::Result<()> {
    let staged = home.join(COMPLETE);
    let mut entries = entries(&staged)?;
    let is_mark = |entry: &PathBuf| MARKS.iter().any(|mark| entry.ends_with(mark));
    entries.sort_by_key(is_mark);
    for entry in entries {
        fsutil::rename_exclusively(&entry, &home.join(entry.file_name().unwrap_or_default()))?;
    }
    fs::remove_dir(staged)
}

fn entries(directory: &Path) -> io::Result<Vec<PathBuf>> {
    fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect()
}

fn has_prefix(path: &Path, prefix: &str) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(prefix.as_bytes()))
}
