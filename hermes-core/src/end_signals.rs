//! Signals that ask a process to end in order, as a descriptor that is polled beside others.
//!
//! The kernel interrupts whatever a process does to run its signal handler, which may do next to nothing.
//! Here the handler writes a byte into a pipe, and whoever waits for something polls the pipe, too.

use std::io;
use std::os::fd::OwnedFd;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// What ends a server in order. Not SIGHUP: a server that nohup(1) started outlives its terminal.
pub const SERVER: [i32; 2] = [SIGTERM, SIGINT];
/// What ends the command in a terminal's foreground in order.
pub const FOREGROUND: [i32; 3] = [SIGTERM, SIGINT, SIGHUP];

/// Registers `signals` for the rest of this process's life, and returns a pipe that becomes readable
/// with the first one that arrives and stays readable. From then on none of them ends the process by
/// itself, and a second one changes nothing. Does not block. To be called before readiness is reported:
/// whoever waits for that may send a signal at once.
pub fn register(signals: &[i32]) -> io::Result<OwnedFd> {
    let (reader, writer) = io::pipe()?;
    for signal in signals {
        let writer = OwnedFd::from(writer.try_clone()?);
        signal_hook::low_level::pipe::register(*signal, writer)?;
    }
    Ok(reader.into())
}

#[cfg(test)]
mod tests {
    use rustix::event::{PollFd, PollFlags, Timespec};
    use signal_hook::consts::SIGURG;
    use signal_hook::low_level::raise;

    use super::*;

    #[test]
    fn the_descriptor_is_readable_from_the_first_signal_on() {
        // One that nobody else in this process waits for, and that ends nobody.
        let asked = register(&[SIGURG]).unwrap();
        let is_readable = || {
            let mut fds = [PollFd::new(&asked, PollFlags::IN)];
            rustix::event::poll(&mut fds, Some(&Timespec::default())).unwrap() == 1
        };
        assert!(!is_readable());
        for _ in 0..2 {
            raise(SIGURG).unwrap();
            assert!(is_readable());
        }
    }
}
