//! The status of a gateway, with the same states for every backend.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::intent::Intent;
use crate::name::ProfileName;

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
    /// Running, but not as its supervisor's process; [`Status::pid`] is the process.
    Orphan,
    /// Its supervisor outlived its s6-svscan: it neither stops nor starts with the tree.
    Stray,
    /// Without a supervisor.
    Unsupervised,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 9] = [
        Self::Up,
        Self::Starting,
        Self::Backoff,
        Self::Stopping,
        Self::Down,
        Self::Parked,
        Self::Orphan,
        Self::Stray,
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
    /// The port that the gateway listens on, if its configuration sets one.
    pub port: Option<u16>,
}

impl Status {
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
            port: None,
        }
    }

    /// Whether the operator wants the gateway up; see [`Intent::is_wanted`].
    pub fn is_wanted(&self) -> bool {
        Intent::is_wanted(self.intent)
    }

    /// Whether the gateway is up, and ready if it reports readiness.
    pub fn is_healthy(&self) -> bool {
        self.state == State::Up && self.ready != Some(false)
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
            State::Backoff | State::Parked | State::Orphan | State::Stray => true,
            State::Down | State::Unsupervised => self.is_wanted(),
            State::Up | State::Starting | State::Stopping => false,
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
            State::Unsupervised => 8,
        };
        assert_eq!(State::ALL.map(place), [0, 1, 2, 3, 4, 5, 6, 7, 8]);
    }

    #[test]
    fn what_is_wanted_healthy_and_needs_attention_agree_in_every_state() {
        for (state, intent) in State::ALL.into_iter().flat_map(|state| INTENTS.map(|i| (state, i)))
        {
            for ready in [Some(true), Some(false), None] {
                let name = ProfileName::default_profile();
                let status = Status { state, intent, ready, ..Status::unsupervised(&name) };
                let case = format!("{state} {intent:?} {ready:?}");
                let wanted = intent != Some(Intent::Stopped);
                assert_eq!(status.is_wanted(), wanted, "{case}");
                let healthy = state == State::Up && ready != Some(false);
                assert_eq!(status.is_healthy(), healthy, "{case}");
                assert_eq!(status.is_missing(), wanted && !healthy, "{case}");
                if healthy {
                    assert!(!status.needs_attention(), "{case}");
                }
                if status.is_missing() && !status.needs_attention() {
                    let passing = [State::Up, State::Starting, State::Stopping];
                    assert!(passing.contains(&state), "{case}");
                }
            }
        }
    }
}
