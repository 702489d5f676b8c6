//! Records in the root home's journal of events what happened in Pods, from which nobody can write to it.
//!
//! The launcher of a Pod has its gateway's deaths in the profile's home, and Kubernetes has those of the container. A note
//! beside the registration says which of them the journal has already, so that each is in it once, whoever looks first.

use std::io;
use std::time::Duration;

use hermes_core::ProfileName;
use hermes_core::driver::DriverError;
use hermes_core::events::{Journal, What};
use hermes_core::lock::Lock;
use hermes_core::status::Exit;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::driver::Kubernetes;
use crate::status::{Found, exit};

/// How long to wait for another command that looks for events at the same time.
const TIMEOUT: Duration = Duration::from_secs(2);
/// How many ends of a container are recorded of which Kubernetes has forgotten how they were.
const MOST_FORGOTTEN: i32 = 10;

/// What the journal has of a Pod.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Noted {
    /// The unique ID of the Pod.
    pod: String,
    /// The last death that its launcher had recorded.
    death: Option<Timestamp>,
    /// Since when its gateway is parked.
    parked: Option<Timestamp>,
    /// How often its container had ended.
    ends: i32,
}

/// What happened, and when.
#[derive(Debug, PartialEq, Eq)]
enum Happened {
    /// The gateway died, and its launcher lived on.
    Died(Timestamp, Exit),
    /// Anything else, and why.
    Other(Timestamp, What, String),
}

impl Kubernetes {
    /// Records what the journal does not have of what was found. A failure is logged: nothing decides by the journal.
    pub(crate) fn record_events(&self, profile: &ProfileName, found: &Found) {
        if let Err(error) = self.try_to_record(profile, found) {
            log::warn!("failed to record the deaths of `{profile}`: {error}");
        }
    }

    fn try_to_record(&self, profile: &ProfileName, found: &Found) -> Result<(), DriverError> {
        if found.uid().is_none() || news(found, &self.registry.noted(profile)?).0.is_empty() {
            return Ok(());
        }
        let _lock =
            Lock::acquire(&self.registry.events_lock(), TIMEOUT).map_err(DriverError::new)?;
        // Another command may have been faster.
        let (news, noted) = news(found, &self.registry.noted(profile)?);
        let journal = Journal::new(self.store.root()).of(profile);
        for happened in news {
            match happened {
                Happened::Died(at, exit) => journal.record_death_at(at, exit),
                Happened::Other(at, what, why) => journal.record_at(at, what, why),
            }
        }
        Ok(self.registry.note(profile, &noted)?)
    }
}

/// What happened that is not noted, oldest first, and the note that has it.
fn news(found: &Found, noted: &Noted) -> (Vec<Happened>, Noted) {
    let pod = found.uid().unwrap_or_default();
    let noted = Some(noted).filter(|noted| noted.pod == pod).cloned();
    let mut noted = noted.unwrap_or_else(|| Noted { pod: pod.to_owned(), ..Noted::default() });
    let mut news = Vec::new();
    if let Some(record) = &found.record {
        let is_new = |at: Timestamp| noted.death.is_none_or(|last| at > last);
        let deaths = record.record.deaths.iter().filter(|death| is_new(death.at));
        news.extend(deaths.map(|death| (death.at, Happened::Died(death.at, death.exit))));
        noted.death = record.record.deaths.last().map(|death| death.at).max(noted.death);
        if let Some(parked) = &record.record.parked {
            let since = parked.since.unwrap_or(record.since);
            if noted.parked != Some(since) {
                noted.parked = Some(since);
                let happened = Happened::Other(since, What::Parked, parked.reason.clone());
                news.push((since, happened));
            }
        }
    }
    // One that ends because its Pod does was asked to.
    let ends = if found.is_ending() { noted.ends } else { found.container_ends() };
    if let (true, Some(ended)) = (ends > noted.ends, found.ended()) {
        let at = ended.finished_at.as_ref().map_or_else(Timestamp::now, |at| at.0);
        for _ in 0..(ends - noted.ends - 1).min(MOST_FORGOTTEN) {
            let why = "its container; how is not known any more".to_owned();
            news.push((at, Happened::Other(at, What::Died, why)));
        }
        let reason = ended.reason.as_deref().filter(|reason| *reason != "Error");
        let reason = reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
        let why = format!("{}{reason}, its container", exit(ended));
        news.push((at, Happened::Other(at, What::Died, why)));
        noted.ends = ends;
    }
    news.sort_by_key(|(at, _)| *at);
    (news.into_iter().map(|(_, happened)| happened).collect(), noted)
}

impl crate::registry::Registry {
    /// What the journal of events has of the profile's Pod.
    fn noted(&self, profile: &ProfileName) -> io::Result<Noted> {
        let bytes = hermes_core::fsutil::read_if_there(&self.note_path(profile))?;
        // What can't be read is made anew.
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default())
    }

    fn note(&self, profile: &ProfileName, noted: &Noted) -> io::Result<()> {
        let text = serde_json::to_vec(noted).map_err(io::Error::other)?;
        hermes_core::fsutil::write_durably(&self.note_path(profile), &text, 0o600)
    }
}

#[cfg(test)]
mod tests {
    use hermes_core::clock::Moment;
    use hermes_core::restart::{EXIT_RESTART, PodRecord};
    use hermes_core::status::Parked;
    use serde_json::{Value, json};

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    /// A Pod whose container has this status, and whose launcher has recorded deaths at these seconds.
    fn found(container: &Value, deaths: &[(i64, Exit)]) -> Found {
        let pod = json!({
            "metadata": { "uid": "one" },
            "status": { "containerStatuses": [container] },
        });
        let mut record = PodRecord::new("one".to_owned());
        for (second, exit) in deaths {
            record.record.add_death(at(*second), &Moment::now(), *exit);
        }
        Found {
            pod: Some(serde_json::from_value(pod).unwrap()),
            record: Some(record),
            ..Found::default()
        }
    }

    fn container(restarts: i32, state: Value, last: Value) -> Value {
        json!({
            "name": "gateway", "image": "", "imageID": "", "ready": false, "restartCount": restarts, "state": state,
            "lastState": last,
        })
    }

    fn terminated(second: i64, code: i32, reason: &str) -> Value {
        json!({ "terminated": { "exitCode": code, "reason": reason, "finishedAt": at(second).to_string() } })
    }

    #[test]
    fn each_death_is_news_once() {
        let running = container(0, json!({ "running": {} }), Value::Null);
        let first = found(&running, &[(1, Exit::Signal(9)), (2, Exit::Code(EXIT_RESTART))]);
        let (happened, noted) = news(&first, &Noted::default());
        let expected =
            [Happened::Died(at(1), Exit::Signal(9)), Happened::Died(at(2), Exit::Code(75))];
        assert_eq!(happened, expected);
        assert_eq!(news(&first, &noted), (Vec::new(), noted.clone()));
        let mut more =
            found(&running, &[(1, Exit::Signal(9)), (2, Exit::Code(75)), (5, Exit::Code(1))]);
        let parked = Parked { reason: "why".to_owned(), since: Some(at(5)) };
        more.record.as_mut().unwrap().record.parked = Some(parked);
        let (happened, noted) = news(&more, &noted);
        let parked = Happened::Other(at(5), What::Parked, "why".to_owned());
        assert_eq!(happened, [Happened::Died(at(5), Exit::Code(1)), parked]);
        assert_eq!(news(&more, &noted).0, []);
    }

    #[test]
    fn the_ends_of_a_container_are_counted_and_named() {
        let died = |second, why: &str| Happened::Other(at(second), What::Died, why.to_owned());
        let killed = terminated(3, 137, "OOMKilled");
        // It has ended, and then runs again.
        let ended = found(&container(0, killed.clone(), Value::Null), &[]);
        let (happened, noted) = news(&ended, &Noted::default());
        assert_eq!(happened, [died(3, "SIGKILL (OOMKilled), its container")]);
        let again = found(&container(1, json!({ "running": {} }), killed), &[]);
        assert_eq!(news(&again, &noted).0, []);
        let third = found(&container(3, json!({ "running": {} }), terminated(9, 1, "Error")), &[]);
        let forgotten = "its container; how is not known any more";
        let (happened, noted) = news(&third, &noted);
        assert_eq!(happened, [died(9, forgotten), died(9, "exit 1, its container")]);
        let mut ending = found(&container(3, terminated(12, 0, "Completed"), Value::Null), &[]);
        let deleted = serde_json::from_value(json!(at(11).to_string())).unwrap();
        ending.pod.as_mut().unwrap().metadata.deletion_timestamp = Some(deleted);
        assert_eq!(news(&ending, &noted).0, [], "it was asked to end");
    }
}
