//! What this process waits for at the moment, for an observer that shows it.
//!
//! A program that shows waits sets an observer with [`observe`]; without one, nothing here does anything. What waits
//! for something begins a [`Waiting`]; the functions of [`wait`](crate::wait) then show it at each of their polls.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::interruption;
use crate::name::ProfileName;

/// The least time between two calls of the observer.
const PERIOD: Duration = Duration::from_millis(100);
/// How old a wait is before what it has seen is of interest.
const YOUNG: Duration = Duration::from_millis(500);

static OBSERVER: OnceLock<Box<dyn Observer>> = OnceLock::new();
static WAITS: Mutex<Waits> = Mutex::new(Waits::new());

thread_local! {
    /// The number of waits of this thread.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// Shows what the process waits for.
pub trait Observer: Send + Sync {
    /// Called about ten times in a second by the threads that wait, and once after the last wait has ended, then with
    /// no waits. Must not block.
    fn show(&self, waits: &Waits);
}

/// What a process waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Goal {
    /// A gateway becomes ready, or has been up for a while.
    Ready(ProfileName),
    /// A gateway ends.
    End(ProfileName),
    /// The processes end that gateways left behind.
    Leftovers,
    /// The supervisors of a new service start. With the name of the service.
    Supervised(String),
    /// The supervisors of a removed service end. With the name of the service.
    Released(String),
    /// Another process releases the lock at this path.
    Lock(PathBuf),
    /// The gateway of `default` comes up, which may serve this profile.
    Default(ProfileName),
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready(name) => write!(f, "`{name}` to be ready"),
            Self::End(name) => write!(f, "`{name}` to end"),
            Self::Leftovers => write!(f, "the processes to end that gateways left"),
            Self::Supervised(service) => write!(f, "the supervisors of {service} to start"),
            Self::Released(service) => write!(f, "the supervisors of {service} to end"),
            Self::Lock(path) => write!(f, "the lock `{}`", path.display()),
            Self::Default(name) => write!(f, "the gateway of `default`, which may serve `{name}`"),
        }
    }
}

/// A wait that is under way.
#[derive(Debug)]
pub struct Wait {
    id: u64,
    /// What for.
    pub goal: Goal,
    /// When it began.
    pub since: Instant,
    /// When it ends at the latest.
    pub deadline: Instant,
    /// The state that was seen last; may be empty.
    pub last_seen: String,
}

/// An operation on many gateways that is under way.
#[derive(Debug)]
pub struct Batch {
    /// What is done: `starting`.
    pub verb: &'static str,
    /// The number of gateways.
    pub total: usize,
    /// The number of those that are done, or have failed.
    pub done: usize,
    /// When it began.
    pub since: Instant,
}

/// All waits that are under way, the oldest first.
#[derive(Debug)]
pub struct Waits {
    /// The waits.
    pub waits: Vec<Wait>,
    /// The operation on many gateways that they belong to.
    pub batch: Option<Batch>,
    cut_off: Vec<Goal>,
    next: u64,
    shown: Option<Instant>,
}

impl Waits {
    const fn new() -> Self {
        Self { waits: Vec::new(), batch: None, cut_off: Vec::new(), next: 0, shown: None }
    }

    fn are_over(&self) -> bool {
        self.waits.is_empty() && self.batch.is_none()
    }

    /// Notes the beginning of a wait or a batch.
    fn begin(&mut self, begin: impl FnOnce(&mut Self)) {
        let first = self.are_over();
        begin(self);
        if first {
            interruption::waits_begin();
        }
    }

    /// Notes its end.
    fn end(&mut self, end: impl FnOnce(&mut Self)) {
        end(self);
        if self.are_over() {
            interruption::waits_ended();
            self.show(Instant::now());
        }
    }

    fn show(&mut self, now: Instant) {
        self.shown = Some(now);
        if let Some(observer) = OBSERVER.get() {
            observer.show(self);
        }
    }
}

/// Sets the observer of this process's waits. A second one is ignored.
pub fn observe(observer: Box<dyn Observer>) {
    let _ = OBSERVER.set(observer);
}

/// The goals of the waits that an interruption has cut off.
pub fn cut_off() -> Vec<Goal> {
    all().cut_off.clone()
}

fn all() -> MutexGuard<'static, Waits> {
    WAITS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Shows the waits, if it is time. Called at each poll.
pub(crate) fn tick() {
    if OBSERVER.get().is_none() {
        return;
    }
    let (mut waits, now) = (all(), Instant::now());
    if !waits.are_over() && waits.shown.is_none_or(|shown| now >= shown + PERIOD) {
        waits.show(now);
    }
}

/// Whether a signal has ended the wait that this thread is in. Never outside of a [`Waiting`].
pub fn is_cut_off() -> bool {
    DEPTH.get() > 0 && interruption::ends_waits()
}

/// Shows the waits, if it is time, and returns when to do that again, at most `deadline`. For what blocks by other means
/// than [`wait`](crate::wait).
pub fn next_look(deadline: Instant) -> Instant {
    if DEPTH.get() == 0 {
        return deadline;
    }
    tick();
    deadline.min(Instant::now() + PERIOD)
}

/// A wait of this thread, until it is dropped.
#[derive(Debug)]
#[must_use = "dropped at once it shows nothing"]
pub struct Waiting(Option<u64>, PhantomData<*const ()>);

impl Waiting {
    /// A wait begins.
    pub fn begin(goal: Goal, deadline: Instant) -> Self {
        if OBSERVER.get().is_none() {
            return Self(None, PhantomData);
        }
        let mut waits = all();
        let id = waits.next;
        waits.next += 1;
        let wait = Wait { id, goal, since: Instant::now(), deadline, last_seen: String::new() };
        waits.begin(|waits| waits.waits.push(wait));
        DEPTH.set(DEPTH.get() + 1);
        Self(Some(id), PhantomData)
    }

    /// Notes the state that the wait has seen last. Calls `state` only if somebody may read it.
    pub fn saw(&self, state: impl FnOnce() -> String) {
        let Some(id) = self.0 else { return };
        let is_this = |wait: &&mut Wait| wait.id == id && wait.since.elapsed() >= YOUNG;
        if all().waits.iter_mut().find(is_this).is_none() {
            return;
        }
        // Without the lock: it may read files.
        let state = state();
        if let Some(wait) = all().waits.iter_mut().find(is_this) {
            wait.last_seen = state;
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let Some(id) = self.0 else { return };
        let cut_off = is_cut_off();
        DEPTH.set(DEPTH.get().saturating_sub(1));
        all().end(|waits| {
            let ended = waits.waits.extract_if(.., |wait| wait.id == id);
            let goals: Vec<_> = ended.map(|wait| wait.goal).collect();
            if cut_off {
                waits.cut_off.extend(goals);
            }
        });
    }
}

/// An operation on many gateways, until it is dropped.
#[derive(Debug)]
pub(crate) struct Many(bool);

impl Many {
    /// It begins, on so many gateways. A single one is shown by its waits alone.
    pub(crate) fn begin(verb: &'static str, total: usize) -> Self {
        let mut waits = all();
        if OBSERVER.get().is_none() || total < 2 || waits.batch.is_some() {
            return Self(false);
        }
        let batch = Batch { verb, total, done: 0, since: Instant::now() };
        waits.begin(|waits| waits.batch = Some(batch));
        Self(true)
    }

    /// One of them is done, or has failed.
    pub(crate) fn one_done(&self) {
        if self.0
            && let Some(batch) = &mut all().batch
        {
            batch.done += 1;
        }
    }
}

impl Drop for Many {
    fn drop(&mut self) {
        if self.0 {
            all().end(|waits| waits.batch = None);
        }
    }
}
