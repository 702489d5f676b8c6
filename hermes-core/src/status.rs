//! What a backend says of one gateway, in words that mean the same for every backend.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::intent::Intent;
use crate::name::ProfileName;

/// The state of one gateway as its supervisor has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It runs, and is ready if it says so at all.
    Up,
    /// It runs and has not said that it is ready.
    Starting,
    /// It died and will be started again.
    Backoff,
    /// It was told to stop and has not ended.
    Stopping,
    /// It is down and stays down.
    Down,
    /// It is down because it can't run: see [`Status::parked`].
    Parked,
    /// It runs, and not as its supervisor's process: [`Status::pid`] is its number.
    Orphan,
    /// Its supervisor outlived its s6-svscan: it does not end with the tree, nor come back with it.
    Stray,
    /// No supervisor looks after it.
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

    /// Whether a gateway process runs that nobody told to stop.
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
    /// It exited with this code.
    Code(i32),
    /// This signal ended it.
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
    /// The reason, in plain words.
    pub reason: String,
    /// When it was parked.
    pub since: Option<Timestamp>,
}

/// How long a gateway waits to be started again, and after how many deaths in a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Backoff {
    /// How many deaths in a row.
    pub count: u32,
    /// When it is started again.
    pub until: Timestamp,
}

/// Everything a backend knows of one gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    /// The profile.
    pub profile: ProfileName,
    /// Whether the backend has a service for it.
    pub registered: bool,
    /// What the supervisor says.
    pub state: State,
    /// The gateway's process.
    pub pid: Option<u32>,
    /// When the state of the process (runs, or doesn't) last changed.
    pub since: Option<Timestamp>,
    /// What the operator wants; `None` if that can't be read.
    pub intent: Option<Intent>,
    /// Whether it said that it is ready; `None` if it doesn't run or never says so.
    pub ready: Option<bool>,
    /// How often it died in the last hour without having been asked to.
    pub deaths: u32,
    /// How it ended last, if it ever did under this supervisor.
    pub last_exit: Option<Exit>,
    /// Why it is parked, if it is.
    pub parked: Option<Parked>,
    /// When it is started again, if it waits for that.
    pub backoff: Option<Backoff>,
    /// The port that it listens on, if its configuration names one.
    pub port: Option<u16>,
}

impl Status {
    /// The status of a gateway that no supervisor has.
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
