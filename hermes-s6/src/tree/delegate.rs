//! What root hands over, so that `hermes` can use a scan directory that root's s6-svscan watches.
//!
//! Plain s6 makes `.s6-svscan` 0700 and its `control` and `lock` 0600, all root's. Handed over are the
//! scan directory itself, those two files, and the search bit of the directory between. Every step
//! works on a descriptor that was opened without following a link, since the new owner may write in
//! there: a name that is swapped for a link, symbolic or hard, is refused, never followed.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid};
use thiserror::Error;

/// Hands `scandir` over to the user `uid` and the group `gid`. Needs root. Idempotent.
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
        .map_err(failed(&format!("open the way to `{shown}/.s6-svscan`")))?;
    for (name, kind) in [("control", FileType::Fifo), ("lock", FileType::RegularFile)] {
        give(&svscan, name, kind, uid, gid).map_err(|source| DelegateError {
            what: format!("hand over `{shown}/.s6-svscan/{name}`"),
            source,
        })?;
    }
    // Last: from here on somebody else may change what is in it.
    rustix::fs::fchown(&directory, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
        .map_err(failed(&format!("hand over `{shown}`")))
}

fn give(directory: &OwnedFd, name: &str, kind: FileType, uid: u32, gid: u32) -> io::Result<()> {
    // O_PATH opens a FIFO without waiting for its other end, and a link as a link.
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(directory, name, flags, Mode::empty())?;
    let stat = rustix::fs::fstat(&file)?;
    let refused = |message| Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    let found = FileType::from_raw_mode(stat.st_mode);
    if found != kind {
        return refused(format!("it is a {found:?} and not a {kind:?}"));
    }
    // The other name may be that of a file which is not to be given away.
    if stat.st_nlink != 1 {
        return refused("it has another name: it is a hard link".to_owned());
    }
    let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    Ok(rustix::fs::chownat(&file, "", uid, gid, AtFlags::EMPTY_PATH)?)
}

/// A step of the hand-over that failed; the steps before it stay done.
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

    /// Root hands over to somebody else; anybody may hand over to themselves.
    fn receiver() -> (u32, u32) {
        if rustix::process::geteuid().is_root() {
            return (10_000, 10_000);
        }
        (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())
    }

    #[test]
    fn the_receiver_owns_what_is_needed_and_twice_is_as_once() {
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
        // A hard link gives nothing away either.
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
