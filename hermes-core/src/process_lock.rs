//! Locks that a process holds until it ends.
//!
//! These are `fcntl(2)` locks. Such a lock belongs to its process: it survives an exec (the descriptor
//! stays open), children do not inherit it, and the kernel releases it when the process ends in any way.
//! The kernel also reports the holder. s6-supervise holds such a lock, and so does each gateway, one per
//! profile.
//!
//! The kernel also releases it when the process closes any descriptor of the file. So this process never opens
//! the file of a lock that it holds a second time. A gateway may close descriptors, or read every file that it
//! finds: the file records it as the lock's [`Taker`].

pub mod origin;
mod taker;

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use fs_err as fs;
use fs_err::os::unix::fs::OpenOptionsExt;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::{Errno, FdFlags};

use crate::fsutil;
use crate::wait::idle;
use crate::writers;

pub use taker::Taker;

/// The content of a lock's file if no process of its last holder remains.
const CLEAN: &[u8] = b"nothing is left of it\n";

/// The locks that this process holds.
static HELD: Mutex<Vec<Held>> = Mutex::new(Vec::new());

/// A lock that this process holds. Closing any descriptor of the file would release the lock.
#[derive(Debug)]
struct Held {
    /// Device and inode.
    identity: (u64, u64),
    content: String,
    _file: File,
}

/// The process that holds a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    /// Its process ID; `None` if it is elsewhere: on another host, in another PID namespace, or an open file
    /// description that several processes may share.
    pub pid: Option<u32>,
}

/// Takes the lock at `path` until this process ends, across execs, and writes `about` to the file. Blocks
/// while another process holds the lock, at most `timeout`; then returns that process as [`Holder`].
pub fn hold(path: &Path, about: &str, timeout: Duration) -> io::Result<Result<(), Holder>> {
    if held_here(path).is_some() {
        return Ok(Ok(()));
    }
    let file: File = to_write().create(true).open(path)?.into_file();
    acquire(file, about, timeout, |_| None)
}

/// As [`hold`], for a process that may lose the lock: the file records it as the lock's [`Taker`], and a
/// recorded taker that still runs counts as the holder. Creates the file's directory.
pub fn take(path: &Path, about: &str, timeout: Duration) -> io::Result<Result<(), Holder>> {
    if held_here(path).is_some() {
        return Ok(Ok(()));
    }
    if let Some(directory) = path.parent() {
        writers::create_directory(directory)?;
    }
    let file = open_below(path, OFlags::CREATE)?;
    let taker = Taker::this_process(&file).map_or_else(String::new, |taker| taker.line());
    acquire(file, &format!("{about}{taker}"), timeout, |file| {
        living_taker(file).map(|taker| taker.pid).filter(|pid| *pid != std::process::id())
    })
}

/// Takes the lock on `file` and keeps it. `other`: a process without the lock that counts as its holder.
fn acquire(
    mut file: File,
    content: &str,
    timeout: Duration,
    other: impl Fn(&File) -> Option<u32>,
) -> io::Result<Result<(), Holder>> {
    let deadline = Instant::now() + timeout;
    loop {
        let holder = match rustix::fs::fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => match other(&file) {
                None => break,
                pid => {
                    rustix::fs::fcntl_lock(&file, FlockOperation::Unlock)?;
                    Some(Holder { pid })
                }
            },
            Err(Errno::AGAIN | Errno::ACCESS) => locker_of(&file)?,
            Err(errno) => return Err(errno.into()),
        };
        let remaining = deadline.saturating_duration_since(Instant::now());
        if remaining.is_zero() {
            // The holder may have released the lock just now.
            return Ok(Err(holder.unwrap_or(Holder { pid: None })));
        }
        idle(remaining.min(Duration::from_millis(50)));
    }
    // A lock without its content still holds, as on a full disk.
    let _ = file.set_len(0).and_then(|()| file.write_all(content.as_bytes()));
    rustix::io::fcntl_setfd(&file, FdFlags::empty())?;
    let identity = identity(&file.metadata()?);
    let held = Held { identity, content: content.to_owned(), _file: file };
    HELD.lock().unwrap_or_else(PoisonError::into_inner).push(held);
    Ok(Ok(()))
}

fn identity(metadata: &std::fs::Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// The content of the lock's file at `path`, if this process holds the lock.
fn held_here(path: &Path) -> Option<String> {
    let held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
    if held.is_empty() {
        return None;
    }
    let file = identity(&fs::symlink_metadata(path).ok()?);
    held.iter().find(|held| held.identity == file).map(|held| held.content.clone())
}

/// The content of the lock's file at `path`, for messages; empty if the file is absent. Releases no lock of this
/// process.
pub fn content(path: &Path) -> io::Result<String> {
    if let Some(content) = held_here(path) {
        return Ok(content);
    }
    let bytes = fsutil::read_if_there(path)?.unwrap_or_default();
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Records in the file of a lock without a holder that no process of its last holder remains. The next
/// holder overwrites that. Idempotent, does not wait.
pub fn mark_clean(path: &Path) -> io::Result<()> {
    if held_here(path).is_some() {
        return Ok(());
    }
    let mut file = match open_below(path, OFlags::empty()) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if locker_of(&file)?.is_none() && living_taker(&file).is_none() {
        file.set_len(0)?;
        file.write_all(CLEAN)?;
        // A process that took the lock meanwhile may have written its `about` before.
        if locker_of(&file)?.is_some() {
            file.set_len(0)?;
        }
    }
    Ok(())
}

/// Whether no process of the last holder of the lock at `path` remains: the file is absent, or
/// [`mark_clean`] has marked it.
pub fn is_clean(path: &Path) -> bool {
    if held_here(path).is_some() {
        return false;
    }
    match fsutil::read_up_to(path, CLEAN.len() as u64 + 1) {
        Ok(text) => text == CLEAN,
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

/// Does not follow a link, whose target would be emptied, or block on a FIFO.
fn to_write() -> fs::OpenOptions {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let mut options = fs::OpenOptions::new();
    // Of a file that it creates: others may not write it, whatever the umask.
    options.truncate(false).write(true).mode(0o644).custom_flags(flags);
    options
}

/// Opens a lock's file in a directory of locks. Follows no link in place of either, whose target would be emptied.
fn open_below(path: &Path, create: OFlags) -> io::Result<File> {
    in_directory(path, "open", |directory, name| {
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC | create;
        rustix::fs::openat(directory, name, flags, Mode::from_raw_mode(0o644)).map(File::from)
    })
}

/// Removes the file of a lock that nobody holds. Follows no link in place of its directory. Idempotent.
pub fn remove(path: &Path) -> io::Result<()> {
    let unlink = |directory: OwnedFd, name: &OsStr| {
        rustix::fs::unlinkat(directory, name, rustix::fs::AtFlags::empty())
    };
    match in_directory(path, "remove", unlink) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Calls `act` with the directory of `path`, which may not be a link, and the name in it.
fn in_directory<T>(
    path: &Path,
    verb: &str,
    act: impl FnOnce(OwnedFd, &OsStr) -> Result<T, Errno>,
) -> io::Result<T> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let directory = rustix::fs::open(directory, fsutil::DIRECTORY, Mode::empty());
    directory.and_then(|directory| act(directory, name)).map_err(|errno| {
        let error = io::Error::from(errno);
        io::Error::new(error.kind(), format!("failed to {verb} `{}`: {error}", path.display()))
    })
}

/// The holder of the lock at `path`: the process with the `fcntl(2)` lock, or else the recorded [`Taker`], if it
/// has lost the lock and still runs. `None` also if the file is absent, or can't be a lock: a link, a directory,
/// a FIFO. Only needs read permission.
pub fn holder(path: &Path) -> io::Result<Option<Holder>> {
    query(path, |file| {
        let taker = || living_taker(file).map(|taker| Holder { pid: Some(taker.pid) });
        Ok(locker_of(file)?.or_else(taker))
    })
}

/// As [`holder`], by the kernel's word alone: a taker is only what the file records.
pub fn locker(path: &Path) -> io::Result<Option<Holder>> {
    query(path, locker_of)
}

/// Calls `ask` with the file of a lock, unless this process holds the lock.
fn query(
    path: &Path,
    ask: impl FnOnce(&File) -> io::Result<Option<Holder>>,
) -> io::Result<Option<Holder>> {
    if held_here(path).is_some() {
        return Ok(Some(Holder { pid: Some(std::process::id()) }));
    }
    // Without blocking on a FIFO.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = match rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::empty()) {
        Ok(file) => File::from(file),
        // The last two: a link, a socket.
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NXIO) => return Ok(None),
        Err(errno) => {
            let error = io::Error::from(errno);
            let message = format!("failed to open `{}`: {error}", path.display());
            return Err(io::Error::new(error.kind(), message));
        }
    };
    match ask(&file) {
        // The kernel has no locks for the file's type.
        Err(_) if !file.metadata()?.is_file() => Ok(None),
        holder => holder,
    }
}

fn locker_of(file: &File) -> io::Result<Option<Holder>> {
    let mut lock = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    fcntl(file, FcntlArg::F_GETLK(&mut lock))?;
    let unlocked = lock.l_type == libc::F_UNLCK as libc::c_short;
    // -1 is a lock of an open file description or of another host, 0 a process of another PID namespace.
    let pid = u32::try_from(lock.l_pid).ok().filter(|pid| *pid > 0);
    Ok((!unlocked).then_some(Holder { pid }))
}

/// The recorded taker of the lock on `file`, if it still runs.
fn living_taker(file: &File) -> Option<Taker> {
    Taker::recorded_in(file).filter(Taker::is_alive)
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
    fn a_link_in_place_of_the_directory_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (elsewhere, locks) = (dir.path().join("etc"), dir.path().join("locks"));
        std::fs::create_dir(&elsewhere).unwrap();
        std::fs::write(elsewhere.join("shadow"), "kept").unwrap();
        std::os::unix::fs::symlink(&elsewhere, &locks).unwrap();
        let path = locks.join("shadow");
        take(&path, "new", Duration::ZERO).unwrap_err();
        mark_clean(&path).unwrap_err();
        remove(&path).unwrap_err();
        assert_eq!(std::fs::read(elsewhere.join("shadow")).unwrap(), b"kept");
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
