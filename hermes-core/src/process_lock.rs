//! Locks that a process holds until it ends.
//!
//! These are `fcntl(2)` locks. Such a lock belongs to its process: it survives an exec (the descriptor
//! stays open), children do not inherit it, and the kernel releases it when the process ends in any way.
//! The kernel also reports the holder. s6-supervise holds such a lock, and so does each gateway, one per
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

/// The content of a lock's file if no process of its last holder remains.
const CLEAN: &[u8] = b"nothing is left of it\n";

/// The process that holds a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    /// Its process ID; `None` if it is in another PID namespace.
    pub pid: Option<u32>,
}

/// Takes the lock at `path` until this process ends, across execs, and writes `about` to the file. Blocks
/// while another process holds the lock, at most `timeout`; then returns that process as [`Holder`].
pub fn hold(path: &Path, about: &str, timeout: Duration) -> io::Result<Result<(), Holder>> {
    let mut file: File = to_write().create(true).open(path)?.into_file();
    let deadline = Instant::now() + timeout;
    loop {
        match rustix::fs::fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => break,
            Err(Errno::AGAIN | Errno::ACCESS) => {}
            Err(errno) => return Err(errno.into()),
        }
        let remaining = deadline.saturating_duration_since(Instant::now());
        if remaining.is_zero() {
            // The holder may have released the lock just now.
            return Ok(Err(holder(path)?.unwrap_or(Holder { pid: None })));
        }
        idle(remaining.min(Duration::from_millis(50)));
    }
    // The content is only for people: a failure, as on a full disk, does not matter.
    let _ = file.set_len(0).and_then(|()| file.write_all(about.as_bytes()));
    rustix::io::fcntl_setfd(&file, FdFlags::empty())?;
    // Closing any descriptor of the file would release the lock.
    mem::forget(file);
    Ok(Ok(()))
}

/// Records in the file of a lock without a holder that no process of its last holder remains. The next
/// holder overwrites that. Idempotent, does not wait.
pub fn mark_clean(path: &Path) -> io::Result<()> {
    let mut file = match to_write().open(path) {
        Ok(file) => file.into_file(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if holder_of(&file)?.is_none() {
        file.set_len(0)?;
        file.write_all(CLEAN)?;
        // A process that took the lock meanwhile may have written its `about` before.
        if holder_of(&file)?.is_some() {
            file.set_len(0)?;
        }
    }
    Ok(())
}

/// Whether no process of the last holder of the lock at `path` remains: the file is absent, or
/// [`mark_clean`] has marked it.
pub fn is_clean(path: &Path) -> bool {
    match fsutil::read_up_to(path, CLEAN.len() as u64 + 1) {
        Ok(text) => text == CLEAN,
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

/// Does not follow a link, whose target would be emptied, or block on a FIFO.
fn to_write() -> fs::OpenOptions {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let mut options = fs::OpenOptions::new();
    options.truncate(false).write(true).custom_flags(flags);
    options
}

/// The holder of the `fcntl(2)` lock on the file at `path`; `None` also if the file is absent. Only needs
/// read permission.
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

/// The holder of a gateway's lock at `path`, if it is an orphan: not `supervised`, its supervisor's process.
pub fn other_holder(path: &Path, supervised: Option<u32>) -> io::Result<Option<u32>> {
    let holder = holder(path)?.and_then(|holder| holder.pid);
    Ok(holder.filter(|pid| supervised != Some(*pid)))
}

/// A process that holds a lock, for tests: no process sees its own locks, so a test starts itself again.
#[cfg(test)]
pub(crate) mod other_process {
    use std::io::Read;
    use std::path::{Path, PathBuf};
    use std::process::{Child, Command, Stdio};
    use std::time::Duration;

    const PATH: &str = "HERMES_TEST_HELD";

    /// The lock to hold, if this process was started to hold one.
    pub(crate) fn path() -> Option<PathBuf> {
        std::env::var_os(PATH).map(PathBuf::from)
    }

    pub(crate) fn hold_until_stdin_closes(path: &Path) {
        super::hold(path, "", Duration::ZERO).unwrap().unwrap();
        std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    }

    /// Starts the test `name` again, to hold the lock at `path`.
    pub(crate) fn start(name: &str, path: &Path) -> Child {
        let mut test = Command::new(std::env::current_exe().unwrap());
        test.arg(name).env(PATH, path).stdin(Stdio::piped()).stdout(Stdio::null());
        test.spawn().unwrap()
    }
}

#[cfg(test)]
mod tests {
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
    fn a_clean_lock_stays_clean_until_it_is_held() {
        if let Some(path) = other_process::path() {
            return other_process::hold_until_stdin_closes(&path);
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        mark_clean(&path).unwrap();
        assert!(is_clean(&path) && !path.exists());
        for _ in 0..2 {
            let mut first =
                other_process::start("a_clean_lock_stays_clean_until_it_is_held", &path);
            let held = Some(Holder { pid: Some(first.id()) });
            let deadline = Instant::now() + Duration::from_secs(60);
            let waited = wait::until(deadline, || {
                let holds = holder(&path)? == held && !is_clean(&path);
                Ok::<_, io::Error>(if holds { Poll::Done(()) } else { Poll::Wait })
            });
            waited.unwrap().expect("the lock is held");
            mark_clean(&path).unwrap();
            assert!(!is_clean(&path), "a held lock");
            drop(first.stdin.take());
            assert!(first.wait().unwrap().success());
            assert!(!is_clean(&path), "not marked yet");
            mark_clean(&path).unwrap();
            assert!(is_clean(&path));
        }
    }

    #[test]
    fn a_file_without_a_lock_has_no_holder() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        assert_eq!(holder(&path).unwrap(), None);
        std::fs::write(&path, "old").unwrap();
        assert_eq!(holder(&path).unwrap(), None);
        hold(&path, "new", Duration::ZERO).unwrap().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
    }
}
