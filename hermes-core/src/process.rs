//! Processes, known by descriptors and not by numbers: pidfd_open(2), which is Linux's.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags};

use crate::wait::{self, Poll};

/// A process that is waited for through a pidfd, so that its number can't come to mean another.
#[derive(Debug)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    fd: OwnedFd,
}

impl Process {
    /// Opens the process `pid`; `None` if there is none.
    pub fn open(pid: u32) -> io::Result<Option<Self>> {
        let Some(raw) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
            return Ok(None);
        };
        match rustix::process::pidfd_open(raw, PidfdFlags::empty()) {
            Ok(fd) => Ok(Some(Self { pid, fd })),
            Err(Errno::SRCH) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        let mut fds = [PollFd::new(&self.fd, PollFlags::IN)];
        matches!(rustix::event::poll(&mut fds, Some(&Timespec::default())), Ok(n) if n > 0)
    }

    /// Sends it a signal. One that has ended is no error.
    pub fn signal(&self, signal: rustix::process::Signal) -> io::Result<()> {
        match rustix::process::pidfd_send_signal(&self.fd, signal) {
            Err(Errno::SRCH) | Ok(()) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl AsFd for Process {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// As [`wait::until`], and polls at once when one of `processes` ends.
pub fn wait_until<T, E>(
    processes: &[Process],
    deadline: Instant,
    poll: impl FnMut() -> Result<Poll<T>, E>,
) -> Result<Option<T>, E> {
    wait::until_idling(deadline, |timeout| await_end(processes, timeout), poll)
}

/// Blocks until one of the living `processes` ends (`true`) or the time is over.
fn await_end(processes: &[Process], timeout: Duration) -> bool {
    let timeout = Timespec::try_from(timeout).unwrap_or_default();
    // The descriptor of an ended process stays readable: polling it would not block.
    let living = processes.iter().filter(|process| !process.has_ended());
    let mut fds: Vec<_> = living.map(|process| PollFd::new(process, PollFlags::IN)).collect();
    // An interrupted wait polls a little earlier.
    matches!(rustix::event::poll(&mut fds, Some(&timeout)), Ok(n) if n > 0)
}
