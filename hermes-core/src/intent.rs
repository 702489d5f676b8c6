//! What the operator wants of a gateway: `running` or `stopped`.
//!
//! The intent has a file of its own in the profile's home, written by operator commands alone and
//! durably, before the command acts. A gateway's state, a signal or a container's stop never
//! changes it, so after a restart of the machine the operator finds what they had asked for.

use std::fmt;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::fsutil;
use crate::home::ProfileHome;

/// What the operator wants of a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Intent {
    /// The gateway is to run, and to be brought back after a restart.
    Running,
    /// The gateway is to stay down.
    Stopped,
}

impl Intent {
    /// Reads the intent of the profile at `home`. Where there is no intent file, the state file of
    /// the Python implementation is read; where that is missing too, the intent is `stopped`.
    pub fn read(home: &ProfileHome) -> Result<Self, IntentError> {
        let path = home.intent();
        let failed = |kind| IntentError { path: path.clone(), kind };
        let Some(bytes) = fsutil::read_if_there(&path).map_err(|e| failed(Kind::Read(e)))? else {
            return Self::read_legacy(home);
        };
        match bytes.trim_ascii() {
            b"running" => Ok(Self::Running),
            b"stopped" => Ok(Self::Stopped),
            _ => Err(failed(Kind::Neither)),
        }
    }

    /// Whether the operator wants the gateway up. An intent that can't be read (`None`) counts as wanted: nobody
    /// can say that it is met.
    pub fn is_wanted(intent: Option<Self>) -> bool {
        intent != Some(Self::Stopped)
    }

    /// Records the intent durably; returns when it is on disk. Idempotent.
    pub fn write(self, home: &ProfileHome) -> Result<(), IntentError> {
        let path = home.intent();
        fsutil::write_durably(&path, format!("{self}\n").as_bytes(), 0o644)
            .map_err(|error| IntentError { path, kind: Kind::Write(error) })
    }

    fn read_legacy(home: &ProfileHome) -> Result<Self, IntentError> {
        let path = home.legacy_state();
        let failed = |kind| IntentError { path: path.clone(), kind };
        let Some(bytes) = fsutil::read_if_there(&path).map_err(|e| failed(Kind::Read(e)))? else {
            return Ok(Self::Stopped);
        };
        let state: LegacyState =
            serde_json::from_slice(&bytes).map_err(|e| failed(Kind::Json(e)))?;
        let word = state.desired_state.or(state.gateway_state);
        Ok(match word.as_deref() {
            // A hard kill leaves the state the gateway was passing through.
            Some("running" | "starting" | "draining" | "degraded") => Self::Running,
            _ => Self::Stopped,
        })
    }
}

impl fmt::Display for Intent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Running => "running",
            Self::Stopped => "stopped",
        })
    }
}

/// The two words of `gateway_state.json` that say something about intent.
#[derive(Deserialize)]
struct LegacyState {
    desired_state: Option<String>,
    gateway_state: Option<String>,
}

/// An intent that can't be read or recorded.
#[derive(Debug, Error)]
#[error("{} `{}`", match kind {
    Kind::Write(_) => "failed to record the intent in",
    _ => "failed to read the intent from",
}, path.display())]
pub struct IntentError {
    path: PathBuf,
    #[source]
    kind: Kind,
}

impl IntentError {
    /// What the user can do.
    pub fn hint(&self) -> Option<&'static str> {
        let anew = "`hermes gateway start` or `hermes gateway stop` records it anew";
        self.is_corruption().then_some(anew)
    }

    /// Whether the file was there and made no sense, so that recording an intent mends it.
    pub fn is_corruption(&self) -> bool {
        match &self.kind {
            Kind::Neither | Kind::Json(_) => true,
            Kind::Read(error) => error.kind() == io::ErrorKind::InvalidData,
            Kind::Write(_) => false,
        }
    }
}

#[derive(Debug, Error)]
enum Kind {
    #[error("{0}")]
    Read(#[source] io::Error),
    #[error("{0}")]
    Write(#[source] io::Error),
    #[error("it says neither `running` nor `stopped`")]
    Neither,
    #[error("not the state file of a gateway: {0}")]
    Json(serde_json::Error),
}

#[cfg(test)]
mod tests {
    use fs_err as fs;

    use super::*;
    use crate::{ProfileName, RootHome};

    fn home() -> (tempfile::TempDir, ProfileHome) {
        let dir = tempfile::tempdir().unwrap();
        let home = RootHome::new(dir.path()).profile(&ProfileName::default_profile());
        (dir, home)
    }

    #[test]
    fn what_was_written_is_read() {
        let (_dir, home) = home();
        for intent in [Intent::Running, Intent::Stopped, Intent::Running] {
            intent.write(&home).unwrap();
            assert_eq!(Intent::read(&home).unwrap(), intent);
        }
    }

    #[test]
    fn the_state_of_the_python_implementation_counts_where_there_is_no_intent() {
        let (_dir, home) = home();
        assert_eq!(Intent::read(&home).unwrap(), Intent::Stopped, "nothing there");
        let cases = [
            (r#"{"gateway_state":"running"}"#, Intent::Running),
            (r#"{"gateway_state":"starting"}"#, Intent::Running),
            (r#"{"gateway_state":"draining"}"#, Intent::Running),
            (r#"{"gateway_state":"degraded"}"#, Intent::Running),
            (r#"{"gateway_state":"stopped"}"#, Intent::Stopped),
            (r#"{"gateway_state":"startup_failed"}"#, Intent::Stopped),
            (r#"{"gateway_state":"running","desired_state":"stopped"}"#, Intent::Stopped),
            (r#"{"gateway_state":"stopped","desired_state":"running"}"#, Intent::Running),
            (r#"{"gateway_state":"running","desired_state":null}"#, Intent::Running),
            (r#"{}"#, Intent::Stopped),
        ];
        for (json, intent) in cases {
            fs::write(home.legacy_state(), json).unwrap();
            assert_eq!(Intent::read(&home).unwrap(), intent, "{json}");
        }
        Intent::Stopped.write(&home).unwrap();
        fs::write(home.legacy_state(), r#"{"desired_state":"running"}"#).unwrap();
        assert_eq!(Intent::read(&home).unwrap(), Intent::Stopped, "ours wins");
    }

    #[test]
    fn what_makes_no_sense_is_an_error_and_mended_by_a_write() {
        let (_dir, home) = home();
        for broken in ["", "run", "running stopped", "\u{0}"] {
            fs::write(home.intent(), broken).unwrap();
            assert!(Intent::read(&home).unwrap_err().is_corruption(), "{broken:?}");
        }
        Intent::Running.write(&home).unwrap();
        assert_eq!(Intent::read(&home).unwrap(), Intent::Running);
        fs::remove_file(home.intent()).unwrap();
        for broken in ["", "[]", "{\"gateway_state\": 1}", "{"] {
            fs::write(home.legacy_state(), broken).unwrap();
            assert!(Intent::read(&home).unwrap_err().is_corruption(), "{broken:?}");
        }
    }
}
