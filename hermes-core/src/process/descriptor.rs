//! A descriptor of a process, which is readable once the process has ended: pidfd_open(2) on Linux, kqueue(2) on a Mac.

use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::process::{Pid, Signal};

/// Opens the process `pid`.
#[cfg(target_os = "linux")]
pub(super) fn open(pid: Pid) -> Result<OwnedFd, Errno> {
    rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty())
}

/// Sends a signal to the process of a descriptor.
#[cfg(target_os = "linux")]
pub(super) fn signal(descriptor: &OwnedFd, signal: Signal) -> Result<(), Errno> {
    rustix::process::pidfd_send_signal(descriptor, signal)
}

/// Opens the process `pid`.
#[cfg(not(target_os = "linux"))]
pub(super) fn open(pid: Pid) -> Result<OwnedFd, Errno> {
    use nix::sys::event::{EvFlags, EventFilter, FilterFlag, KEvent, Kqueue};

    let failed = |errno: nix::errno::Errno| Errno::from_raw_os_error(errno as i32);
    let ident = usize::try_from(pid.as_raw_nonzero().get()).map_err(|_| Errno::SRCH)?;
    let end = FilterFlag::NOTE_EXIT;
    let end = KEvent::new(ident, EventFilter::EVFILT_PROC, EvFlags::EV_ADD, end, 0, 0);
    let queue = Kqueue::new().map_err(failed)?;
    queue.kevent(&[end], &mut [], None).map_err(failed)?;
    Ok(queue.into())
}

/// There is no such call: the caller signals the process by its ID.
#[cfg(not(target_os = "linux"))]
pub(super) fn signal(_: &OwnedFd, _: Signal) -> Result<(), Errno> {
    Err(Errno::NOSYS)
}
