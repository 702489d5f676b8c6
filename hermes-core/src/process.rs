//! Processes by descriptor instead of by process ID.
//!
//! A sandbox may refuse pidfd_open, or no descriptor may be left. Then the process ID and the start time identify
//! a process, and the start time is checked right before each signal; its end is noticed by polling.

mod descriptor;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Once;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::process::{Pid, Signal};

use crate::proc::Proc;
use crate::process_lock::locker;
use crate::wait::{self, Poll};

/// A process that no later process with the same ID is mistaken for.
#[derive(Debug)]
pub struct Process {
    /// Its process ID.
    pub pid: u32,
    handle: Handle,
}

#[derive(Debug)]
enum Handle {
    Descriptor(OwnedFd),
    /// When it started, in clock ticks.
    StartTime(u64),
}

impl Process {
    /// Opens the process `pid`; `None` if there is none.
    pub fn open(pid: u32) -> io::Result<Option<Self>> {
        let Some(raw) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
            return Ok(None);
        };
        match descriptor::open(raw) {
            Ok(fd) => Ok(Some(Self { pid, handle: Handle::Descriptor(fd) })),
            Err(Errno::SRCH) => Ok(None),
            Err(errno) if cfg!(target_os = "linux") => Self::without_descriptor(pid, errno),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Opens it although pidfd_open failed with `refused`.
    fn without_descriptor(pid: u32, refused: Errno) -> io::Result<Option<Self>> {
        static REPORTED: Once = Once::new();
        REPORTED.call_once(|| {
            ::log::warn!(
                "pidfd_open failed ({refused}): processes are identified by their start time"
            );
        });
        match Proc::default().start_time(pid) {
            Ok(start) => Ok(Some(Self { pid, handle: Handle::StartTime(start) })),
            // The entry of a process that ends while it is read fails with ESRCH.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) if error.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Opens the process that holds the lock at `path` ([`process_lock`](crate::process_lock)); `None` if
    /// no other process of this pid namespace does.
    pub fn holding(path: &Path) -> io::Result<Option<Self>> {
        while let Some(holder) = locker(path)?
            && let Some(pid) = holder.pid
        {
            let process = Self::open(pid)?;
            // Only now does the number mean one process for sure.
            if locker(path)? == Some(holder) {
                return Ok(process);
            }
        }
        Ok(None)
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        match &self.handle {
            Handle::Descriptor(fd) => {
                let mut fds = [PollFd::new(fd, PollFlags::IN)];
                matches!(rustix::event::poll(&mut fds, Some(&Timespec::default())), Ok(n) if n > 0)
            }
            Handle::StartTime(start) => Proc::default().living_since(self.pid) != Some(*start),
        }
    }

    /// Sends it a signal, and resumes it if it is suspended, as it would get the signal only then. Success if it has
    /// already ended.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        self.send(signal)?;
        match signal {
            Signal::KILL | Signal::STOP | Signal::CONT => Ok(()),
            _ => self.send(Signal::CONT),
        }
    }

    fn send(&self, signal: Signal) -> io::Result<()> {
        let sent = match &self.handle {
            Handle::Descriptor(fd) => descriptor::signal(fd, signal),
            Handle::StartTime(_) => Err(Errno::NOSYS),
        };
        match sent {
            // Refused by a sandbox; without the right to signal the process, kill fails likewise.
            Err(Errno::NOSYS | Errno::PERM) => self.kill(signal),
            Err(Errno::SRCH) | Ok(()) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    fn kill(&self, signal: Signal) -> io::Result<()> {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        let Some(pid) = pid.filter(|_| !self.has_ended()) else { return Ok(()) };
        match rustix::process::kill_process(pid, signal) {
            Err(Errno::SRCH) | Ok(()) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// The descriptor, which is readable once the process has ended. Without one a wait must poll
    /// [`has_ended`](Self::has_ended).
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        match &self.handle {
            Handle::Descriptor(fd) => Some(fd.as_fd()),
            Handle::StartTime(_) => None,
        }
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
    let mut fds: Vec<_> = running
        .filter_map(Process::fd)
        .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN))
        .collect();
    // After an interrupted wait the caller only polls a little earlier.
    matches!(rustix::event::poll(&mut fds, Some(&timeout)), Ok(n) if n > 0)
}
