//! Waits until a file of a service directory is replaced, with inotify(7).
//!
//! s6-supervise replaces `supervise/status` by rename at every change (`s6_svstatus_write.c`), also when a service is
//! no longer wanted up, for which it sends no event. Hermes replaces its files in `data/` by rename.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use hermes_core::wait;
use rustix::fs::inotify::{self, CreateFlags, Reader, WatchFlags};
use rustix::io::Errno;

/// How often to look where inotify is not to be had. Each user has 128 instances (`fs.inotify.max_user_instances`).
const LOOK: Duration = Duration::from_secs(1);

/// Calls `check` at once, after each file that is replaced in one of `directories`, and at `deadline`. Blocks until it
/// returns `true`, at most until `deadline`. Uses no processor time in between, unless inotify is refused: then it calls
/// `check` every second.
pub(crate) fn until(
    directories: [&Path; 2],
    deadline: Instant,
    mut check: impl FnMut() -> io::Result<bool>,
) -> io::Result<()> {
    let inotify = watch(directories).ok();
    loop {
        let now = Instant::now();
        if check()? || now >= deadline {
            return Ok(());
        }
        match &inotify {
            Some(inotify) => {
                wait::readable(&[inotify.as_fd()], Some(deadline))?;
                drain(inotify)?;
            }
            None => drop(wait::readable(&[], Some(deadline.min(now + LOOK)))?),
        }
    }
}

/// An instance that is readable once a file in one of `directories` was replaced.
fn watch(directories: [&Path; 2]) -> io::Result<OwnedFd> {
    let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
    for directory in directories {
        inotify::add_watch(&inotify, directory, WatchFlags::MOVED_TO | WatchFlags::ONLYDIR)?;
    }
    Ok(inotify)
}

/// Takes all events from the kernel.
fn drain(inotify: &OwnedFd) -> io::Result<()> {
    let mut buffer = [MaybeUninit::uninit(); 1024];
    let mut events = Reader::new(inotify, &mut buffer);
    loop {
        match events.next() {
            Ok(_) | Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Ok(()),
            Err(errno) => return Err(errno.into()),
        }
    }
}
