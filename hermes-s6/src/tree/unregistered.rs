//! Marks of the services that an operator removed with `gateway unregister`, so that the reconciler does not create
//! them again.
//!
//! A mark is a file in the scan directory that names the s6-svscan: it holds until the service is created again, the
//! profile is gone, or the tree ends.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;

use fs_err as fs;
use hermes_core::process_lock::Holder;
use hermes_core::{ProfileName, fsutil};

use crate::slot::layout::{FILE_MODE, MAX_PROFILE_LEN};
use crate::tree::Tree;

/// The longest name of a slot's profile makes a file name of 255 bytes.
const PREFIX: &str = ".hermes.off.";

fn path(tree: &Tree, profile: &ProfileName) -> PathBuf {
    tree.scandir.path().join(format!("{PREFIX}{profile}"))
}

/// Marks the service of `profile`. Idempotent.
pub(crate) fn mark(tree: &Tree, svscan: Holder, profile: &ProfileName) -> io::Result<()> {
    fsutil::write_durably(&path(tree, profile), tree.identity_of(svscan).as_bytes(), FILE_MODE)
}

/// Removes the mark; whether there was one. A name that is too long for a slot has none.
pub(crate) fn unmark(tree: &Tree, profile: &ProfileName) -> io::Result<bool> {
    if profile.as_str().len() > MAX_PROFILE_LEN {
        return Ok(false);
    }
    fsutil::remove_file_if_there(&path(tree, profile))
}

/// The profiles whose services were marked under this s6-svscan, and the marks that are left over: of a former tree, or
/// of a profile that is gone.
pub(crate) fn marked(
    tree: &Tree,
    svscan: Holder,
) -> io::Result<(BTreeSet<ProfileName>, Vec<PathBuf>)> {
    let (mut marked, mut left) = (BTreeSet::new(), Vec::new());
    for entry in fs::read_dir(tree.scandir.path())? {
        let entry = entry?;
        let name = entry.file_name();
        let profile = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.parse().ok());
        let Some(profile): Option<ProfileName> = profile else { continue };
        let is_gone = || matches!(fsutil::exists(tree.root.profile(&profile).path()), Ok(false));
        match is_marked(tree, svscan, &profile) && !is_gone() {
            true => drop(marked.insert(profile)),
            false => left.push(entry.path()),
        }
    }
    Ok((marked, left))
}

/// Whether the service of `profile` was marked under this s6-svscan.
pub(crate) fn is_marked(tree: &Tree, svscan: Holder, profile: &ProfileName) -> bool {
    let text = fsutil::read_to_string(&path(tree, profile));
    text.is_ok_and(|text| text == tree.identity_of(svscan))
}
