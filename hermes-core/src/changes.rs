//! Notification of changed gateways, from backends that support it, and its distribution to several threads.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::mem;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::name::ProfileName;

/// Device, inode, and time of the last change of a directory's entries or attributes.
pub type Stamp = (u64, u64, i64, i64);

/// The state of the directory at `path`; `None` for one that can't be examined.
pub fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = path.metadata().ok()?;
    Some((metadata.dev(), metadata.ino(), metadata.ctime(), metadata.ctime_nsec()))
}

/// A watch on every gateway of a backend, including gateways that are registered later.
pub trait Changes: fmt::Debug + Send {
    /// A descriptor that becomes readable when [`Changes::take`] has something to return.
    fn fd(&self) -> BorrowedFd<'_>;

    /// The gateways that may have changed since the last call. Does not block. Also starts to watch gateways
    /// that were registered since.
    fn take(&mut self) -> io::Result<Changed>;

    /// The gateways whose directories differ from those of the last call, whether the kernel notified of that or
    /// not: file systems of other machines notify of nothing. Reads no file; a file that was changed in place
    /// is no difference. Does not block.
    fn compare(&mut self) -> io::Result<Changed>;
}

/// The gateways that may have changed.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Changed {
    /// Their profiles.
    pub profiles: BTreeSet<ProfileName>,
    /// Whether something that belongs to no profile may have changed: leftovers and journals of commands.
    pub leftovers: bool,
    /// Whether any gateway may have changed, because the kernel dropped events.
    pub all: bool,
}

impl Changed {
    /// Anything may have changed.
    pub fn all() -> Self {
        Self { all: true, ..Self::default() }
    }

    fn add(&mut self, other: &Self) {
        self.profiles.extend(other.profiles.iter().cloned());
        self.leftovers |= other.leftovers;
        self.all |= other.all;
    }
}

/// The sending end of a thread's [`Announcements`].
#[derive(Debug)]
pub struct Announcer {
    pending: Arc<Mutex<Changed>>,
    wake: PipeWriter,
}

/// What an [`Announcer`] announced, for one thread.
#[derive(Debug)]
pub struct Announcements {
    pending: Arc<Mutex<Changed>>,
    /// Holds one byte while there is something pending.
    wake: PipeReader,
}

/// Both ends, for one thread that waits for changes. Fails without descriptors.
pub fn announcements() -> io::Result<(Announcer, Announcements)> {
    let (reader, writer) = io::pipe()?;
    let pending = Arc::<Mutex<Changed>>::default();
    Ok((
        Announcer { pending: pending.clone(), wake: writer },
        Announcements { pending, wake: reader },
    ))
}

fn lock(pending: &Mutex<Changed>) -> MutexGuard<'_, Changed> {
    pending.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Announcer {
    /// Announces changes, in addition to those that the thread has not taken yet. Does not block.
    pub fn announce(&self, changed: &Changed) {
        let mut pending = lock(&self.pending);
        let was_empty = *pending == Changed::default();
        pending.add(changed);
        if was_empty && *pending != Changed::default() {
            // Fails only if the thread has ended.
            let _ = (&self.wake).write(&[0]);
        }
    }
}

impl Announcements {
    /// A descriptor that is readable while [`take`](Self::take) has something to return.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    /// What was announced since the last call. Does not block.
    pub fn take(&mut self) -> Changed {
        let mut pending = lock(&self.pending);
        if *pending != Changed::default() {
            let _ = self.wake.read(&mut [0]);
        }
        mem::take(&mut pending)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::wait;

    #[test]
    fn announcements_add_up_until_they_are_taken() {
        let (announcer, mut announcements) = announcements().unwrap();
        let of = |name: &str| Changed {
            profiles: BTreeSet::from([name.parse().unwrap()]),
            ..Changed::default()
        };
        let is_readable = |announcements: &Announcements| {
            wait::readable(&[announcements.fd()], Some(Instant::now())).unwrap()[0]
        };
        announcer.announce(&Changed::default());
        assert!(!is_readable(&announcements));
        for _ in 0..2 {
            announcer.announce(&of("a"));
            announcer.announce(&of("b"));
            announcer.announce(&Changed::all());
            assert!(is_readable(&announcements));
            let taken = announcements.take();
            assert_eq!((taken.profiles.len(), taken.leftovers, taken.all), (2, false, true));
            assert!(!is_readable(&announcements));
            assert_eq!(announcements.take(), Changed::default());
        }
    }
}
