//! Deletion of a profile: its home, the logs of its gateway and the sticky choice of it.
//!
//! One rename makes the home a grave (`graves`), which needs no space on the disk. From then on the profile no longer
//! exists; if a crash interrupts the deletion, the next boot or command completes it. A home that can't be renamed (a
//! mount point, a directory in a lower layer of an overlay) and one that is a link are emptied where they are. The files
//! that mark the home as a profile go last, so that an interrupted deletion can be repeated.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::graves::stays_in_place;
use super::place::MARKS;
use super::{Profile, Store, StoreError};
use crate::fsutil;
use crate::home::PROFILES;
use crate::name::ProfileName;
use crate::passwd;

/// The files that have the intent. They go first: what is left of a home is not brought up.
const INTENT: [&str; 2] = ["gateway.intent", "gateway_state.json"];

impl Store {
    /// The profile called `name`, if it may be deleted: `default` is [`StoreError::Default`].
    pub fn deletable(&self, name: &ProfileName) -> Result<Profile, StoreError> {
        match name.is_default() {
            true => Err(StoreError::Default),
            false => self.get(name),
        }
    }

    /// Checks that this user can remove everything that [`Store::delete`] removes; [`StoreError::Obstructed`] if not.
    /// Changes nothing. Reads the whole home.
    pub fn check_deletion(&self, name: &ProfileName, keep_logs: bool) -> Result<(), StoreError> {
        let profile = self.deletable(name)?;
        let home = profile.home.path();
        let failed = |source| StoreError::Delete { name: name.clone(), source };
        let target = self.linked_home(&profile).map_err(failed)?;
        let logs = (!keep_logs).then(|| (self.root.gateway_logs(name), false));
        let home = (home.to_owned(), false);
        let all = [Some(home), target.map(|target| (target, true)), logs];
        for (path, keep) in all.into_iter().flatten() {
            if let Some(obstacles) = fsutil::obstacles(&path, keep).map_err(failed)? {
                return Err(StoreError::Obstructed { name: name.clone(), obstacles });
            }
        }
        Ok(())
    }

    /// Removes a profile's home, its gateway's logs unless `keep_logs`, and the sticky choice of it. Its gateway must have
    /// ended, and the caller holds its lock. Needs no space on the disk. Not idempotent: an absent profile is
    /// [`StoreError::Absent`]. After a crash the profile is either unchanged, or [`Store::remove_leftovers`] completes the
    /// deletion; a home that is emptied where it is stays a profile until it is empty.
    ///
    /// [`StoreError::Leftover`] if the profile no longer exists, but not all of its files could be removed.
    pub fn delete(&self, name: &ProfileName, keep_logs: bool) -> Result<(), StoreError> {
        self.settle_renames_of(name, self.timeout)?;
        let profile = self.deletable(name)?;
        let home = profile.home.path();
        let failed = |source| StoreError::Delete { name: name.clone(), source };
        // Without the lock `remove_leftovers` could take the grave for a leftover.
        let _ports = self.lock_ports(failed)?;
        self.finish_deletion_of(name)?;
        if let Some(target) = self.linked_home(&profile).map_err(failed)? {
            self.delete_in_place(name, &target, keep_logs)?;
            return fsutil::remove_file_if_there(home).map(drop).map_err(failed);
        }
        let grave = self.root.grave(name, keep_logs);
        match fsutil::rename_exclusively(home, &grave) {
            Ok(()) => {}
            Err(error) if stays_in_place(&error) => {
                return self.delete_in_place(name, home, keep_logs);
            }
            Err(error) => return Err(failed(error)),
        }
        fsutil::sync_directory(&self.root.profiles()).map_err(failed)?;
        self.finish_deletion(&grave, name, keep_logs)
    }

    fn delete_in_place(
        &self,
        name: &ProfileName,
        home: &Path,
        keep_logs: bool,
    ) -> Result<(), StoreError> {
        let failed = |source| StoreError::Delete { name: name.clone(), source };
        let logs = self.settle_deleted(name, keep_logs)?;
        fsutil::empty_directory(home, &INTENT, &MARKS).map_err(failed)?;
        // A mount point remains, and a directory whose parent is another user's: empty, it is no profile.
        let _ = fs::remove_dir(home);
        logs.map_or(Ok(()), |logs| self.remove_hidden(&logs))
    }

    /// The directory that the home of `profile` is a link to, if its content goes with the profile. Not that of a link of
    /// another user's, who could name any directory, and not one that is needed otherwise: a home of other profiles, or
    /// one around those, this user's home directory or the working directory.
    pub fn linked_home(&self, profile: &Profile) -> io::Result<Option<PathBuf>> {
        let home = profile.home.path();
        let link = home.symlink_metadata()?;
        let me = rustix::process::geteuid().as_raw();
        if !link.is_symlink() || ![0, me].contains(&link.uid()) || !home.is_dir() {
            return Ok(None);
        }
        let target = fs::canonicalize(home)?;
        let others = self.list().map_err(io::Error::other)?.profiles.into_iter();
        let others = others.filter(|other| other.home.path() != home);
        let is_needed = |other: Profile| {
            let Ok(itself) = fs::canonicalize(other.home.path()) else { return false };
            // Profiles lie in the root home, and so may the target.
            itself.starts_with(&target) || (!other.name.is_default() && target.starts_with(&itself))
        };
        Ok((!others.into_iter().any(is_needed) && !is_in_use(&target)).then_some(target))
    }
}

/// Whether `target` is a root home or a profile's in another one, or holds this user's home directory or the working
/// directory.
fn is_in_use(target: &Path) -> bool {
    let of_a_root = target.parent().is_some_and(|parent| parent.ends_with(PROFILES))
        || target.join(PROFILES).is_dir();
    let places = [passwd::home_dir(), std::env::current_dir().ok()];
    let mut places = places.into_iter().flatten().filter_map(|place| fs::canonicalize(place).ok());
    of_a_root || places.any(|place| place.starts_with(target))
}
