//! Waiting with a deadline: looking again and again, ever more slowly, until what was waited for is so.

use std::time::{Duration, Instant};

use crate::lock::idle;

const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// What a wait found when it looked.
#[derive(Debug)]
pub enum Poll<T> {
    /// It is over.
    Done(T),
    /// Poll again when something changes.
    Wait,
    /// Poll again when something changes, and at this time at the latest.
    WaitUntil(Instant),
}

/// Looks until `look` is done, with pauses of 2 ms at first and 100 ms at last. Blocks until `deadline`
/// at most, looks a last time then, and answers `None` if it is still not done.
pub fn until<T, E>(
    deadline: Instant,
    look: impl FnMut() -> Result<Poll<T>, E>,
) -> Result<Option<T>, E> {
    let nothing_announced = |pause| {
        idle(pause);
        false
    };
    until_idling(deadline, nothing_announced, look)
}

/// The same where `idle`, which blocks for the given time at most, also ends when something is
/// announced, and answers whether it did. Then the pauses are short again.
pub fn until_idling<T, E>(
    deadline: Instant,
    mut idle: impl FnMut(Duration) -> bool,
    mut look: impl FnMut() -> Result<Poll<T>, E>,
) -> Result<Option<T>, E> {
    let mut pause = FIRST_PAUSE;
    loop {
        let now = Instant::now();
        let mut next = now + pause;
        match look()? {
            Poll::Done(value) => return Ok(Some(value)),
            Poll::Wait => {}
            // A time that has passed is no time to wait until.
            Poll::WaitUntil(at) if at > now => next = next.min(at),
            Poll::WaitUntil(_) => {}
        }
        if now >= deadline {
            return Ok(None);
        }
        let announced = idle(next.min(deadline).saturating_duration_since(now));
        pause = if announced { FIRST_PAUSE } else { (pause * 2).min(LONGEST_PAUSE) };
    }
}

/// How long commands wait before they give up.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// For another command that holds a lock.
    pub lock: Duration,
    /// For a new service to be supervised, and for a removed one to be let go.
    pub supervise: Duration,
    /// For a gateway to be ready.
    pub start: Duration,
    /// For a gateway to be down, beyond its stop budget.
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
    /// The same time for everything; a gateway's stop budget is not added.
    pub fn all(timeout: Duration) -> Self {
        Self { lock: timeout, supervise: timeout, start: timeout, stop_beyond_budget: timeout }
    }
}
