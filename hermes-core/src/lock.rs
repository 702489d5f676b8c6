//! Locks between commands, with a deadline, that leave no file behind.
//!
//! A lock is a `flock(2)` on a file of its own. The holder removes the file before it releases the lock,
//! so a waiter that gets the lock checks that its file is still the file at the path, and otherwise
//! tries again. The kernel releases the lock of a process that ends in any way.

use std::fs::TryLockError;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fs_err as fs;
use fs_err::os::unix::fs::OpenOptionsExt;
use rustix::event::Timespec;
use rustix::fs::OFlags;
use thiserror::Error;

/// A held lock; dropping it releases it and removes its file.
#[derive(Debug)]
pub struct Lock {
    path: PathBuf,
    _file: fs::File,
}

impl Lock {
    /// Takes the lock at `path`, and creates the file and its directory if necessary. Blocks until the
    /// lock is free, at most `timeout`; then [`LockError::Busy`].
    pub fn acquire(path: &Path, timeout: Duration) -> Result<Self, LockError> {
        let failed = |source| LockError::Io { path: path.to_owned(), source };
        let deadline = Instant::now() + timeout;
        let mut pause = Duration::from_millis(1);
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).map_err(failed)?;
        }
        loop {
            let file = fs::OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                // Does not follow a link, which could create a file elsewhere, or block on a FIFO.
                .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed())
                .open(path)
                .map_err(failed)?;
            match file.file().try_lock() {
                Ok(()) if is_at(&file, path).map_err(failed)? => {
                    return Ok(Self { path: path.to_owned(), _file: file });
                }
                Ok(()) => continue,
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(source)) => return Err(failed(source)),
            }
            let remaining = deadline.saturating_duration_since(Instant::now());
            if remaining.is_zero() {
                return Err(LockError::Busy { path: path.to_owned(), waited: timeout });
            }
            // flock(2) has no timeout, so poll with growing pauses.
            idle(pause.min(remaining));
            pause = (pause * 2).min(Duration::from_millis(50));
        }
    }
}

/// Removes the file of a lock whose holder was killed; keeps the file of a held lock. Idempotent, does not
/// wait.
pub fn remove_unheld(path: &Path) -> io::Result<()> {
    if path.symlink_metadata().is_err() {
        return Ok(());
    }
    match Lock::acquire(path, Duration::ZERO) {
        // Dropping the lock removes its file.
        Ok(_) | Err(LockError::Busy { .. }) => Ok(()),
        Err(LockError::Io { source, .. }) => Err(source),
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing the file releases the lock even if the file can't be removed.
        let _ = fs::remove_file(&self.path);
    }
}

fn is_at(file: &fs::File, path: &Path) -> io::Result<bool> {
    let held = file.metadata()?;
    match fs::metadata(path) {
        Ok(current) => Ok((held.dev(), held.ino()) == (current.dev(), current.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

pub(crate) fn idle(pause: Duration) {
    let timeout = Timespec::try_from(pause).unwrap_or_default();
    // After an interrupted wait the caller only polls a little earlier.
    let _ = rustix::event::poll(&mut [], Some(&timeout));
}

/// Why a lock was not taken.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LockError {
    /// Another process held the lock until the timeout.
    #[error("another command held the lock `{}` for {} s", path.display(), waited.as_secs())]
    Busy {
        /// The lock's file.
        path: PathBuf,
        /// How long this process waited.
        waited: Duration,
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn a_held_lock_is_busy_and_a_dropped_lock_leaves_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("locks/one");
        let held = Lock::acquire(&path, Duration::ZERO).unwrap();
        let error = Lock::acquire(&path, Duration::from_millis(20)).unwrap_err();
        assert!(matches!(error, LockError::Busy { .. }), "{error}");
        drop(held);
        assert!(!path.exists());
        Lock::acquire(&path, Duration::ZERO).unwrap();
    }

    #[test]
    fn no_link_is_followed_and_no_reader_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let (path, elsewhere) = (dir.path().join("lock"), dir.path().join("elsewhere"));
        std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
        let error = Lock::acquire(&path, Duration::ZERO).unwrap_err();
        assert!(matches!(error, LockError::Io { .. }), "{error}");
        assert!(!elsewhere.exists(), "created through a link");
        fs::remove_file(&path).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RWXU).unwrap();
        Lock::acquire(&path, Duration::ZERO).unwrap_err();
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
