//! `gateway_state.json`: what the agent's gateway records about itself.

use std::io;
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::{Map, Value};
use thiserror::Error;

use crate::fsutil;
use crate::home::ProfileHome;

/// The value of `kind` in the file of a gateway.
const KIND: &str = "hermes-gateway";

/// The keys of the file that Hermes reads.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct State {
    /// What wrote the file.
    pub kind: Option<String>,
    /// The gateway's command line. Its first element is the full path of the program that last ran the home.
    pub argv: Vec<String>,
    /// What the gateway last was.
    pub gateway_state: Option<String>,
    /// What the operator wanted.
    pub desired_state: Option<String>,
    /// The gateway's process, as its own PID namespace numbers it.
    pub pid: Option<u32>,
    /// When the process was started: field 22 of `/proc/PID/stat`.
    pub start_time: Option<u64>,
    /// The profiles that the gateway serves, if it serves several. The agent keeps what an earlier gateway wrote.
    pub served_profiles: Vec<String>,
}

/// The file. Only the two states are refused if they have another type: an intent depends on them.
#[derive(Deserialize)]
struct Raw {
    desired_state: Option<String>,
    gateway_state: Option<String>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl From<Raw> for State {
    fn from(raw: Raw) -> Self {
        let strings = |name: &str| {
            let list = raw.rest.get(name).and_then(Value::as_array);
            let strings = list.into_iter().flatten().filter_map(Value::as_str);
            strings.map(str::to_owned).collect()
        };
        let number = |name: &str| raw.rest.get(name).and_then(Value::as_u64);
        Self {
            kind: raw.rest.get("kind").and_then(Value::as_str).map(str::to_owned),
            argv: strings("argv"),
            pid: number("pid").and_then(|pid| pid.try_into().ok()),
            start_time: number("start_time"),
            served_profiles: strings("served_profiles"),
            gateway_state: raw.gateway_state,
            desired_state: raw.desired_state,
        }
    }
}

/// Why the file can't be used.
#[derive(Debug, Error)]
pub enum StateError {
    /// It can't be read.
    #[error("failed to read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not the JSON that the agent writes.
    #[error("invalid JSON in `{}`", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
}

impl State {
    /// Reads the file of the profile at `home`; `None` if there is none.
    pub fn read(home: &ProfileHome) -> Result<Option<Self>, StateError> {
        let path = home.agent_state();
        match fsutil::read_if_there(&path) {
            Ok(None) => Ok(None),
            Ok(Some(bytes)) => serde_json::from_slice(&bytes)
                .map(|raw: Raw| Some(raw.into()))
                .map_err(|source| StateError::Json { path, source }),
            Err(source) => Err(StateError::Read { path, source }),
        }
    }

    /// Whether a gateway of the agent's wrote it.
    pub fn is_gateways(&self) -> bool {
        self.kind.as_deref() == Some(KIND)
    }

    /// Whether the gateway has started: from then on the file says what it serves.
    pub fn has_started(&self) -> bool {
        self.is_gateways() && matches!(self.gateway_state.as_deref(), Some("running" | "degraded"))
    }

    /// Whether the gateway ended because the agent's own command asked for it. A gateway that a signal ends, or that
    /// crashes, leaves what it was before.
    pub fn was_stopped(&self) -> bool {
        self.is_gateways() && self.gateway_state.as_deref() == Some("stopped")
    }
}
