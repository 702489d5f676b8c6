//! Processes by descriptor instead of by process ID. Linux only: pidfd_open(2).

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags};

use crate::process_lock::other_holder;
use crate::wait::{self, Poll};

/// A process, opened as a pidfd: a later process with the same ID can't be mistaken for it.
#[derive(Debug)]
pub struct Process {
    /// Its process ID.
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

    /// Opens the process that holds the lock at `path` ([`process_lock`](crate::process_lock)); `None` if
    /// no other process of this pid namespace does.
    pub fn holding(path: &Path) -> io::Result<Option<Self>> {
        while let Some(pid) = other_holder(path, None)? {
            let process = Self::open(pid)?;
            // Only now does the number mean one process for sure.
            if other_holder(path, None)? == Some(pid) {
                return Ok(process);
            }
        }
        Ok(None)
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        let mut fds = [PollFd::new(&self.fd, PollFlags::IN)];
        matches!(rustix::event::poll(&mut fds, Some(&Timespec::default())), Ok(n) if n > 0)
    }

    /// Sends it a signal. Success if it has already ended.
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

/// Like [`wait::until`], but also polls as soon as one of `processes` ends.
pub fn wait_until<T, E>(
    processes: &[Process],
    deadline: Instant,
    poll: impl FnMut() -> Result<Poll<T>, E>,
) -> Result<Option<T>, E> {
    wait::until_idling(deadline, |timeout| await_end(processes, timeout), poll)
}

/// Blocks until one of the running `processes` ends (`true`) or the timeout passes (`false`).
fn await_end(processes: &[Process], timeout: Duration) -> bool {
    let timeout = Timespec::try_from(timeout).unwrap_or_default();
    // The descriptor of an ended process stays readable, so polling it would not block.
    let running = processes.iter().filter(|process| !process.has_ended());
    let mut fds: Vec<_> = running.map(|process| PollFd::new(process, PollFlags::IN)).collect();
    // After an interrupted wait the caller only polls a little earlier.
    matches!(rustix::event::poll(&mut fds, Some(&timeout)), Ok(n) if n > 0)
}
