//! What some supervisors do not record: the deaths of a gateway since it was started, and why it was parked. A launcher
//! writes it to a file in the profile's home.

use std::io;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{AN_HOUR, EXIT_RESTART, Ending, History, WINDOW, reason_to_park};
use crate::clock::Moment;
use crate::fsutil;
use crate::status::{Exit, Parked};

/// The deaths that are kept: launchd starts a job at most 360 times in an hour.
const MAX_DEATHS: usize = 400;

/// One death that no command requested.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Death {
    /// When launchd restarted the gateway, at most ten seconds after its end.
    pub at: Timestamp,
    /// The same by the clock that nobody sets; without it the death is old.
    #[serde(default)]
    moment: String,
    /// How it ended.
    pub exit: Exit,
}

/// The record of one loaded job.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The gateway's deaths, oldest first.
    pub deaths: Vec<Death>,
    /// Why and since when the gateway is parked.
    pub parked: Option<Parked>,
}

impl Record {
    /// Reads the record at `path`. A missing or invalid file counts as an empty record, so that it can't
    /// park a gateway.
    pub fn read(path: &Path) -> io::Result<Self> {
        let bytes = fsutil::read_if_there(path)?;
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default())
    }

    /// Writes the record durably.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let text = serde_json::to_vec(self).map_err(io::Error::other)?;
        fsutil::write_durably(path, &text, 0o644)
    }

    /// Adds a death at `at`, which is the moment `moment`.
    pub fn add_death(&mut self, at: Timestamp, moment: &Moment, exit: Exit) {
        self.deaths.push(Death { at, moment: moment.to_string(), exit });
        let old = self.deaths.len().saturating_sub(MAX_DEATHS);
        self.deaths.drain(..old);
    }

    /// Why the gateway must be parked after its last death; `None` if it may be restarted. `fault` is the
    /// error that the gateway recorded.
    pub fn reason_to_park(&self, now: &Moment, fault: Option<String>) -> Option<String> {
        reason_to_park(self.last_exit()?, self.since(now, WINDOW), fault)
    }

    /// The number of deaths in the last hour.
    pub fn in_the_last_hour(&self, now: &Moment) -> u32 {
        u32::try_from(self.since(now, AN_HOUR)).unwrap_or(u32::MAX)
    }

    /// What the policy decides by: the deaths of this boot, after the first life began at `begun`.
    pub fn history(&self, now: &Moment, begun: Option<&Moment>) -> History {
        let ending = |death: &Death| {
            let moment: Moment = death.moment.parse().ok()?;
            now.since(&moment)?;
            Some(Ending { at: moment.since_boot(), exit: death.exit })
        };
        let begun = begun.filter(|begun| now.since(begun).is_some()).map(Moment::since_boot);
        History { begun, endings: self.deaths.iter().filter_map(ending).collect() }
    }

    /// How the last process of the gateway ended.
    pub fn last_exit(&self) -> Option<Exit> {
        self.deaths.last().map(|death| death.exit)
    }

    /// The deaths of the last `window`, without the restarts that the gateway asked for.
    fn since(&self, now: &Moment, window: Duration) -> usize {
        let is_recent = |death: &&Death| {
            let age = death.moment.parse().ok().and_then(|moment| now.since(&moment));
            age.is_some_and(|age| age <= window) && death.exit != Exit::Code(EXIT_RESTART)
        };
        self.deaths.iter().filter(is_recent).count()
    }
}

#[cfg(test)]
mod tests {
    use super::super::EXIT_CONFIG;
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    fn moment(seconds: i64) -> Moment {
        format!("{}@boot", seconds * 1_000_000_000).parse().unwrap()
    }

    fn die(record: &mut Record, seconds: i64, exit: Exit) {
        // The wall clock goes back.
        record.add_death(at(-seconds), &moment(seconds), exit);
    }

    fn dying(times: impl IntoIterator<Item = i64>) -> Record {
        let mut record = Record::default();
        times.into_iter().for_each(|time| die(&mut record, time, Exit::Code(1)));
        record
    }

    #[test]
    fn ten_deaths_in_ten_minutes_park() {
        let parked = |record: &Record, now| record.reason_to_park(&moment(now), None);
        assert_eq!(parked(&dying(0..9), 9), None);
        let reason = "it died 10 times within 10 minutes, last with exit 1; its log says more";
        assert_eq!(parked(&dying(0..10), 10).as_deref(), Some(reason));
        // The first death is at the edge of the window, then outside.
        let slow = dying((0..10).map(|n| n * 60));
        assert!(parked(&slow, 600).is_some());
        assert_eq!(parked(&slow, 601), None);
        assert_eq!(parked(&Record::default(), 0), None);
    }

    #[test]
    fn a_wrong_configuration_parks_at_once_if_it_was_the_last_death() {
        let mut record = dying([0]);
        die(&mut record, 1, Exit::Code(EXIT_CONFIG));
        assert!(record.reason_to_park(&moment(1), None).unwrap().contains("exit 78"));
        die(&mut record, 2, Exit::Signal(9));
        assert_eq!(record.reason_to_park(&moment(2), None), None);
    }

    #[test]
    fn exit_75_and_deaths_before_the_boot_do_not_count() {
        let mut record = dying(0..9);
        (9..30).for_each(|time| die(&mut record, time, Exit::Code(EXIT_RESTART)));
        assert_eq!(record.in_the_last_hour(&moment(30)), 9);
        assert_eq!(record.reason_to_park(&moment(30), None), None);
        die(&mut record, 31, Exit::Code(1));
        assert!(record.reason_to_park(&moment(31), None).is_some());
        let later: Moment = "40000000000@another".parse().unwrap();
        assert_eq!(record.in_the_last_hour(&later), 0);
    }

    #[test]
    fn old_deaths_are_dropped() {
        let record = dying((0..1000).map(|n| n * 10));
        assert_eq!(record.deaths.len(), MAX_DEATHS);
        assert_eq!(record.in_the_last_hour(&moment(9_990)), 361);
    }

    #[test]
    fn a_record_is_read_back_and_an_invalid_file_is_empty() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("record");
        assert_eq!(Record::read(&path).unwrap(), Record::default());
        let mut record = dying(0..2);
        record.parked = Some(Parked { reason: "a \"reason\"\n".to_owned(), since: Some(at(3)) });
        record.write(&path).unwrap();
        assert_eq!(Record::read(&path).unwrap(), record);
        std::fs::write(&path, "{").unwrap();
        assert_eq!(Record::read(&path).unwrap(), Record::default());
    }
}
