//! Locks that a process holds for as long as it lives.
//!
//! They are `fcntl(2)`'s: a lock belongs to its process, so it survives an exec (the descriptor stays
//! open across it), no child inherits it, and the kernel drops it with its holder, however that ends.
//! The kernel also tells who holds one. s6 locks its supervisors so, and Hermes its gateways: one per
//! profile.

use std::fs::File;
use std::io::{self, Write};
use std::mem;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use fs_err as fs;
use fs_err::os::unix::fs::OpenOptionsExt;
use rustix::fs::{FlockOperation, OFlags};
use rustix::io::{Errno, FdFlags};
use rustix::process::{Flock, FlockType};

use crate::fsutil;
use crate::lock::idle;

/// What the file of a lock says once nothing is left of its last holder.
const CLEAN: &[u8] = b"nothing is left of it\n";

/// The process that holds a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    /// Its number; `None` if it lives in another pid namespace.
    pub pid: Option<u32>,
}

/// Takes the lock at `path` for the rest of this process's life, exec included. `about` is written into
/// the file. Blocks while somebody else holds it, at most `timeout`; then that is the answer.
pub fn hold(path: &Path, about: &str, timeout: Duration) -> io::Result<Result<(), Holder>> {
    let mut file: File = to_write().create(true).open(path)?.into_file();
    let deadline = Instant::now() + timeout;
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

/// Has the file of a lock that nobody holds say that nothing is left of whoever held it, which the next one
/// undoes. Idempotent, does not wait.
pub fn mark_clean(path: &Path) -> io::Result<()> {
    let mut file = match to_write().open(path) {
        Ok(file) => file.into_file(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if holder_of(&file)?.is_none() {
        file.set_len(0)?;
        file.write_all(CLEAN)?;
        // Whoever took it meanwhile emptied it before this was written, or will.
        if holder_of(&file)?.is_some() {
            file.set_len(0)?;
        }
    }
    Ok(())
}

/// Whether nothing is left of whoever held the lock at `path`: nobody ever did, or it is marked so.
pub fn is_clean(path: &Path) -> bool {
    match fsutil::read_up_to(path, CLEAN.len() as u64 + 1) {
        Ok(text) => text == CLEAN,
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

/// Not through a link, whose target would be emptied; not at a FIFO's pace.
fn to_write() -> fs::OpenOptions {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let mut options = fs::OpenOptions::new();
    options.truncate(false).write(true).custom_flags(flags);
    options
}

/// Who holds the `fcntl(2)` lock on the file at `path`; a file that is not there is held by nobody.
/// A query: read permission suffices.
pub fn holder(path: &Path) -> io::Result<Option<Holder>> {
    let file = match fsutil::open_to_read(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    holder_of(&file)
}

fn holder_of(file: impl AsFd) -> io::Result<Option<Holder>> {
    let query = Flock::from(FlockType::WriteLock);
    let held = rustix::process::fcntl_getlk(file, &query)?;
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
    use std::io::Read;
    use std::process::{Command, Stdio};

    use super::*;
    use crate::wait::{self, Poll};

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
    fn what_is_clean_stays_so_until_somebody_holds_it() {
        const HELD: &str = "HERMES_TEST_HELD";
        // In a process of its own, since nobody sees their own locks: this test once more.
        if let Some(path) = std::env::var_os(HELD) {
            hold(Path::new(&path), "", Duration::ZERO).unwrap().unwrap();
            std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        mark_clean(&path).unwrap();
        assert!(is_clean(&path) && !path.exists());
        for _ in 0..2 {
            let mut first = Command::new(std::env::current_exe().unwrap())
                .arg("what_is_clean_stays_so_until_somebody_holds_it")
                .env(HELD, &path)
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .spawn()
                .unwrap();
            let held = Some(Holder { pid: Some(first.id()) });
            let deadline = Instant::now() + Duration::from_secs(60);
            let seen = wait::until(deadline, || {
                let holds = holder(&path)? == held && !is_clean(&path);
                Ok::<_, io::Error>(if holds { Poll::Done(()) } else { Poll::Wait })
            });
            seen.unwrap().expect("it is held");
            mark_clean(&path).unwrap();
            assert!(!is_clean(&path), "somebody holds it");
            drop(first.stdin.take());
            assert!(first.wait().unwrap().success());
            assert!(!is_clean(&path), "nobody has looked");
            mark_clean(&path).unwrap();
            assert!(is_clean(&path));
        }
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
