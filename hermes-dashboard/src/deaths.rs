//! The times of deaths in the last hour, from the journal of events: few service managers keep them.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hermes_core::ProfileName;
use hermes_core::events::{Event, Follow, Journal, What};
use jiff::{SignedDuration, Timestamp};

/// How long a death counts.
const WINDOW: SignedDuration = SignedDuration::from_hours(1);

/// The deaths that the journal has, as far as it was read.
pub(crate) struct Deaths {
    recent: Mutex<Recent>,
}

/// The deaths of the last hour.
pub(crate) struct Recent {
    follow: Follow,
    times: BTreeMap<ProfileName, Vec<Timestamp>>,
}

impl Deaths {
    /// The deaths in `journal`, which is not read yet.
    pub(crate) fn new(journal: Journal) -> Self {
        let recent = Recent { follow: Follow::new(journal, Vec::new()), times: BTreeMap::new() };
        Self { recent: Mutex::new(recent) }
    }

    /// The deaths until now. Reads what is new in the journal; what can't be read is left out.
    pub(crate) fn read(&self) -> MutexGuard<'_, Recent> {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.read(Timestamp::now());
        recent
    }
}

impl Recent {
    /// The times of a gateway's deaths, oldest first.
    pub(crate) fn of(&self, name: &ProfileName) -> &[Timestamp] {
        self.times.get(name).map_or(&[], Vec::as_slice)
    }

    fn read(&mut self, now: Timestamp) {
        while let Ok(Some(Event { time, profile, event, .. })) = self.follow.take() {
            match event {
                What::Died => self.times.entry(profile).or_default().push(time),
                // Another profile may get the name.
                What::Removed => drop(self.times.remove(&profile)),
                _ => {}
            }
        }
        self.times.retain(|_, times| {
            times.retain(|time| now.duration_since(*time) < WINDOW);
            !times.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use hermes_core::RootHome;

    use super::*;

    #[test]
    fn deaths_of_the_last_hour_count_until_the_service_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::new(&RootHome::new(dir.path()));
        let [coder, writer] = ["coder", "writer"].map(|name| name.parse::<ProfileName>().unwrap());
        let deaths = Deaths::new(journal.clone());
        assert_eq!(deaths.read().of(&coder), []);
        for (name, event) in [
            (&coder, What::Started),
            (&coder, What::Died),
            (&writer, What::Died),
            (&coder, What::Died),
            (&writer, What::Removed),
        ] {
            journal.record(name, event, "");
        }
        let mut recent = deaths.read();
        assert_eq!((recent.of(&coder).len(), recent.of(&writer).len()), (2, 0));
        recent.read(Timestamp::now() + WINDOW);
        assert_eq!(recent.of(&coder), []);
        drop(recent);
        journal.record(&writer, What::Died, "");
        assert_eq!(deaths.read().of(&writer).len(), 1);
    }
}
