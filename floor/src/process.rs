//! Waits for the end of a process.

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags};

use crate::files::TIMEOUT;

/// Opens a process, so that its end can be awaited.
pub(crate) fn open(pid: Pid) -> Result<OwnedFd, Errno> {
    rustix::process::pidfd_open(pid, PidfdFlags::empty())
}

/// Blocks until the process has ended.
pub(crate) fn await_end(process: &OwnedFd) -> Result<(), Errno> {
    let ended = PollFd::new(process, PollFlags::IN);
    let timeout = Timespec::try_from(TIMEOUT).map_err(|_| Errno::INVAL)?;
    match rustix::event::poll(&mut [ended], Some(&timeout))? {
        0 => Err(Errno::TIMEDOUT),
        _ => Ok(()),
    }
}
