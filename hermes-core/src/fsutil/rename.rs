//! Renames that replace nothing, on every file system, and the question whether a directory can be renamed.

use std::io;
use std::path::Path;

use fs_err as fs;
use rustix::fs::{Access, CWD, RenameFlags};
use rustix::io::Errno;
use tempfile::NamedTempFile;

use super::attributes::{Attributes, attributes, has_layers};
use super::{TEMPORARY, hints};

/// Renames `from` to `to`; if `to` exists, fails with `AlreadyExists`.
///
/// A single system call (`renameat2(2)` with `RENAME_NOREPLACE`), so two callers can't both succeed. NFS, 9p, CephFS,
/// ZFS before 2.2 and some seccomp filters refuse this call: there `to` is looked for first, and the caller's lock
/// keeps other commands from creating it in between.
pub fn rename_exclusively(from: &Path, to: &Path) -> io::Result<()> {
    let renamed = match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // The plain rename repeats an error that has another cause than the flag.
        Err(Errno::INVAL | Errno::NOSYS | Errno::PERM | Errno::OPNOTSUPP) => {
            rename_if_absent(from, to)
        }
        renamed => renamed.map_err(io::Error::from),
    };
    renamed.map_err(|error| {
        let message =
            format!("failed to rename `{}` to `{}`: {error}", from.display(), to.display());
        let parents = [from, to].map(|path| path.parent().unwrap_or(path));
        let closed = parents.into_iter().find(|parent| hints::is_closed(parent));
        hints::error_in(closed.unwrap_or(parents[0]), &error, message)
    })
}

fn rename_if_absent(from: &Path, to: &Path) -> io::Result<()> {
    // A file needs no lock: a second link replaces nothing, where the file system has links.
    if from.symlink_metadata()?.is_file() {
        match std::fs::hard_link(from, to) {
            Ok(()) => return std::fs::remove_file(from),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(error),
            Err(_) => {}
        }
    }
    match to.symlink_metadata() {
        Ok(_) => Err(Errno::EXIST.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => std::fs::rename(from, to),
        Err(error) => Err(error),
    }
}

/// Gives a temporary file its name `to`; if `to` exists, fails with `AlreadyExists` and removes the file.
pub fn persist_exclusively(file: NamedTempFile, to: &Path) -> io::Result<()> {
    rename_exclusively(file.path(), to)?;
    // It was renamed: there is nothing to remove on drop.
    file.into_temp_path().keep().map(drop).map_err(|error| error.error)
}

/// Fails as a rename of `path` within its directory would fail: `ResourceBusy` for a mount point, `CrossesDevices` for a
/// directory in a lower layer of an overlay, `PermissionDenied` or `ReadOnlyFilesystem` for a directory around it that
/// can't be changed. The caller's lock keeps other commands from removing leftovers meanwhile.
pub fn check_renamable(path: &Path) -> io::Result<()> {
    let parent = super::parent(path)?;
    let is_directory = path.symlink_metadata()?.is_dir();
    let Attributes { mount_point, immutable } = attributes(path)?;
    let refused = if mount_point {
        Err(Errno::BUSY)
    } else if immutable {
        Err(Errno::PERM)
    } else {
        rustix::fs::access(parent, Access::WRITE_OK | Access::EXEC_OK)
    };
    let refused = match refused {
        Ok(()) if is_directory && has_layers(path)? => try_rename(path, parent)?,
        other => other,
    };
    refused.map_err(|errno| {
        let why = match errno {
            Errno::BUSY => "it is a mount point".to_owned(),
            Errno::XDEV => "it lies in a lower layer of an overlay".to_owned(),
            _ if immutable => "it is immutable (chattr)".to_owned(),
            _ => io::Error::from(errno).to_string(),
        };
        let kind = io::Error::from(errno).kind();
        let message = format!("`{}` can't be renamed: {why}", path.display());
        hints::error_in(parent, &kind.into(), message)
    })
}

/// Asks the kernel, which alone knows the layer of a directory, to rename it onto one that is not empty.
fn try_rename(path: &Path, parent: &Path) -> io::Result<Result<(), Errno>> {
    let target = tempfile::Builder::new().prefix(TEMPORARY).tempdir_in(parent)?;
    fs::create_dir(target.path().join("full"))?;
    Ok(match rustix::fs::rename(path, target.path()) {
        Ok(()) => {
            fs::rename(target.path(), path)?;
            Ok(())
        }
        Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(()),
        Err(errno) => Err(errno),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exclusive_rename_replaces_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        fs::create_dir(&a).unwrap();
        fs::create_dir(&b).unwrap();
        let error = rename_exclusively(&a, &b).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert!(a.exists());
    }

    #[test]
    fn where_the_flag_is_refused_nothing_is_replaced_either() {
        let dir = tempfile::tempdir().unwrap();
        let [a, b, link] = ["a", "b", "link"].map(|name| dir.path().join(name));
        fs::create_dir(&a).unwrap();
        std::os::unix::fs::symlink("nowhere", &link).unwrap();
        // A plain rename would replace an empty directory.
        fs::create_dir(&b).unwrap();
        for taken in [&b, &link] {
            let error = rename_if_absent(&a, taken).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
            assert!(taken.symlink_metadata().is_ok());
        }
        rename_if_absent(&a, &dir.path().join("c")).unwrap();
        assert!(!a.exists() && dir.path().join("c").exists());
        let file = dir.path().join("file");
        fs::write(&file, "mine").unwrap();
        let error = rename_if_absent(&file, &link).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        rename_if_absent(&file, &dir.path().join("d")).unwrap();
        assert!(!file.exists() && dir.path().join("d").exists());
    }

    #[test]
    fn the_question_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let a = dir.path().join("a");
        fs::create_dir(&a).unwrap();
        check_renamable(&a).unwrap();
        try_rename(&a, dir.path()).unwrap().unwrap();
        assert!(a.exists());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        let error = check_renamable(Path::new("/proc")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ResourceBusy, "{error}");
    }
}
