//! The operator's intent for a gateway: `running` or `stopped`.
//!
//! The intent is a file in the profile's home. Only operator commands write it, durably, before they
//! act. A gateway's state, a signal or a container's stop never changes it, so after a restart of the
//! machine the gateways that the operator had started are started again.

use std::fmt;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::agent::{State, StateError};
use crate::fsutil;
use crate::home::ProfileHome;

/// The operator's intent for a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Intent {
    /// The gateway runs, and is started again after a restart of the machine.
    Running,
    /// The gateway stays down.
    Stopped,
}

impl Intent {
    /// Reads the intent of the profile at `home`. Without an intent file it reads the state file of the
    /// Python implementation; without that too, the intent is `stopped`.
    pub fn read(home: &ProfileHome) -> Result<Self, IntentError> {
        let path = home.intent();
        let failed = |kind| IntentError { path: path.clone(), kind };
        let Some(bytes) = fsutil::read_if_there(&path).map_err(|e| failed(Kind::Read(e)))? else {
            return Self::read_of_agent(home);
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

    /// Records the intent durably; blocks until it is on disk. A file that holds this intent already is not
    /// written again, so that a full disk refuses no command that changes nothing. Idempotent.
    pub fn write(self, home: &ProfileHome) -> Result<(), IntentError> {
        let path = home.intent();
        let text = format!("{self}\n");
        let written = match fsutil::read_if_there(&path) {
            // The command that wrote it may have been killed before the directory was on disk.
            Ok(Some(bytes)) if bytes == text.as_bytes() => fsutil::sync_directory(home.path()),
            _ => fsutil::write_durably(&path, text.as_bytes(), 0o644),
        };
        written.map_err(|error| IntentError { path, kind: Kind::Write(error) })
    }

    fn read_of_agent(home: &ProfileHome) -> Result<Self, IntentError> {
        let state = State::read(home).map_err(|error| match error {
            StateError::Read { path, source } => IntentError { path, kind: Kind::Read(source) },
            StateError::Json { path, source } => IntentError { path, kind: Kind::Json(source) },
        })?;
        let state = state.and_then(|state| state.desired_state.or(state.gateway_state));
        Ok(match state.as_deref() {
            // A killed gateway leaves the state that it was in.
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

/// Why an intent can't be read or recorded.
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
        let hint = "`hermes gateway start` or `hermes gateway stop` records it again";
        self.is_corruption().then_some(hint)
    }

    /// Whether the file exists but its content is invalid, so that recording an intent repairs it.
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
    #[error("the file holds neither `running` nor `stopped`")]
    Neither,
    #[error("the file is not the state file of a gateway: {0}")]
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
    fn a_written_intent_is_read() {
        let (_dir, home) = home();
        for intent in [Intent::Running, Intent::Stopped, Intent::Running] {
            intent.write(&home).unwrap();
            assert_eq!(Intent::read(&home).unwrap(), intent);
        }
    }

    #[test]
    fn a_recorded_intent_is_not_written_again() {
        use std::os::unix::fs::MetadataExt;
        let (_dir, home) = home();
        let inode = || fs::metadata(home.intent()).unwrap().ino();
        Intent::Running.write(&home).unwrap();
        let first = fs::File::open(home.intent()).unwrap();
        Intent::Running.write(&home).unwrap();
        assert_eq!(inode(), first.metadata().unwrap().ino(), "it is the same file");
        Intent::Stopped.write(&home).unwrap();
        assert_ne!(inode(), first.metadata().unwrap().ino());
        fs::remove_file(home.intent()).unwrap();
        fs::write(home.agent_state(), r#"{"desired_state":"running"}"#).unwrap();
        Intent::Running.write(&home).unwrap();
        assert!(home.intent().exists(), "the other program's file may change");
    }

    #[test]
    fn the_state_of_the_python_implementation_counts_where_there_is_no_intent() {
        let (_dir, home) = home();
        assert_eq!(Intent::read(&home).unwrap(), Intent::Stopped, "no file");
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
            fs::write(home.agent_state(), json).unwrap();
            assert_eq!(Intent::read(&home).unwrap(), intent, "{json}");
        }
        Intent::Stopped.write(&home).unwrap();
        fs::write(home.agent_state(), r#"{"desired_state":"running"}"#).unwrap();
        assert_eq!(Intent::read(&home).unwrap(), Intent::Stopped, "the intent file wins");
    }

    #[test]
    fn an_invalid_file_is_an_error_and_a_write_repairs_it() {
        let (_dir, home) = home();
        for broken in ["", "run", "running stopped", "\u{0}"] {
            fs::write(home.intent(), broken).unwrap();
            assert!(Intent::read(&home).unwrap_err().is_corruption(), "{broken:?}");
        }
        Intent::Running.write(&home).unwrap();
        assert_eq!(Intent::read(&home).unwrap(), Intent::Running);
        fs::remove_file(home.intent()).unwrap();
        for broken in ["", "[]", "{\"gateway_state\": 1}", "{"] {
            fs::write(home.agent_state(), broken).unwrap();
            assert!(Intent::read(&home).unwrap_err().is_corruption(), "{broken:?}");
        }
    }
}
