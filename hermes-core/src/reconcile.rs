//! Reconciliation: which actions bring the services of a backend in line with the profiles of a home.
//!
//! [`plan`] is a pure function from facts to actions; [`Supervisor::boot`](crate::Supervisor::boot) gathers
//! the facts and executes the plan. One bad profile costs its own action and no other.

mod plan;
mod words;

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::Serialize;

use crate::intent::Intent;
use crate::name::ProfileName;
use crate::store::Skipped;

pub use plan::{mends, plan};

/// A profile, as far as reconciliation needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileFact {
    /// Its name.
    pub name: ProfileName,
    /// The operator's intent, or the reason why it can't be read.
    pub intent: Result<Intent, String>,
    /// The port that its configuration names. Needed only if a gateway is to be started.
    pub port: Option<u16>,
    /// Why its gateway is left alone: it runs outside of any supervisor.
    pub foreign: Option<String>,
    /// Whether `default`'s gateway serves the profile, or may; needed only for a wanted one.
    pub by_default: Option<ByDefault>,
    /// Whether files of a gateway that no longer exists are left in its home.
    pub stale_files: bool,
}

/// What `default`'s gateway is to a profile whose `gateway.topology` is `shared`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByDefault {
    /// It serves the profile: the profile's own service stays down.
    Serves,
    /// It is coming up, and may serve the profile then: the profile's own gateway is not started before that is known.
    MayServe,
}

impl ByDefault {
    /// Why the profile's own gateway is not started.
    pub fn why(self) -> &'static str {
        match self {
            Self::Serves => "`default`'s gateway serves it",
            Self::MayServe => "`default`'s gateway is coming up, and may serve it",
        }
    }
}

/// All services of a backend: [`Driver::survey`](crate::Driver::survey).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Survey {
    /// The services that can be read.
    pub services: Vec<ServiceFact>,
    /// Services that can't be read, each with the reason.
    pub unreadable: Vec<(ProfileName, String)>,
    /// Leftovers of interrupted commands beside the services.
    pub leftovers: Vec<PathBuf>,
    /// Processes that SIGSTOP has suspended although a gateway needs them. A gateway itself is not among them: somebody
    /// may have suspended it on purpose.
    pub suspended: Vec<Suspended>,
    /// The profiles whose services the operator had removed.
    pub unregistered: BTreeSet<ProfileName>,
}

/// A service, as far as reconciliation needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceFact {
    /// Its profile.
    pub profile: ProfileName,
    /// Whether all its supervisors run. If not, the service is removed and created again.
    pub supervised: bool,
    /// Whether its supervisor, and the next one, keep it up.
    pub wanted: Wanted,
    /// Whether a gateway process runs under its supervisor.
    pub running: bool,
    /// Whether another process is the gateway: it was started by hand, or its supervisor was killed.
    pub orphaned: bool,
    /// Whether processes may remain that no supervisor watches: its gateway has lost its supervisor and runs, or died
    /// after that, so that nobody has looked yet for what it left.
    pub unclean: bool,
    /// Whether a former logger, whose supervisor was killed, keeps the next one from logging.
    pub logger_orphaned: bool,
    /// Whether it is parked.
    pub parked: bool,
    /// Whether an operator stopped it and that could not be recorded as the intent: boot starts it, the reconciler
    /// does not.
    pub held_down: bool,
    /// Whether this version wrote its scripts.
    pub current: bool,
}

impl ServiceFact {
    /// A service of this version with which nothing is wrong, whose gateway is down. A backend changes what it finds.
    pub fn idle(profile: ProfileName) -> Self {
        Self {
            profile,
            supervised: true,
            wanted: Wanted::Down,
            running: false,
            orphaned: false,
            unclean: false,
            logger_orphaned: false,
            parked: false,
            held_down: false,
            current: true,
        }
    }
}

/// A process of the backend that SIGSTOP has suspended, so that it does nothing for its gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Suspended {
    /// The profile of its service, if it belongs to one.
    pub profile: Option<ProfileName>,
    /// Its process ID.
    pub pid: u32,
    /// Its ID and name, for messages.
    pub title: String,
}

/// The reason for removing a service without a profile.
pub(crate) const PROFILE_GONE: &str = "its profile is gone";

/// Whether the supervisor keeps a service up. For s6, its status record and its `down` file may differ:
/// after a plain `s6-svc -d`, or until a new supervisor has written its first record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Now and after a restart of the supervisor.
    Up,
    /// Neither now nor after a restart of the supervisor.
    Down,
    /// Now and after a restart of the supervisor differ.
    Unclear,
}

/// The facts from which boot makes its plan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// The profiles, `default` first, then by name.
    pub profiles: Vec<ProfileFact>,
    /// Directories that look like profiles but are not.
    pub skipped: Vec<Skipped>,
    /// The services.
    pub services: Vec<ServiceFact>,
    /// Services that can't be read, each with the reason.
    pub unreadable: Vec<(ProfileName, String)>,
    /// Leftovers of interrupted commands.
    pub leftovers: Vec<PathBuf>,
    /// Suspended processes of the backend.
    pub suspended: Vec<Suspended>,
    /// The profiles whose services the operator had removed; boot creates them, the reconciler does not.
    pub unregistered: BTreeSet<ProfileName>,
}

/// A step of the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "action", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Action {
    /// Complete a rename that a crash interrupted after the home was moved.
    FinishRename {
        /// Its new name.
        profile: ProfileName,
        /// Its old name, and notes.
        detail: String,
    },
    /// Undo a rename that a crash interrupted before the home was moved.
    UndoRename {
        /// Its name, which does not change.
        profile: ProfileName,
        /// The new name that it did not get.
        detail: String,
    },
    /// Remove a leftover of an interrupted command.
    Clear {
        /// The directory.
        path: PathBuf,
    },
    /// Remove a service.
    Remove {
        /// The profile.
        profile: ProfileName,
        /// The reason.
        detail: &'static str,
    },
    /// Delete the files of a gateway that no longer exists.
    Sweep {
        /// The profile.
        profile: ProfileName,
    },
    /// End a logger that outlived its supervisor, so that the next one logs.
    ReplaceLogger {
        /// The profile.
        profile: ProfileName,
    },
    /// Resume a suspended process of the backend.
    Resume(Suspended),
    /// Create a service, with its gateway down.
    Register {
        /// The profile.
        profile: ProfileName,
        /// Notes.
        detail: String,
    },
    /// Start a gateway, and create its service if it has none.
    Start {
        /// The profile.
        profile: ProfileName,
    },
    /// Stop a gateway whose intent is not `running`.
    Stop {
        /// The profile.
        profile: ProfileName,
    },
    /// Stop a gateway whose profile `default`'s gateway serves. Its intent stays.
    StandDown {
        /// The profile.
        profile: ProfileName,
    },
    /// Leave a service unchanged.
    Keep {
        /// The profile.
        profile: ProfileName,
        /// Notes.
        detail: String,
    },
    /// Leave alone a gateway that runs outside of any supervisor.
    Leave {
        /// The profile.
        profile: ProfileName,
        /// Its process, and what the user can do.
        detail: String,
    },
    /// Skip a directory that is not a profile.
    Skip {
        /// The directory.
        what: String,
        /// The reason.
        detail: String,
    },
    /// Leave alone what can't be read: a profile, its service, or the journal of a rename.
    Unreadable {
        /// A profile's name, or a path.
        what: String,
        /// The reason.
        detail: String,
    },
}

impl Action {
    /// Whether it changes anything.
    pub fn changes_something(&self) -> bool {
        !matches!(
            self,
            Self::Keep { .. } | Self::Leave { .. } | Self::Skip { .. } | Self::Unreadable { .. }
        )
    }

    /// Its profile, if it has one.
    pub fn profile(&self) -> Option<&ProfileName> {
        match self {
            Self::FinishRename { profile, .. }
            | Self::UndoRename { profile, .. }
            | Self::Remove { profile, .. }
            | Self::Sweep { profile }
            | Self::ReplaceLogger { profile }
            | Self::Register { profile, .. }
            | Self::Start { profile }
            | Self::Stop { profile }
            | Self::StandDown { profile }
            | Self::Keep { profile, .. }
            | Self::Leave { profile, .. } => Some(profile),
            Self::Resume(suspended) => suspended.profile.as_ref(),
            Self::Clear { .. } | Self::Skip { .. } | Self::Unreadable { .. } => None,
        }
    }

    /// The action, as the end of "failed to …".
    pub fn operation(&self) -> String {
        match self {
            Self::FinishRename { profile, .. } => format!("complete the rename to `{profile}`"),
            Self::UndoRename { profile, .. } => format!("undo the rename of `{profile}`"),
            Self::Clear { path } => format!("remove `{}`", path.display()),
            Self::Remove { profile, .. } => format!("unregister the gateway of `{profile}`"),
            Self::Sweep { profile } => format!("delete stale files of `{profile}`"),
            Self::ReplaceLogger { profile } => format!("replace the logger of `{profile}`"),
            Self::Resume(suspended) => format!("resume {}", suspended.title),
            Self::Register { profile, .. } => format!("register the gateway of `{profile}`"),
            Self::Start { profile } => format!("start the gateway of `{profile}`"),
            Self::Stop { profile } | Self::StandDown { profile } => {
                format!("stop the gateway of `{profile}`")
            }
            Self::Keep { profile, .. } => format!("keep the service of `{profile}`"),
            Self::Leave { profile, .. } => format!("leave the gateway of `{profile}` alone"),
            Self::Skip { what, .. } => format!("skip `{what}`"),
            Self::Unreadable { what, .. } => format!("read `{what}`"),
        }
    }

    /// Its verb and its detail in the boot log.
    pub fn record(&self) -> (&'static str, String) {
        match self {
            Self::FinishRename { detail, .. } => ("rename-finished", detail.clone()),
            Self::UndoRename { detail, .. } => ("rename-undone", detail.clone()),
            Self::Clear { path } => ("cleared", path.display().to_string()),
            Self::Remove { detail, .. } => ("removed", (*detail).to_owned()),
            Self::Sweep { .. } => ("swept", String::new()),
            Self::ReplaceLogger { .. } => ("logger-replaced", String::new()),
            Self::Resume(suspended) => ("resumed", suspended.title.clone()),
            Self::Register { detail, .. } => ("registered", detail.clone()),
            Self::Start { .. } => ("started", String::new()),
            Self::Stop { .. } => ("stopped", String::new()),
            Self::StandDown { .. } => ("stopped", ByDefault::Serves.why().to_owned()),
            Self::Keep { detail, .. } => ("kept", detail.clone()),
            Self::Leave { detail, .. } => ("left", detail.clone()),
            Self::Skip { what, detail } => ("skipped", format!("{what}: {detail}")),
            Self::Unreadable { what, detail } => ("unreadable", format!("{what}: {detail}")),
        }
    }
}

/// The outcome of an action.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// The action.
    #[serde(flatten)]
    pub action: Action,
    /// The intent before the action, if it could be read.
    pub prior: Option<Intent>,
    /// The error; `None` on success.
    pub error: Option<String>,
}
