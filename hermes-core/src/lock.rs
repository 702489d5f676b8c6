//! Locks between commands, with a deadline, that leave no file behind.
//!
//! A lock is a `flock(2)` on a file of its own. The holder removes the file before it releases the lock,
//! so a waiter that gets the lock checks that its file is still the file at the path, and otherwise
//! tries again. The kernel releases the lock of a process that ends in any way.

use std::fs::TryLockError;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fs_err as fs;
use fs_err::os::unix::fs::OpenOptionsExt;
use rustix::fs::OFlags;
use rustix::io::Errno;
use thiserror::Error;

use crate::fsutil::attributes::regular;
use crate::fsutil::is_at;
use crate::proc::Proc;
use crate::shell::quote_path;
use crate::wait::idle;
use crate::waiting::{self, Goal, Waiting};
use crate::writers;

/// A held lock; dropping it releases it and removes its file.
#[derive(Debug)]
pub struct Lock {
    path: PathBuf,
    _file: fs::File,
}

impl Lock {
    /// Takes the lock at `path`, and creates the file and its directory if necessary. An entry at the
    /// path that can't be a lock, such as a link or an empty directory, is removed. Blocks until the lock is free, at
    /// most `timeout`; then [`LockError::Busy`].
    pub fn acquire(path: &Path, timeout: Duration) -> Result<Self, LockError> {
        let failed = |source| LockError::Io { path: path.to_owned(), source };
        let deadline = Instant::now() + timeout;
        let mut pause = Duration::from_millis(1);
        let mut waiting = None;
        if let Some(directory) = path.parent() {
            writers::create_directory(directory).map_err(failed)?;
        }
        loop {
            let file = match open(path) {
                Ok(file) => file,
                Err(_) if remove_obstacle(path) => continue,
                Err(error) => return Err(failed(error)),
            };
            match file.file().try_lock() {
                Ok(()) if is_at(&file, path).map_err(failed)? => {
                    return Ok(Self { path: path.to_owned(), _file: file });
                }
                Ok(()) => continue,
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(source)) => return Err(failed(source)),
            }
            let remaining = deadline.saturating_duration_since(Instant::now());
            let shown = || Waiting::begin(Goal::Lock(path.to_owned()), deadline);
            if remaining.is_zero() || waiting.as_ref().is_some_and(|_| waiting::is_cut_off()) {
                let holder = if timeout.is_zero() { None } else { holder(&file) };
                return Err(LockError::Busy { path: path.to_owned(), waited: timeout, holder });
            }
            let waiting = waiting.get_or_insert_with(shown);
            waiting.saw(|| match holder(&file) {
                Some(holder) => format!("{holder} has it"),
                None => String::new(),
            });
            waiting::tick();
            // flock(2) has no timeout, so poll with growing pauses.
            idle(pause.min(remaining));
            pause = (pause * 2).min(Duration::from_millis(50));
        }
    }
}

/// Opens a lock's file. Does not follow a link, which could create a file elsewhere, or block on a FIFO.
fn open(path: &Path) -> io::Result<fs::File> {
    let file = fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o644)
        .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed())
        .open(path)?;
    regular(file)
}

/// The name of the process that holds the lock on `file`, where the kernel lists it.
fn holder(file: &fs::File) -> Option<String> {
    let proc = Proc::default();
    Some(proc.title(proc.flocks().holder(&file.metadata().ok()?)?))
}

/// Removes the entry at `path` if it can't be a lock: anything but a regular file. Never removes the content of a
/// directory. Whether it was removed.
fn remove_obstacle(path: &Path) -> bool {
    match path.symlink_metadata() {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir(path).is_ok(),
        Ok(metadata) => !metadata.is_file() && fs::remove_file(path).is_ok(),
        Err(_) => false,
    }
}

/// Removes the file of a lock whose holder was killed; keeps the file of a held lock. Idempotent, does not
/// wait.
pub fn remove_unheld(path: &Path) -> Result<(), LockError> {
    if path.symlink_metadata().is_err() {
        return Ok(());
    }
    match Lock::acquire(path, Duration::ZERO) {
        // Dropping the lock removes its file.
        Ok(_) | Err(LockError::Busy { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing the file releases the lock even if the file can't be removed.
        let _ = fs::remove_file(&self.path);
    }
}

/// Why a lock was not taken.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LockError {
    /// Another process held the lock until the timeout.
    #[error(
        "{} held the lock `{}` for {} s",
        holder.as_deref().unwrap_or("another process"),
        path.display(),
        waited.as_secs()
    )]
    Busy {
        /// The lock's file.
        path: PathBuf,
        /// How long this process waited.
        waited: Duration,
        /// The name of the other process, if it is known and this process waited.
        holder: Option<String>,
    },
    /// The file system refused.
    #[error("failed to lock `{}`", path.display())]
    Io {
        /// The lock's file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Whether this is the error of a file system that has no locks.
pub fn are_unsupported(error: &io::Error) -> bool {
    let unsupported = [Errno::NOLCK, Errno::OPNOTSUPP, Errno::NOSYS, Errno::INVAL];
    unsupported.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

impl LockError {
    /// What the user can do about it, if known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Busy { .. } => Some("try again when that process has ended".to_owned()),
            Self::Io { source, .. } if are_unsupported(source) => Some(
                "this file system has no locks; put the home on one that has, such as a local disk, NFSv4 or CephFS"
                    .to_owned(),
            ),
            Self::Io { path, .. } if path.symlink_metadata().is_ok() => Some(format!(
                "unless a command of another user holds it, `rm -rf {}` removes it",
                quote_path(path)
            )),
            Self::Io { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::fsutil;

    #[test]
    fn a_held_lock_is_busy_and_a_dropped_lock_leaves_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("locks/one");
        let held = Lock::acquire(&path, Duration::ZERO).unwrap();
        let error = Lock::acquire(&path, Duration::from_millis(20)).unwrap_err();
        assert!(matches!(error, LockError::Busy { .. }), "{error}");
        let this = format!("process {} (", std::process::id());
        assert!(error.to_string().starts_with(&this), "it names the holder: {error}");
        drop(held);
        assert!(!path.exists());
        Lock::acquire(&path, Duration::ZERO).unwrap();
    }

    #[test]
    fn what_can_not_be_a_lock_gives_way() {
        let dir = tempfile::tempdir().unwrap();
        let (path, elsewhere) = (dir.path().join("lock"), dir.path().join("elsewhere"));
        let link = |target: &Path| std::os::unix::fs::symlink(target, &path).unwrap();
        let acquire = || drop(Lock::acquire(&path, Duration::ZERO).unwrap());
        link(&elsewhere);
        acquire();
        assert!(!elsewhere.exists(), "created through a link");
        link(&path);
        acquire();
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RWXU).unwrap();
        acquire();
        // A reader would let the FIFO be opened.
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RWXU).unwrap();
        let reader = fsutil::open_to_read(&path).unwrap();
        acquire();
        drop(reader);
        let _socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
        acquire();
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, std::fs::Permissions::from_mode(0o0)).unwrap();
        acquire();
        fs::create_dir_all(path.join("kept")).unwrap();
        let error = Lock::acquire(&path, Duration::ZERO).unwrap_err();
        assert!(matches!(error, LockError::Io { .. }), "{error}");
        assert!(error.hint().unwrap().contains(&format!("`rm -rf {}`", path.display())));
        assert!(path.join("kept").exists());
    }

    #[test]
    fn holders_exclude_each_other_although_each_removes_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let inside = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let _held = Lock::acquire(&path, Duration::from_secs(60)).unwrap();
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
    }
}
