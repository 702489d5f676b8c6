//! Reconciliation: which actions bring the services of a backend in line with the profiles of a home.
//!
//! [`plan`] is a pure function from facts to actions; [`Supervisor::boot`](crate::Supervisor::boot) gathers
//! the facts and executes the plan. One bad profile costs its own action and no other.

mod plan;
mod words;

use std::path::PathBuf;

use serde::Serialize;

use crate::intent::Intent;
use crate::name::ProfileName;

pub use plan::plan;

/// What is known of one profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileFact {
    /// Its name.
    pub name: ProfileName,
    /// What the operator wants, or why that is unknown.
    pub intent: Result<Intent, String>,
    /// The port its gateway listens on, if it names one. It matters where a gateway is to be started.
    pub port: Option<u16>,
    /// Whether files of a gateway that is no more lie about.
    pub stale_files: bool,
}

/// What a backend knows of its services: [`Driver::survey`](crate::Driver::survey).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Survey {
    /// The services that can be read.
    pub services: Vec<ServiceFact>,
    /// Services that can't be read, each with the reason.
    pub unreadable: Vec<(ProfileName, String)>,
    /// What interrupted commands left beside the services.
    pub leftovers: Vec<PathBuf>,
}

/// What is known of one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceFact {
    /// Whose it is.
    pub profile: ProfileName,
    /// Whether every supervisor runs that the service needs. A service without is removed and created anew.
    pub supervised: bool,
    /// Whether the service is wanted up, also by the next supervisor.
    pub wanted: Wanted,
    /// Whether a gateway process runs.
    pub running: bool,
    /// Whether it is parked.
    pub parked: bool,
    /// Whether its scripts are those of this version.
    pub current: bool,
}

/// Why a slot is removed that no profile wants.
pub(crate) const PROFILE_GONE: &str = "its profile is gone";

/// What a slot says of whether its service is wanted up. Its record and its `down` file may differ:
/// after a plain `s6-svc -d`, or while a new supervisor has not written its first record yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Both say up.
    Up,
    /// Both say down.
    Down,
    /// They differ.
    Unclear,
}

/// Everything that boot decides on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// The profiles, `default` first, then by name.
    pub profiles: Vec<ProfileFact>,
    /// Directories that look like profiles and can't be one, each with the reason.
    pub skipped: Vec<(PathBuf, String)>,
    /// The slots.
    pub services: Vec<ServiceFact>,
    /// Slots that can't be read, each with the reason.
    pub unreadable: Vec<(ProfileName, String)>,
    /// What interrupted commands left in the scan directory.
    pub leftovers: Vec<PathBuf>,
}

/// One thing to do (or to say), in the order of the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "action", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Action {
    /// Finish a rename that a crash interrupted after the home was moved.
    FinishRename {
        /// Its new name.
        profile: ProfileName,
        /// Its old name, and anything worth saying.
        detail: String,
    },
    /// Forget a rename that a crash interrupted before anything was moved.
    UndoRename {
        /// Its name, which stays.
        profile: ProfileName,
        /// What it was to be called.
        detail: String,
    },
    /// Remove what an interrupted command left.
    Clear {
        /// The directory.
        path: PathBuf,
    },
    /// Take a slot away.
    Remove {
        /// Whose.
        profile: ProfileName,
        /// Why.
        detail: &'static str,
    },
    /// Delete the files of a gateway that is no more.
    Sweep {
        /// Whose.
        profile: ProfileName,
    },
    /// Make a slot, with its gateway down.
    Register {
        /// Whose.
        profile: ProfileName,
        /// Anything worth saying of it.
        detail: String,
    },
    /// Start a gateway, making its slot if need be.
    Start {
        /// Whose.
        profile: ProfileName,
    },
    /// Stop a gateway that is not wanted.
    Stop {
        /// Whose.
        profile: ProfileName,
    },
    /// Leave a slot as it is.
    Keep {
        /// Whose.
        profile: ProfileName,
        /// Anything worth saying of it.
        detail: String,
    },
    /// Pass over what is no profile, or a profile that can't be read.
    Skip {
        /// A profile's name, or a directory.
        what: String,
        /// Why.
        detail: String,
    },
}

impl Action {
    /// Whether it is more than a remark.
    pub fn changes_something(&self) -> bool {
        !matches!(self, Self::Keep { .. } | Self::Skip { .. })
    }

    /// Whose action it is; `None` for one that is about no profile.
    pub fn profile(&self) -> Option<&ProfileName> {
        match self {
            Self::FinishRename { profile, .. }
            | Self::UndoRename { profile, .. }
            | Self::Remove { profile, .. }
            | Self::Sweep { profile }
            | Self::Register { profile, .. }
            | Self::Start { profile }
            | Self::Stop { profile }
            | Self::Keep { profile, .. } => Some(profile),
            Self::Clear { .. } | Self::Skip { .. } => None,
        }
    }

    /// What it does, as the end of "failed to …".
    pub fn operation(&self) -> String {
        match self {
            Self::FinishRename { profile, .. } => format!("complete the rename to `{profile}`"),
            Self::UndoRename { profile, .. } => format!("undo the rename of `{profile}`"),
            Self::Clear { path } => format!("remove `{}`", path.display()),
            Self::Remove { profile, .. } => format!("unregister the gateway of `{profile}`"),
            Self::Sweep { profile } => format!("delete stale files of `{profile}`"),
            Self::Register { profile, .. } => format!("register the gateway of `{profile}`"),
            Self::Start { profile } => format!("start the gateway of `{profile}`"),
            Self::Stop { profile } => format!("stop the gateway of `{profile}`"),
            Self::Keep { profile, .. } => format!("keep the service of `{profile}`"),
            Self::Skip { what, .. } => format!("skip `{what}`"),
        }
    }

    /// Its verb and its detail in a record of what was done.
    pub fn record(&self) -> (&'static str, String) {
        match self {
            Self::FinishRename { detail, .. } => ("rename-finished", detail.clone()),
            Self::UndoRename { detail, .. } => ("rename-undone", detail.clone()),
            Self::Clear { path } => ("cleared", path.display().to_string()),
            Self::Remove { detail, .. } => ("removed", (*detail).to_owned()),
            Self::Sweep { .. } => ("swept", String::new()),
            Self::Register { detail, .. } => ("registered", detail.clone()),
            Self::Start { .. } => ("started", String::new()),
            Self::Stop { .. } => ("stopped", String::new()),
            Self::Keep { detail, .. } => ("kept", detail.clone()),
            Self::Skip { what, detail } => ("skipped", format!("{what}: {detail}")),
        }
    }
}

/// What became of one action.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// The action.
    #[serde(flatten)]
    pub action: Action,
    /// The intent beforehand, where it could be read.
    pub prior: Option<Intent>,
    /// Why it failed; `None` if it didn't.
    pub error: Option<String>,
}
