//! The findings of `doctor` and their remedies, for all backends.
//!
//! The checks that are the same under every backend are in
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
pub use permission::{Expected, chown, is_accessible, is_expected, me, owner, permit};
pub use snapshot::{Services, Snapshot};

/// The result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nothing is wrong.
    Ok,
    /// Information.
    Info,
    /// It could not be checked.
    Unknown,
    /// It works now, but may fail, or does not work as intended.
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

/// A problem and its remedy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The name of the check that found it.
    pub check: &'static str,
    /// [`Severity::Error`] or [`Severity::Warning`].
    pub severity: Severity,
    /// The problem.
    pub problem: String,
    /// The remedy.
    pub remedy: Remedy,
}

/// The remedy for a finding.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Remedy {
    /// A command.
    Run(String),
    /// A command that needs root.
    Root(String),
    /// A task for a person.
    Do(String),
}

/// As an object: `how` is `run`, `root` or `do`, and `what` is the command or the task.
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

/// The results of a backend: its own checks, and its facts for the shared checks.
#[derive(Debug, Default)]
pub struct Examination {
    /// The checks of the backend itself.
    pub backend: Vec<Check>,
    /// The checks of its services.
    pub services: Vec<Check>,
    /// PATH as the services get it; `None` if it can't be read.
    pub path: Option<OsString>,
    /// `HERMES_AGENT` as the services get it, if it is set.
    pub agent: Option<OsString>,
    /// `HOME` as the services get it; `None` if it can't be read.
    pub user_home: Option<PathBuf>,
    /// The directory outside of the home in which the backend writes.
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

/// A directory outside of the home with a backend's services.
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
