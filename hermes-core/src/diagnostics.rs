//! What `doctor` finds, whoever finds it: checks, what is wrong, and what repairs it.
//!
//! A [`Check`] looks at one thing. The checks that are the same under every backend are in
//! [`doctor`](crate::doctor), a backend's own in its [`Driver::examine`](crate::Driver::examine); both
//! decide on one [`Snapshot`] of the home.

mod check;
mod permission;
mod snapshot;

use std::ffi::OsString;
use std::path::PathBuf;

use serde::{Serialize, Serializer};
use serde_json::Value;

pub use check::{Check, several};
pub use permission::{chown, is_accessible, me, owner, permit};
pub use snapshot::{Services, Snapshot};

/// What a check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It is as it should be.
    Ok,
    /// It is worth knowing, and nothing is wrong.
    Info,
    /// It could not be checked.
    Unknown,
    /// It works, but not for long, or not as intended.
    Warning,
    /// It does not work.
    Error,
}

impl Severity {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Info => "info",
            Self::Unknown => "unknown",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// Something that is wrong, and what repairs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The name of the check that found it.
    pub check: &'static str,
    /// [`Severity::Error`] or [`Severity::Warning`].
    pub severity: Severity,
    /// What is wrong.
    pub problem: String,
    /// What repairs it.
    pub remedy: Remedy,
}

/// What repairs a finding.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Remedy {
    /// A command, to be run as it stands.
    Run(String),
    /// A command that needs root.
    Root(String),
    /// What a person has to do.
    Do(String),
}

/// As an object: `how` is `run`, `root` or `do`, and `what` the command or the words.
impl Serialize for Remedy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (how, what) = match self {
            Self::Run(what) => ("run", what),
            Self::Root(what) => ("root", what),
            Self::Do(what) => ("do", what),
        };
        serializer.collect_map([("how", how), ("what", what)])
    }
}

impl std::fmt::Display for Remedy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Run(what) | Self::Do(what) => f.write_str(what),
            Self::Root(what) => write!(f, "as root: {what}"),
        }
    }
}

/// What a backend found: its own checks, and what it alone knows of those that are the same everywhere.
#[derive(Debug, Default)]
pub struct Examination {
    /// What the backend itself needs on this machine.
    pub backend: Vec<Check>,
    /// The services that it has for the gateways.
    pub services: Vec<Check>,
    /// PATH as the services get it; `None` if it can't be read.
    pub path: Option<OsString>,
    /// Where the backend writes besides the home.
    pub directory: Option<ServiceDirectory>,
    /// How many services there may be and how many there are, as the backend counts; null if there is no
    /// limit or it can't be read.
    pub capacity: Value,
}

impl Examination {
    /// The same with this capacity.
    #[must_use]
    pub fn with_capacity(self, capacity: &impl Serialize) -> Self {
        Self { capacity: serde_json::to_value(capacity).unwrap_or_default(), ..self }
    }
}

/// A directory outside of the home that a backend keeps its services in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceDirectory {
    /// The directory.
    pub path: PathBuf,
    /// The room that it needs.
    pub room: Room,
}

/// The room that a directory needs on its file system, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Less is an error.
    pub needed: u64,
    /// Less is a warning, if it is little of the whole file system, too.
    pub wanted: u64,
}
