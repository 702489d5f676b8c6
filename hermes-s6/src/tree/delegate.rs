//! Gives a scan directory of root's s6-svscan to another user, so that `hermes` can use it without root.
//!
//! Plain s6 creates `.s6-svscan` with mode 0700 and its `control` and `lock` with 0600, owned by root. This
//! changes the owner of the scan directory and of those two files, and makes `.s6-svscan` searchable. The new
//! owner may write in the directory, so every step works on a descriptor that was opened without following
//! links: a name replaced with a symbolic or hard link is refused.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid};
use thiserror::Error;

/// Gives `scandir` to the user `uid` and the group `gid`. Needs root. Idempotent. Does not wait. The
/// completed steps of a failed call stay done.
pub fn delegate(scandir: &Path, uid: u32, gid: u32) -> Result<(), DelegateError> {
    let failed = |what: &str| {
        let what = what.to_owned();
        move |error: rustix::io::Errno| DelegateError { what, source: error.into() }
    };
    let shown = scandir.display();
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = rustix::fs::open(scandir, flags | OFlags::RDONLY, Mode::empty())
        .map_err(failed(&format!("open `{shown}`")))?;
    let svscan = rustix::fs::openat(&directory, ".s6-svscan", flags, Mode::empty())
        .map_err(failed(&format!("open `{shown}/.s6-svscan`")))?;
    let mode = Mode::from_raw_mode(rustix::fs::fstat(&svscan).map_err(failed("stat"))?.st_mode);
    rustix::fs::fchmod(&svscan, mode | Mode::XUSR | Mode::XGRP | Mode::XOTH)
        .map_err(failed(&format!("make `{shown}/.s6-svscan` searchable")))?;
    for (name, kind) in [("control", FileType::Fifo), ("lock", FileType::RegularFile)] {
        give(&svscan, name, kind, uid, gid).map_err(|source| DelegateError {
            what: format!("change the owner of `{shown}/.s6-svscan/{name}`"),
            source,
        })?;
    }
    // Last, because from here on the new owner may change the directory.
    rustix::fs::fchown(&directory, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
        .map_err(failed(&format!("change the owner of `{shown}`")))
}

fn give(directory: &OwnedFd, name: &str, kind: FileType, uid: u32, gid: u32) -> io::Result<()> {
    // O_PATH opens a FIFO without waiting for its other end. O_NOFOLLOW opens a link itself.
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(directory, name, flags, Mode::empty())?;
    let stat = rustix::fs::fstat(&file)?;
    let refused = |message| Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    let found = FileType::from_raw_mode(stat.st_mode);
    if found != kind {
        return refused(format!("it is a {found:?}, not a {kind:?}"));
    }
    // A hard link may be another name of a file that must stay root's.
    if stat.st_nlink != 1 {
        return refused("it has more than one hard link".to_owned());
    }
    let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    Ok(rustix::fs::chownat(&file, "", uid, gid, AtFlags::EMPTY_PATH)?)
}

/// The failed step of [`delegate`].
#[derive(Debug, Error)]
#[error("failed to {what}")]
pub struct DelegateError {
    what: String,
    source: io::Error,
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use fs_err as fs;
    use rustix::fs::CWD;

    use super::*;

    fn scandir() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let svscan = dir.path().join(".s6-svscan");
        fs::create_dir(&svscan).unwrap();
        fs::set_permissions(&svscan, std::fs::Permissions::from_mode(0o700)).unwrap();
        rustix::fs::mkfifoat(CWD, svscan.join("control"), Mode::RUSR | Mode::WUSR).unwrap();
        fs::write(svscan.join("lock"), "").unwrap();
        dir
    }

    /// Root delegates to another user; other users can delegate only to themselves.
    fn receiver() -> (u32, u32) {
        if rustix::process::geteuid().is_root() {
            return (10_000, 10_000);
        }
        (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())
    }

    #[test]
    fn the_receiver_owns_the_files_and_delegation_is_idempotent() {
        let (dir, (uid, gid)) = (scandir(), receiver());
        for _ in 0..2 {
            delegate(dir.path(), uid, gid).unwrap();
            for name in ["", ".s6-svscan/control", ".s6-svscan/lock"] {
                let metadata = fs::metadata(dir.path().join(name)).unwrap();
                assert_eq!((metadata.uid(), metadata.gid()), (uid, gid), "{name}");
            }
            let mode = fs::metadata(dir.path().join(".s6-svscan")).unwrap().mode();
            assert_eq!(mode & 0o777, 0o711);
        }
    }

    #[test]
    fn no_link_is_followed() {
        let (uid, gid) = receiver();
        for name in [".s6-svscan/control", ".s6-svscan/lock", ".s6-svscan"] {
            let (dir, elsewhere) = (scandir(), scandir());
            let (path, target) = (dir.path().join(name), elsewhere.path().join(name));
            fs::rename(&path, dir.path().join("aside")).unwrap();
            symlink(&target, &path).unwrap();
            let before = fs::metadata(&target).unwrap();
            delegate(dir.path(), uid, gid).unwrap_err();
            let after = fs::metadata(&target).unwrap();
            assert_eq!((before.uid(), before.mode()), (after.uid(), after.mode()), "{name}");
        }
        // A hard link is refused too.
        let (dir, elsewhere) = (scandir(), tempfile::NamedTempFile::new().unwrap());
        let lock = dir.path().join(".s6-svscan/lock");
        fs::remove_file(&lock).unwrap();
        fs::hard_link(elsewhere.path(), &lock).unwrap();
        let before = elsewhere.as_file().metadata().unwrap().uid();
        delegate(dir.path(), uid, gid).unwrap_err();
        assert_eq!(elsewhere.as_file().metadata().unwrap().uid(), before);
        let (dir, link) = (scandir(), tempfile::tempdir().unwrap());
        symlink(dir.path(), link.path().join("scandir")).unwrap();
        delegate(&link.path().join("scandir"), uid, gid).unwrap_err();
    }
}
