//! Signals that request an orderly end, as a descriptor to poll with others.
//!
//! A signal handler interrupts arbitrary code and may do very little. This one writes a byte to a pipe,
//! which the process polls together with its other descriptors.

use std::io;
use std::os::fd::OwnedFd;

use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// The signals for a server. Not SIGHUP: a server started by nohup(1) outlives its terminal.
pub const SERVER: [i32; 2] = [SIGTERM, SIGINT];
/// The signals for a command in the foreground of a terminal.
pub const FOREGROUND: [i32; 3] = [SIGTERM, SIGINT, SIGHUP];

/// Registers `signals` until this process ends, and returns a pipe that becomes readable with the first
/// signal and stays readable. From then on none of the signals ends the process by itself, and a second
/// signal changes nothing. Does not block. Call it before you report readiness: the supervisor may send a
/// signal right after.
///
/// A SIGHUP that this process inherited as ignored stays ignored: its parent wants it to outlive the terminal, like
/// nohup(1).
pub fn register(signals: &[i32]) -> io::Result<OwnedFd> {
    let (reader, writer) = io::pipe()?;
    for signal in signals {
        if *signal == SIGHUP && is_ignored(*signal) {
            continue;
        }
        let writer = OwnedFd::from(writer.try_clone()?);
        signal_hook::low_level::pipe::register(*signal, writer)?;
    }
    Ok(reader.into())
}

/// Holds back the signals of [`FOREGROUND`] from this thread until the result is dropped: they arrive then, and are
/// not lost. For the time until [`register`], before any other thread starts. The kernel drops a signal to process 1
/// that it neither handles nor holds back.
pub fn hold() -> io::Result<Held> {
    let signals: SigSet = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP].into_iter().collect();
    Ok(Held { before: signals.thread_swap_mask(SigmaskHow::SIG_BLOCK)? })
}

/// Signals that are held back.
#[derive(Debug)]
#[must_use = "dropped at once it holds nothing back"]
pub struct Held {
    before: SigSet,
}

impl Drop for Held {
    fn drop(&mut self) {
        // Fails for no set.
        let _ = self.before.thread_set_mask();
    }
}

/// Whether this process ignores `signal`.
#[cfg(target_os = "linux")]
pub fn is_ignored(signal: i32) -> bool {
    crate::Proc::default().ignores(std::process::id(), signal).unwrap_or(false)
}

/// Whether this process ignores `signal`, where the system reports it.
#[cfg(not(target_os = "linux"))]
pub fn is_ignored(_: i32) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use rustix::event::{PollFd, PollFlags, Timespec};
    use signal_hook::consts::SIGURG;
    use signal_hook::low_level::raise;

    use super::*;

    #[test]
    fn the_descriptor_is_readable_from_the_first_signal_on() {
        // SIGURG is ignored by default, and no other test uses it.
        let pipe = register(&[SIGURG]).unwrap();
        let is_readable = || {
            let mut fds = [PollFd::new(&pipe, PollFlags::IN)];
            rustix::event::poll(&mut fds, Some(&Timespec::default())).unwrap() == 1
        };
        assert!(!is_readable());
        for _ in 0..2 {
            raise(SIGURG).unwrap();
            assert!(is_readable());
        }
    }
}
