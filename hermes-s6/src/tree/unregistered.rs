//! Marks of the services that an operator removed with `gateway unregister`, so that the reconciler does not create
//! them again.
//!
//! A mark is a file in the scan directory that names the s6-svscan and the profile's home: it holds until the service is
//! created again, the home is gone, or the tree ends. Another program may put a new home in its place at once.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::UNIX_EPOCH;

use fs_err as fs;
use hermes_core::process_lock::Holder;
use hermes_core::{ProfileName, fsutil};

use crate::protocol::scandir::Listing;
use crate::slot::layout::{FILE_MODE, MAX_PROFILE_LEN};
use crate::tree::Tree;

/// The longest name of a slot's profile makes a file name of 255 bytes.
const PREFIX: &str = ".hermes.off.";

fn path(tree: &Tree, profile: &ProfileName) -> PathBuf {
    tree.scandir.path().join(format!("{PREFIX}{profile}"))
}

/// The content of a mark that holds now. Fails if the home does not exist.
fn content(tree: &Tree, svscan: Holder, profile: &ProfileName) -> io::Result<String> {
    let home = fs::metadata(tree.root.profile(profile).path())?;
    // A new directory often gets the inode of one that was just removed.
    let born = home.created().ok().and_then(|born| born.duration_since(UNIX_EPOCH).ok());
    let born = born.unwrap_or_default().as_nanos();
    Ok(format!("{}{} {} {born}\n", tree.identity_of(svscan), home.dev(), home.ino()))
}

/// Marks the service of `profile`, whose home exists. Idempotent.
pub(crate) fn mark(tree: &Tree, svscan: Holder, profile: &ProfileName) -> io::Result<()> {
    let content = content(tree, svscan, profile)?;
    fsutil::write_durably(&path(tree, profile), content.as_bytes(), FILE_MODE)
}

/// Removes the mark; whether there was one. A name that is too long for a slot has none.
pub(crate) fn unmark(tree: &Tree, profile: &ProfileName) -> io::Result<bool> {
    if profile.as_str().len() > MAX_PROFILE_LEN {
        return Ok(false);
    }
    fsutil::remove_file_if_there(&path(tree, profile))
}

/// The profiles whose services were marked under this s6-svscan, and the marks that are left over: of a former tree, or
/// of a home that is gone.
pub(crate) fn marked(
    tree: &Tree,
    svscan: Holder,
    listing: &Listing,
) -> (BTreeSet<ProfileName>, Vec<PathBuf>) {
    let (mut marked, mut left) = (BTreeSet::new(), Vec::new());
    for path in listing.files() {
        let name = path.file_name().and_then(OsStr::to_str);
        let profile = name.and_then(|name| name.strip_prefix(PREFIX)?.parse().ok());
        let Some(profile): Option<ProfileName> = profile else { continue };
        match is_marked(tree, svscan, &profile) {
            true => drop(marked.insert(profile)),
            false => left.push(path.to_owned()),
        }
    }
    (marked, left)
}

/// Whether the service of `profile` was marked under this s6-svscan, and with the home that it has now.
pub(crate) fn is_marked(tree: &Tree, svscan: Holder, profile: &ProfileName) -> bool {
    let text = fsutil::read_to_string(&path(tree, profile));
    text.is_ok_and(|text| content(tree, svscan, profile).is_ok_and(|content| text == content))
}
