//! Limits on concurrent requests, and on the rate of actions.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hermes_core::ProfileName;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The burst of actions that is allowed, and the interval that allows one more.
const BURST: u32 = 60;
const EVERY: Duration = Duration::from_millis(500);
/// Concurrent actions, as in the commands.
const ACTIONS: usize = 8;
/// Concurrent requests that read all gateways or a log.
const READERS: usize = 4;
/// Listeners for changes, and also followers of logs.
const LISTENERS: usize = 64;

/// The available capacity.
pub(crate) struct Limits {
    actions: Arc<Semaphore>,
    readers: Arc<Semaphore>,
    listeners: Arc<Semaphore>,
    followers: Arc<Semaphore>,
    /// A leaky bucket: the time when the whole burst is available again.
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

/// Why an action was refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Another action on the profile is in progress.
    Busy,
    /// The burst is used up; the next action is allowed after this time.
    TooMany(Duration),
}

/// Permission for an action on a profile. Dropping it ends the action.
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
    /// Begins an action on a profile. Only one at a time is allowed.
    pub(crate) fn begin(&self, name: &ProfileName) -> Result<Action, Refused> {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        if busy.contains(name) {
            return Err(Refused::Busy);
        }
        self.take(Instant::now()).map_err(Refused::TooMany)?;
        busy.insert(name.clone());
        Ok(Action { name: name.clone(), busy: self.busy.clone() })
    }

    /// Takes one action from the bucket, or returns the time until one is available.
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

    /// Waits for a permit to act.
    pub(crate) async fn to_act(&self) -> Option<OwnedSemaphorePermit> {
        self.actions.clone().acquire_owned().await.ok()
    }

    /// Waits for a permit to read.
    pub(crate) async fn to_read(&self) -> Option<OwnedSemaphorePermit> {
        self.readers.clone().acquire_owned().await.ok()
    }

    /// A permit to listen, if one is available.
    pub(crate) fn to_listen(&self) -> Option<OwnedSemaphorePermit> {
        self.listeners.clone().try_acquire_owned().ok()
    }

    /// A permit to follow a log, if one is available.
    pub(crate) fn to_follow(&self) -> Option<OwnedSemaphorePermit> {
        self.followers.clone().try_acquire_owned().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_burst_actions_are_rate_limited() {
        let limits = Limits::default();
        let now = Instant::now();
        assert!((0..BURST).all(|_| limits.take(now).is_ok()));
        assert_eq!(limits.take(now), Err(EVERY));
        assert_eq!(limits.take(now + EVERY), Ok(()));
        assert_eq!(limits.take(now + EVERY), Err(EVERY));
        let later = now + EVERY * (BURST + 100);
        assert!((0..BURST).all(|_| limits.take(later).is_ok()), "the burst is not exceeded");
        assert!(limits.take(later).is_err());
    }

    #[test]
    fn actions_on_a_profile_exclude_each_other() {
        let limits = Limits::default();
        let [a, b] = ["a", "b"].map(|name| name.parse::<ProfileName>().unwrap());
        let action = limits.begin(&a).ok();
        assert_eq!(limits.begin(&a).err(), Some(Refused::Busy));
        assert!(limits.begin(&b).is_ok());
        drop(action);
        assert!(limits.begin(&a).is_ok());
    }
}
