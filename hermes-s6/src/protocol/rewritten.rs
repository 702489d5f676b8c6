//! Waits until a file of a service directory is replaced, with inotify(7).
//!
//! s6-supervise replaces `supervise/status` by rename at every change (`s6_svstatus_write.c`), also when a service is
//! no longer wanted up, for which it sends no event. Hermes replaces its files in `data/` by rename.
//!
//! Linux gives each user 128 instances of inotify (`fs.inotify.max_user_instances`). Gateways in backoff leave most of
//! them to the others of the user, such as an agent that watches files: at most [`INSTANCES`] waits of a home use one at
//! a time, each of which holds a lock. The others look once a second.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use fs_err as fs;
use hermes_core::lock::Lock;
use hermes_core::{RootHome, wait};
use rustix::fs::inotify::{self, CreateFlags, Reader, WatchFlags};
use rustix::io::Errno;

/// How many waits of a home use inotify at a time.
const INSTANCES: usize = 16;

/// How often a wait without inotify looks.
const LOOK: Duration = Duration::from_secs(1);

/// Calls `check` at once, after each file that is replaced in one of `directories`, and at `deadline`. Blocks until it
/// returns `true`, at most until `deadline`. Uses no processor time in between, unless it gets no instance of inotify, or
/// none of the locks of `root` for one: then it calls `check` every second.
pub(crate) fn until(
    root: &RootHome,
    directories: [&Path; 2],
    deadline: Instant,
    mut check: impl FnMut() -> io::Result<bool>,
) -> io::Result<()> {
    let watch = Watch::start(root, directories).ok();
    loop {
        let now = Instant::now();
        if check()? || now >= deadline {
            return Ok(());
        }
        match &watch {
            Some(watch) => drop(watch.rewrites.idle(deadline.saturating_duration_since(now))),
            None => drop(wait::readable(&[], Some(deadline.min(now + LOOK)))?),
        }
    }
}

/// An instance of inotify and the lock that permits it. The instance is closed before the lock is released.
struct Watch {
    rewrites: Rewrites,
    _lock: Lock,
}

impl Watch {
    /// Takes the first free lock of `root`. The instance is readable once a file in one of `directories` was replaced.
    /// Does not wait: fails if no lock is free, or the home was removed, which a lock would create again.
    fn start(root: &RootHome, directories: [&Path; 2]) -> io::Result<Self> {
        fs::symlink_metadata(root.profiles())?;
        let lock = |number| Lock::acquire(&root.backoff_lock(number), Duration::ZERO).ok();
        let lock = (0..INSTANCES).find_map(lock).ok_or(io::ErrorKind::WouldBlock)?;
        let rewrites = Rewrites::new()?;
        directories.into_iter().try_for_each(|directory| rewrites.watch(directory))?;
        Ok(Self { rewrites, _lock: lock })
    }
}

/// An instance of inotify that notices when a file is replaced in one of the directories that it watches.
pub(crate) struct Rewrites {
    inotify: OwnedFd,
}

impl Rewrites {
    /// One that watches no directory yet.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { inotify: inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)? })
    }

    /// Watches a directory, too.
    pub(crate) fn watch(&self, directory: &Path) -> io::Result<()> {
        inotify::add_watch(&self.inotify, directory, WatchFlags::MOVED_TO | WatchFlags::ONLYDIR)?;
        Ok(())
    }

    /// Blocks until a file is replaced, or was replaced since the last call (`true`), or until `timeout` is over (`false`).
    pub(crate) fn idle(&self, timeout: Duration) -> bool {
        let readable = wait::readable(&[self.inotify.as_fd()], Some(Instant::now() + timeout));
        let is_readable = readable.is_ok_and(|readable| readable == [true]);
        if is_readable {
            self.drain();
        }
        is_readable
    }

    /// Takes all events from the kernel.
    fn drain(&self) {
        let mut buffer = [MaybeUninit::uninit(); 1024];
        let mut events = Reader::new(&self.inotify, &mut buffer);
        while matches!(events.next(), Ok(_) | Err(Errno::INTR)) {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_beyond_the_limit_gets_no_instance_and_looks_every_second() {
        let dir = tempfile::tempdir().unwrap();
        let (root, directories) = (RootHome::new(dir.path()), [dir.path(); 2]);
        let start = || Watch::start(&root, directories);
        assert!(start().is_err() && !root.profiles().exists(), "a home that was removed");
        fs::create_dir(root.profiles()).unwrap();
        let mut watches: Vec<_> = (0..INSTANCES).map(|_| start().unwrap()).collect();
        assert!(start().is_err(), "one more");
        let deadline = Instant::now() + Duration::from_secs(60);
        // inotify would not report this file, which replaces none.
        let changed = dir.path().join("changed");
        until(&root, directories, deadline, || {
            let is_changed = changed.exists();
            fs::write(&changed, "")?;
            Ok(is_changed)
        })
        .unwrap();
        assert!(Instant::now() < deadline, "it did not look");
        drop(watches.pop());
        watches.push(start().unwrap());
        drop(watches);
        assert_eq!(fs::read_dir(root.locks()).unwrap().count(), 0, "nothing is left");
    }
}
