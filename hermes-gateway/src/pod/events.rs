//! What the main process of a Pod waits for.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use hermes_core::{end_signals, wait};
use rustix::process::Signal;

use super::State;

/// An event.
#[derive(Debug)]
pub(super) enum Event {
    /// This process is to end.
    End,
    /// Children have ended.
    Children,
    /// The gateway is ready.
    Ready,
    /// The time has come that the state waits for.
    Due,
}

/// Where events come from.
pub(super) struct Events {
    end: OwnedFd,
    children: OwnedFd,
}

impl Events {
    /// Registers for signals, until this process ends.
    pub(super) fn register() -> io::Result<Self> {
        let end = end_signals::register(&end_signals::SERVER)?;
        Ok(Self { end, children: end_signals::register(&[Signal::CHILD.as_raw()])? })
    }

    /// Blocks until the next event.
    pub(super) fn wait(&self, state: &State) -> io::Result<Event> {
        let readiness = match state {
            State::Up(child) => child.readiness(),
            State::Waiting(_) | State::Parked => None,
        };
        let mut fds = vec![self.end.as_fd(), self.children.as_fd()];
        fds.extend(readiness);
        loop {
            let ready = wait::readable(&fds, state.due())?;
            let is_due = || state.due().is_some_and(|due| due <= Instant::now());
            let is_ready = |index: usize| ready.get(index).copied().unwrap_or_default();
            return Ok(match () {
                () if is_ready(0) => Event::End,
                () if is_ready(1) => {
                    empty(self.children.as_fd())?;
                    Event::Children
                }
                () if is_ready(2) => Event::Ready,
                () if is_due() => Event::Due,
                () => continue,
            });
        }
    }
}

/// Takes what is in a pipe: one read for several signals.
fn empty(pipe: BorrowedFd<'_>) -> io::Result<()> {
    rustix::io::read(pipe, &mut [0; 64])?;
    Ok(())
}
