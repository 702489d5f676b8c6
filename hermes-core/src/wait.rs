//! Waiting with a deadline: polls with growing pauses until a condition holds.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

use crate::waiting;

const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// The result of one poll.
#[derive(Debug)]
pub enum Poll<T> {
    /// The wait is over, with this result.
    Done(T),
    /// Poll again after the pause, or earlier on an event.
    Wait,
    /// Like [`Poll::Wait`], but poll again at this time at the latest.
    WaitUntil(Instant),
}

impl<T> Poll<T> {
    /// The same poll with `f` applied to its result.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Poll<U> {
        match self {
            Self::Done(value) => Poll::Done(f(value)),
            Self::Wait => Poll::Wait,
            Self::WaitUntil(at) => Poll::WaitUntil(at),
        }
    }
}

/// Blocks for `pause`, or until a signal.
pub(crate) fn idle(pause: Duration) {
    let timeout = Timespec::try_from(pause).unwrap_or_default();
    // After an interrupted wait the caller only polls a little earlier.
    let _ = rustix::event::poll(&mut [], Some(&timeout));
}

/// Calls `poll` until it is done, with pauses that grow from 2 ms to 100 ms. Blocks at most until
/// `deadline`, polls a last time then, and returns `None` if it is still not done. So does a signal that ends the
/// [`Waiting`](waiting::Waiting) of this thread.
pub fn until<T, E>(
    deadline: Instant,
    poll: impl FnMut() -> Result<Poll<T>, E>,
) -> Result<Option<T>, E> {
    let idle_without_events = |pause| {
        idle(pause);
        false
    };
    until_idling(deadline, idle_without_events, poll)
}

/// Like [`until`], but pauses with `idle`, which blocks at most for the given time, and returns early
/// with `true` on an event. After an event the pauses are short again.
pub fn until_idling<T, E>(
    deadline: Instant,
    mut idle: impl FnMut(Duration) -> bool,
    mut poll: impl FnMut() -> Result<Poll<T>, E>,
) -> Result<Option<T>, E> {
    let mut pause = FIRST_PAUSE;
    loop {
        let now = Instant::now();
        let mut next = now + pause;
        match poll()? {
            Poll::Done(value) => return Ok(Some(value)),
            Poll::Wait => {}
            // A time in the past would make this loop spin.
            Poll::WaitUntil(at) if at > now => next = next.min(at),
            Poll::WaitUntil(_) => {}
        }
        if now >= deadline || waiting::is_cut_off() {
            return Ok(None);
        }
        waiting::tick();
        let event = idle(next.min(deadline).saturating_duration_since(now));
        pause = if event { FIRST_PAUSE } else { (pause * 2).min(LONGEST_PAUSE) };
    }
}

/// Blocks until at least one of `fds` is readable or at its end, at most until `deadline`. Returns for each
/// whether it is.
pub fn readable(fds: &[BorrowedFd<'_>], deadline: Option<Instant>) -> io::Result<Vec<bool>> {
    loop {
        let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        let left = left.map(|left| Timespec::try_from(left).unwrap_or_default());
        let polled = fds.iter().map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN));
        let mut polled: Vec<_> = polled.collect();
        match rustix::event::poll(&mut polled, left.as_ref()) {
            Ok(_) => return Ok(polled.iter().map(|fd| !fd.revents().is_empty()).collect()),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// How long commands wait before they give up.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// For another command to release a lock.
    pub lock: Duration,
    /// For the supervisor of a new service to start, and for that of a removed service to end.
    pub supervise: Duration,
    /// For a gateway to become ready.
    pub start: Duration,
    /// For a gateway to end, in addition to its stop budget.
    pub stop_beyond_budget: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            lock: Duration::from_secs(60),
            supervise: Duration::from_secs(15),
            start: Duration::from_secs(30),
            stop_beyond_budget: Duration::from_secs(5),
        }
    }
}

impl Timeouts {
    /// The same timeout for everything; a gateway's stop budget still comes on top.
    pub fn all(timeout: Duration) -> Self {
        Self { lock: timeout, supervise: timeout, start: timeout, stop_beyond_budget: timeout }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn a_descriptor_is_readable_with_a_byte_or_at_its_end() {
        let (first, mut writer) = io::pipe().unwrap();
        let (second, closed) = io::pipe().unwrap();
        let at_once = || readable(&[first.as_fd(), second.as_fd()], Some(Instant::now())).unwrap();
        assert_eq!(at_once(), [false, false]);
        drop(closed);
        assert_eq!(at_once(), [false, true]);
        writer.write_all(b"x").unwrap();
        assert_eq!(readable(&[first.as_fd(), second.as_fd()], None).unwrap(), [true, true]);
    }
}
