//! How much is done at once, and how often.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hermes_core::ProfileName;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many actions may come one right after the other, and how long it takes for another to be free.
const BURST: u32 = 60;
const EVERY: Duration = Duration::from_millis(500);
/// How many gateways are worked on at once, as by the commands.
const ACTIONS: usize = 8;
/// How many look at all gateways, or read a log, at once.
const READERS: usize = 4;
/// How many may listen for changes, and as many again follow a log.
const LISTENERS: usize = 64;

/// What is left.
pub(crate) struct Limits {
    actions: Arc<Semaphore>,
    readers: Arc<Semaphore>,
    listeners: Arc<Semaphore>,
    followers: Arc<Semaphore>,
    /// When the next action could be free if all of them were taken: a bucket that leaks.
    full_at: Mutex<Option<Instant>>,
    busy: Arc<Mutex<BTreeSet<ProfileName>>>,
}

impl Default for Limits {
    fn default() -> Self {
        let semaphore = |permits| Arc::new(Semaphore::new(permits));
        Self {
            actions: semaphore(ACTIONS),
            readers: semaphore(READERS),
            listeners: semaphore(LISTENERS),
            followers: semaphore(LISTENERS),
            full_at: Mutex::default(),
            busy: Arc::default(),
        }
    }
}

/// Why an action may not begin.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Another one on the same profile has not ended.
    Busy,
    /// There were too many; the next may come after this.
    TooMany(Duration),
}

/// An action that may begin; it ends with this value.
pub(crate) struct Action {
    name: ProfileName,
    busy: Arc<Mutex<BTreeSet<ProfileName>>>,
}

impl Drop for Action {
    fn drop(&mut self) {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.name);
    }
}

impl Limits {
    /// Begins an action on a profile, of which there is one at a time.
    pub(crate) fn begin(&self, name: &ProfileName) -> Result<Action, Refused> {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        if busy.contains(name) {
            return Err(Refused::Busy);
        }
        self.take(Instant::now()).map_err(Refused::TooMany)?;
        busy.insert(name.clone());
        Ok(Action { name: name.clone(), busy: self.busy.clone() })
    }

    /// Takes one of the actions that are free, or says when there is one.
    fn take(&self, now: Instant) -> Result<(), Duration> {
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let level = full_at.map_or(now, |at| at.max(now));
        let wait = (level + EVERY).saturating_duration_since(now + EVERY * BURST);
        if !wait.is_zero() {
            return Err(wait);
        }
        *full_at = Some(level + EVERY);
        Ok(())
    }

    /// Waits for a place among those that act.
    pub(crate) async fn to_act(&self) -> Option<OwnedSemaphorePermit> {
        self.actions.clone().acquire_owned().await.ok()
    }

    /// Waits for a place among those that read.
    pub(crate) async fn to_read(&self) -> Option<OwnedSemaphorePermit> {
        self.readers.clone().acquire_owned().await.ok()
    }

    /// A place among those that listen, if there is one.
    pub(crate) fn to_listen(&self) -> Option<OwnedSemaphorePermit> {
        self.listeners.clone().try_acquire_owned().ok()
    }

    /// A place among those that follow a log, if there is one.
    pub(crate) fn to_follow(&self) -> Option<OwnedSemaphorePermit> {
        self.followers.clone().try_acquire_owned().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_free_and_then_one_at_a_time() {
        let limits = Limits::default();
        let now = Instant::now();
        assert!((0..BURST).all(|_| limits.take(now).is_ok()));
        assert_eq!(limits.take(now), Err(EVERY));
        assert_eq!(limits.take(now + EVERY), Ok(()));
        assert_eq!(limits.take(now + EVERY), Err(EVERY));
        let later = now + EVERY * (BURST + 100);
        assert!((0..BURST).all(|_| limits.take(later).is_ok()), "it does not save up more");
        assert!(limits.take(later).is_err());
    }

    #[test]
    fn a_profile_is_worked_on_by_one_at_a_time() {
        let limits = Limits::default();
        let [a, b] = ["a", "b"].map(|name| name.parse::<ProfileName>().unwrap());
        let action = limits.begin(&a).ok();
        assert_eq!(limits.begin(&a).err(), Some(Refused::Busy));
        assert!(limits.begin(&b).is_ok());
        drop(action);
        assert!(limits.begin(&a).is_ok());
    }
}
