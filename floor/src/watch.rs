//! Waits for changes of the records of many services, with one descriptor for all of them.

use std::mem::MaybeUninit;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fd::OwnedFd;
use rustix::fs::inotify::{self, CreateFlags, Reader, WatchFlags};
use rustix::io::Errno;

use crate::files::TIMEOUT;

/// The number of the first watch of a process; each further one has the next number.
const FIRST: i32 = 1;

/// Many watched service directories, numbered from 0.
pub(crate) struct Watch {
    inotify: OwnedFd,
    deadline: Instant,
}

impl Watch {
    pub(crate) fn new() -> Result<Self, Errno> {
        let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        Ok(Self { inotify, deadline: Instant::now() + TIMEOUT })
    }

    /// Adds a service directory, whose `supervise` exists. The directory may be renamed afterwards.
    pub(crate) fn add(&self, slot: &str) -> Result<(), Errno> {
        // s6-supervise replaces its record by a rename.
        let path = [slot, "/supervise"].concat();
        inotify::add_watch(&self.inotify, path, WatchFlags::MOVED_TO).map(drop)
    }

    /// Calls `changed` with the number of each directory whose record changes, until it has returned true `count` times.
    pub(crate) fn until(
        &self,
        count: usize,
        mut changed: impl FnMut(usize) -> Result<bool, Errno>,
    ) -> Result<(), Errno> {
        let mut buffer = [MaybeUninit::uninit(); 16 * 1024];
        let mut reader = Reader::new(&self.inotify, &mut buffer);
        let mut done = 0;
        while done < count {
            match reader.next() {
                Ok(event) => {
                    let number = usize::try_from(event.wd() - FIRST).map_err(|_| Errno::INVAL)?;
                    done += usize::from(changed(number)?);
                }
                Err(Errno::WOULDBLOCK) => self.idle()?,
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }

    fn idle(&self) -> Result<(), Errno> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).map_err(|_| Errno::INVAL)?;
        match rustix::event::poll(&mut [PollFd::new(&self.inotify, PollFlags::IN)], Some(&left))? {
            0 => Err(Errno::TIMEDOUT),
            _ => Ok(()),
        }
    }
}
