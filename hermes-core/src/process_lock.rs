//! Locks that a process holds for as long as it lives.
//!
//! They are `fcntl(2)`'s: a lock belongs to its process, so it survives an exec (the descriptor stays
//! open across it), no child inherits it, and the kernel drops it with its holder, however that ends.
//! The kernel also tells who holds one. s6 locks its supervisors so, and Hermes its gateways: one per
//! profile.

use std::fs::File;
use std::io::{self, Write};
use std::mem;
use std::path::Path;
use std::time::{Duration, Instant};

use fs_err as fs;
use fs_err::os::unix::fs::OpenOptionsExt;
use rustix::fs::{FlockOperation, OFlags};
use rustix::io::{Errno, FdFlags};
use rustix::process::{Flock, FlockType};

use crate::fsutil;
use crate::lock::idle;

/// The process that holds a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    /// Its number; `None` if it lives in another pid namespace.
    pub pid: Option<u32>,
}

/// Takes the lock at `path` for the rest of this process's life, exec included. `about` is written into
/// the file. Blocks while somebody else holds it, at most `patience`; then that is the answer.
pub fn hold(path: &Path, about: &str, patience: Duration) -> io::Result<Result<(), Holder>> {
    // Not through a link, whose target would be emptied; not at a FIFO's pace.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let mut options = fs::OpenOptions::new();
    options.create(true).truncate(false).write(true).custom_flags(flags);
    let mut file: File = options.open(path)?.into_file();
    let deadline = Instant::now() + patience;
    loop {
        match rustix::fs::fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => break,
            Err(Errno::AGAIN | Errno::ACCESS) => {}
            Err(errno) => return Err(errno.into()),
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            // Whoever let it go this very moment may have it again.
            return Ok(Err(holder(path)?.unwrap_or(Holder { pid: None })));
        }
        idle(left.min(Duration::from_millis(50)));
    }
    // The lock is what counts; its file says for people whose it is, if there is room for that.
    let _ = file.set_len(0).and_then(|()| file.write_all(about.as_bytes()));
    rustix::io::fcntl_setfd(&file, FdFlags::empty())?;
    // Closing any descriptor of the file would drop the lock.
    mem::forget(file);
    Ok(Ok(()))
}

/// Who holds the `fcntl(2)` lock on the file at `path`; a file that is not there is held by nobody.
/// A query: read permission suffices.
pub fn holder(path: &Path) -> io::Result<Option<Holder>> {
    let file = match fsutil::open_to_read(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let query = Flock::from(FlockType::WriteLock);
    let held = rustix::process::fcntl_getlk(&file, &query)?;
    Ok(held
        .map(|lock| Holder { pid: lock.pid.map(|pid| pid.as_raw_nonzero().get().cast_unsigned()) }))
}

/// The process that holds a profile's lock at `path` and is not `supervised`, its supervisor's: an orphan.
pub fn other_holder(path: &Path, supervised: Option<u32>) -> io::Result<Option<u32>> {
    let holder = holder(path)?.and_then(|holder| holder.pid);
    Ok(holder.filter(|pid| supervised != Some(*pid)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_not_emptied_and_a_fifo_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let (path, kept) = (dir.path().join("lock"), dir.path().join("kept"));
        std::fs::write(&kept, "kept").unwrap();
        std::os::unix::fs::symlink(&kept, &path).unwrap();
        hold(&path, "new", Duration::ZERO).unwrap_err();
        assert_eq!(std::fs::read(&kept).unwrap(), b"kept");
        std::fs::remove_file(&path).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RWXU).unwrap();
        hold(&path, "new", Duration::ZERO).unwrap_err();
        assert_eq!(holder(&path).unwrap(), None);
    }

    #[test]
    fn a_lock_without_holder_is_held_by_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        assert_eq!(holder(&path).unwrap(), None);
        std::fs::write(&path, "old").unwrap();
        assert_eq!(holder(&path).unwrap(), None);
        hold(&path, "new", Duration::ZERO).unwrap().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
    }
}
