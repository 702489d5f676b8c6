//! Removal of whole trees, without following a link.

use std::io;
use std::path::Path;

use fs_err as fs;
use rustix::fs::Access;

use super::closed::Directory;
use super::existed;

/// Removes the file or directory at `path` and everything below it, without following links. Directories of
/// this user that are not writable are made so first. Returns whether it existed.
pub fn remove_tree_if_there(path: &Path) -> io::Result<bool> {
    let is_directory = match path.symlink_metadata() {
        Ok(metadata) => metadata.is_dir(),
        Err(error) => return existed(Err(error)),
    };
    let remove = || match is_directory {
        true => fs::remove_dir_all(path),
        false => fs::remove_file(path),
    };
    match remove() {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            open_directories(path);
            existed(remove())
        }
        removed => existed(removed),
    }
}

/// Opens the directories of this user from `path` down that are closed to it, as far as possible. Follows no
/// link.
pub fn open_directories(path: &Path) {
    let Ok(directory) = Directory::at(path) else { return };
    let itself = directory.path();
    if rustix::fs::access(&itself, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK).is_err() {
        let _ = directory.set_mode(0o700);
    }
    for entry in fs::read_dir(&itself).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            open_directories(&path.join(entry.file_name()));
        }
    }
}

/// Sets the mode of the directory at `path`. Follows no link.
pub(super) fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    Directory::at(path)?.set_mode(mode & 0o7777)
}

/// Removes everything in the directory at `path`: first the entries `first`, so that they are gone before any other, and
/// `last` once all others are gone. Goes on past an entry that can't be removed, and returns the first error.
/// Idempotent.
pub fn empty_directory(path: &Path, first: &[&str], last: &[&str]) -> io::Result<()> {
    open_directories(path);
    for name in first {
        remove_tree_if_there(&path.join(name))?;
    }
    let mut failed = None;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if !last.iter().any(|name| entry.file_name() == *name) {
            failed = failed.or(remove_tree_if_there(&entry.path()).err());
        }
    }
    if let Some(error) = failed {
        return Err(error);
    }
    last.iter().try_for_each(|name| remove_tree_if_there(&path.join(name)).map(drop))
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_tree_is_removed_although_directories_in_it_are_not_writable() {
        let dir = tempfile::tempdir().unwrap();
        let (tree, kept) = (dir.path().join("tree"), dir.path().join("kept"));
        fs::create_dir_all(tree.join("a/b")).unwrap();
        fs::create_dir(&kept).unwrap();
        fs::write(tree.join("a/b/file"), "").unwrap();
        std::os::unix::fs::symlink(&kept, tree.join("a/link")).unwrap();
        for (path, mode) in [("kept", 0o500), ("tree/a/b", 0o555), ("tree/a", 0o0), ("tree", 0o500)]
        {
            let mode = Permissions::from_mode(mode);
            fs::set_permissions(dir.path().join(path), mode).unwrap();
        }
        assert!(remove_tree_if_there(&tree).unwrap());
        assert!(!remove_tree_if_there(&tree).unwrap());
        assert_eq!(fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o500);
        fs::write(&tree, "a file").unwrap();
        assert!(remove_tree_if_there(&tree).unwrap());
    }
}
