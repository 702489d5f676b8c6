//! The status of a gateway, with the same states for every backend.

mod reason;

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::config::GatewayKind;
use crate::intent::Intent;
use crate::name::ProfileName;
use crate::process_lock::Holder;

pub use reason::{Reason, ReasonKind};

/// The state of a gateway, according to its supervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum State {
    /// Running, and ready if its supervisor is notified of readiness.
    Up,
    /// Running, not ready.
    Starting,
    /// Died; the supervisor will start it again.
    Backoff,
    /// Running, with a stop requested.
    Stopping,
    /// Down, with no start pending.
    Down,
    /// Down, and not started again, because it can't run: see [`Status::parked`].
    Parked,
    /// Running, but not as its supervisor's process; [`Status::pid`] is the process, unless it runs elsewhere.
    Orphan,
    /// Its supervisor outlived its s6-svscan: it neither stops nor starts with the tree.
    Stray,
    /// A gateway of the Python agent's that runs outside of any supervisor; [`Status::pid`] is the process. Only
    /// `hermes adopt` ends it.
    Foreign,
    /// Down, because `default`'s gateway serves the profile (`gateway.topology: shared`). Its health is that gateway's.
    Served,
    /// Without a supervisor.
    Unsupervised,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 11] = [
        Self::Up,
        Self::Starting,
        Self::Backoff,
        Self::Stopping,
        Self::Down,
        Self::Parked,
        Self::Orphan,
        Self::Stray,
        Self::Foreign,
        Self::Served,
        Self::Unsupervised,
    ];

    /// Whether the gateway runs and no stop was requested.
    pub fn is_running(self) -> bool {
        matches!(self, Self::Up | Self::Starting)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Up => "up",
            Self::Starting => "starting",
            Self::Backoff => "backoff",
            Self::Stopping => "stopping",
            Self::Down => "down",
            Self::Parked => "parked",
            Self::Orphan => "orphan",
            Self::Stray => "stray",
            Self::Foreign => "foreign",
            Self::Served => "served",
            Self::Unsupervised => "unsupervised",
        })
    }
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Exit {
    /// The process exited with this code.
    Code(i32),
    /// This signal ended the process.
    Signal(i32),
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit {code}"),
            Self::Signal(9) => f.write_str("SIGKILL"),
            Self::Signal(11) => f.write_str("SIGSEGV"),
            Self::Signal(15) => f.write_str("SIGTERM"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

/// Why and since when a gateway is parked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parked {
    /// The reason, as text for the user.
    pub reason: String,
    /// When it was parked.
    pub since: Option<Timestamp>,
}

/// The delay before the supervisor starts a gateway again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backoff {
    /// The number of deaths in a row.
    pub count: u32,
    /// When the supervisor starts the gateway again.
    pub until: Timestamp,
}

impl Backoff {
    /// Describes the wait; the subject, the gateway, precedes it.
    pub fn summary(&self) -> String {
        let seconds = self.until.duration_since(Timestamp::now()).as_secs().max(0);
        match self.count {
            1 => format!("died and starts again in {seconds} s"),
            count => format!("died {count} times in a row and starts again in {seconds} s"),
        }
    }
}

/// The status of a gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The profile.
    pub profile: ProfileName,
    /// Whether the backend has a service for the gateway.
    pub registered: bool,
    /// The state, according to the supervisor.
    pub state: State,
    /// The gateway's process ID, if it runs.
    pub pid: Option<u32>,
    /// When the gateway was last started or ended.
    pub since: Option<Timestamp>,
    /// The operator's intent; `None` if it can't be read.
    pub intent: Option<Intent>,
    /// Whether the gateway is ready; `None` if it doesn't run, or if its supervisor is not notified.
    pub ready: Option<bool>,
    /// How often the gateway died in the last hour without a request to stop.
    pub deaths: u32,
    /// How the gateway last ended, if it did under this supervisor.
    pub last_exit: Option<Exit>,
    /// Why the gateway is parked, if it is.
    pub parked: Option<Parked>,
    /// When the supervisor starts the gateway again, in state [`State::Backoff`].
    pub backoff: Option<Backoff>,
    /// What runs as the gateway, as its configuration decides it; `None` if that can't be read.
    pub kind: Option<GatewayKind>,
    /// The port that the gateway listens on, if its configuration sets one.
    pub port: Option<u16>,
    /// Why the gateway is not healthy, or wanted and not up, if that is known. One that is up with a reason is not
    /// healthy.
    pub reason: Option<Reason>,
}

impl Status {
    /// This status, which the supervisor reports, beside the holder of the gateway's lock. Another process than the
    /// supervised one is an orphan. One that runs elsewhere may be the supervised one, unless there is none.
    #[must_use]
    pub fn beside(mut self, holder: Option<Holder>) -> Self {
        let down = matches!(self.state, State::Down | State::Parked | State::Unsupervised);
        let is_orphan = match holder {
            Some(Holder { pid: None }) => down && self.pid.is_none(),
            Some(Holder { pid }) => pid != self.pid,
            None => false,
        };
        if let Some(holder) = holder.filter(|_| is_orphan) {
            (self.state, self.pid, self.ready) = (State::Orphan, holder.pid, None);
        }
        self
    }

    /// This status, if `pid` is the gateway, for the reason `text`: it runs outside of any supervisor.
    #[must_use]
    pub fn foreign(self, pid: u32, text: String) -> Self {
        Self {
            state: State::Foreign,
            pid: Some(pid),
            since: None,
            ready: None,
            parked: None,
            backoff: None,
            reason: Some(Reason { kind: ReasonKind::Foreign, text }),
            ..self
        }
    }

    /// This status, if the gateway with the status `server` serves the profile.
    #[must_use]
    pub fn served(self, server: &Self) -> Self {
        // One that only starts is not ready, which is no failure.
        let fails = !server.is_healthy() && server.ready != Some(false);
        let why = || match &server.reason {
            Some(reason) => format!("{}: {}", server.word(), reason.text),
            None => server.word(),
        };
        let text = || format!("`{}`'s gateway serves it, and is {}", server.profile, why());
        Self {
            state: State::Served,
            pid: None,
            since: None,
            ready: server.ready,
            parked: None,
            backoff: None,
            reason: fails.then(|| Reason { kind: ReasonKind::Served, text: text() }),
            ..self
        }
    }

    /// The status of a gateway without a supervisor.
    pub fn unsupervised(profile: &ProfileName) -> Self {
        Self {
            profile: profile.clone(),
            registered: false,
            state: State::Unsupervised,
            pid: None,
            since: None,
            intent: None,
            ready: None,
            deaths: 0,
            last_exit: None,
            parked: None,
            backoff: None,
            kind: None,
            port: None,
            reason: None,
        }
    }

    /// This status, with the reason of a gateway that is parked or waits for its next start. The time of that start is
    /// in [`backoff`](Self::backoff): a reason that changes every second would be news every second.
    #[must_use]
    pub fn explained(mut self) -> Self {
        let reason = match self.state {
            State::Parked => {
                self.parked.as_ref().map(|parked| (ReasonKind::Parked, parked.reason.clone()))
            }
            State::Backoff => Some((ReasonKind::Backoff, self.last_death())),
            _ => None,
        };
        self.reason = self.reason.or(reason.map(|(kind, text)| Reason { kind, text }));
        self
    }

    fn last_death(&self) -> String {
        let times = match self.backoff.as_ref().map_or(1, |backoff| backoff.count) {
            count @ 2.. => format!("it died {count} times in a row, last with"),
            _ => "it died with".to_owned(),
        };
        match self.last_exit {
            Some(exit) => format!("{times} {exit}"),
            None => "it waits for its next start".to_owned(),
        }
    }

    /// Whether the gateway is up and does not answer.
    pub fn is_unresponsive(&self) -> bool {
        matches!(&self.reason, Some(Reason { kind: ReasonKind::Unresponsive, .. }))
    }

    /// The state as people read it: a gateway that is up and does not answer is `unresponsive`.
    pub fn word(&self) -> String {
        if self.is_unresponsive() { "unresponsive".to_owned() } else { self.state.to_string() }
    }

    /// Whether the operator wants the gateway up; see [`Intent::is_wanted`].
    pub fn is_wanted(&self) -> bool {
        Intent::is_wanted(self.intent)
    }

    /// Whether the gateway is up or served, ready if it reports readiness, and nothing is wrong with it.
    pub fn is_healthy(&self) -> bool {
        matches!(self.state, State::Up | State::Served)
            && self.ready != Some(false)
            && self.reason.is_none()
    }

    /// Whether the gateway is wanted and not healthy: `gateway status --all`, `doctor --health` and an alert
    /// on the metrics report the same gateways.
    pub fn is_missing(&self) -> bool {
        self.is_wanted() && !self.is_healthy()
    }

    /// Whether an operator should look at the gateway: it failed, or it is missing and nothing brings it up.
    /// One that starts or stops needs no attention yet.
    pub fn needs_attention(&self) -> bool {
        match self.state {
            State::Backoff | State::Parked | State::Orphan | State::Stray | State::Foreign => true,
            State::Down | State::Unsupervised => self.is_wanted(),
            State::Up => self.reason.is_some(),
            State::Served => self.is_wanted() && self.reason.is_some(),
            State::Starting | State::Stopping => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTENTS: [Option<Intent>; 3] = [Some(Intent::Running), Some(Intent::Stopped), None];

    #[test]
    fn the_list_of_states_has_every_state_once() {
        let place = |state| match state {
            State::Up => 0,
            State::Starting => 1,
            State::Backoff => 2,
            State::Stopping => 3,
            State::Down => 4,
            State::Parked => 5,
            State::Orphan => 6,
            State::Stray => 7,
            State::Foreign => 8,
            State::Served => 9,
            State::Unsupervised => 10,
        };
        assert_eq!(State::ALL.map(place), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    }

    #[test]
    fn what_is_parked_or_waits_has_a_reason() {
        let name = ProfileName::default_profile();
        let of =
            |status: Status| status.explained().reason.map(|reason| (reason.kind, reason.text));
        let parked = Parked { reason: "no port".to_owned(), since: None };
        let status =
            Status { state: State::Parked, parked: Some(parked), ..Status::unsupervised(&name) };
        assert_eq!(of(status), Some((ReasonKind::Parked, "no port".to_owned())));
        let waits = |count, last_exit| {
            let backoff = Some(Backoff { count, until: Timestamp::UNIX_EPOCH });
            of(Status { state: State::Backoff, last_exit, backoff, ..Status::unsupervised(&name) })
        };
        for (count, exit, text) in [
            (1, Some(Exit::Code(3)), "it died with exit 3"),
            (4, Some(Exit::Signal(9)), "it died 4 times in a row, last with SIGKILL"),
            (0, None, "it waits for its next start"),
        ] {
            assert_eq!(waits(count, exit), Some((ReasonKind::Backoff, text.to_owned())));
        }
        assert_eq!(of(Status::unsupervised(&name)), None);
    }

    #[test]
    fn what_is_wanted_healthy_and_needs_attention_agree_in_every_state() {
        for (state, intent) in State::ALL.into_iter().flat_map(|state| INTENTS.map(|i| (state, i)))
        {
            for (ready, hangs) in [Some(true), Some(false), None]
                .into_iter()
                .flat_map(|ready| [false, true].map(|hangs| (ready, hangs)))
            {
                let name = ProfileName::default_profile();
                let reason = Reason { kind: ReasonKind::Unresponsive, text: String::new() };
                let reason = hangs.then_some(reason);
                let status = Status { state, intent, ready, reason, ..Status::unsupervised(&name) };
                let case = format!("{state} {intent:?} {ready:?} {hangs}");
                let wanted = intent != Some(Intent::Stopped);
                assert_eq!(status.is_wanted(), wanted, "{case}");
                let healthy =
                    matches!(state, State::Up | State::Served) && ready != Some(false) && !hangs;
                assert_eq!(status.is_healthy(), healthy, "{case}");
                assert_eq!(status.is_missing(), wanted && !healthy, "{case}");
                if healthy {
                    assert!(!status.needs_attention(), "{case}");
                }
                if status.is_missing() && !status.needs_attention() {
                    let passing = [State::Up, State::Served, State::Starting, State::Stopping];
                    assert!(passing.contains(&state), "{case}");
                }
            }
        }
    }
}
