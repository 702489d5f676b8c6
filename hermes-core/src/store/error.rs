//! Why the store did not do what it was asked to.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::FIRST_PORT;
use crate::archive::ArchiveError;
use crate::config::ConfigError;
use crate::error_chain::is_denied;
use crate::error_class::Class;
use crate::intent::IntentError;
use crate::lock::LockError;
use crate::name::ProfileName;

/// Why the store did not do what it was asked to.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The name is taken.
    #[error("profile `{name}` already exists")]
    Exists {
        /// The name.
        name: ProfileName,
    },
    /// The name is not given away.
    #[error("the name `{name}` is reserved")]
    Reserved {
        /// The name.
        name: ProfileName,
    },
    /// No such profile.
    #[error("profile `{name}` does not exist")]
    Absent {
        /// The name.
        name: ProfileName,
    },
    /// The root profile stays.
    #[error("the profile `default` is the root home itself and is never deleted or renamed")]
    Default,
    /// Nothing replaces the root profile.
    #[error("the profile `default` is the root home itself and is never imported over")]
    OntoDefault,
    /// An export never replaces a file by itself.
    #[error("`{}` already exists", path.display())]
    FileExists {
        /// The file.
        path: PathBuf,
    },
    /// The archive was not made; nothing is left of it.
    #[error("failed to export profile `{name}`")]
    Export {
        /// The name.
        name: ProfileName,
        /// Why.
        source: ArchiveError,
    },
    /// The archive was refused, or not unpacked; nothing is left of it.
    #[error("failed to import profile `{name}`")]
    Import {
        /// The name.
        name: ProfileName,
        /// Why.
        source: ArchiveError,
    },
    /// What was unpacked did not become a profile; nothing is left of it.
    #[error("failed to import profile `{name}`")]
    Unfit {
        /// The name.
        name: ProfileName,
        /// Why.
        source: io::Error,
    },
    /// Every port is named by some profile.
    #[error("no free port from {FIRST_PORT} up is left")]
    NoPort,
    /// Making the profile failed; nothing is left of it.
    #[error("failed to create profile `{name}`")]
    Create {
        /// The name.
        name: ProfileName,
        /// Why.
        source: io::Error,
    },
    /// Removing the profile failed.
    #[error("failed to delete profile `{name}`")]
    Delete {
        /// The name.
        name: ProfileName,
        /// Why.
        source: io::Error,
    },
    /// What an interrupted command left could not be removed.
    #[error("failed to remove what an interrupted command left at `{}`", path.display())]
    Leftover {
        /// Where it is.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What would be in the way of a rename. Nothing was changed.
    #[error("`{}` is in the way of the new name", path.display())]
    InTheWay {
        /// What is there already.
        path: PathBuf,
    },
    /// The profile's gateway runs, under a supervisor that is not asked here.
    #[error("`{name}` was not renamed: its gateway runs {}", match pid {
        Some(pid) => format!("as {pid}"),
        None => "elsewhere".to_owned(),
    })]
    Runs {
        /// The profile.
        name: ProfileName,
        /// Its gateway's process; `None` if it lives in another pid namespace.
        pid: Option<u32>,
    },
    /// Renaming the profile failed.
    #[error("failed to rename profile `{from}` to `{to}`")]
    Rename {
        /// Its name.
        from: ProfileName,
        /// What it was to be called.
        to: ProfileName,
        /// Why.
        source: io::Error,
    },
    /// Renaming the profile failed, and so did going back. The journal stays.
    #[error("{failed}, and could not be undone")]
    Torn {
        /// What failed first.
        failed: Box<StoreError>,
        /// Why it could not be undone.
        source: Box<StoreError>,
    },
    /// The profiles can't be read.
    #[error("failed to look for profiles at `{}`", path.display())]
    List {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The sticky choice can't be read or changed.
    #[error("failed to read or write the chosen profile in `{}`", path.display())]
    Active {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The port can't be written.
    #[error("failed to write the port into `{}`", path.display())]
    Port {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The intent can't be read or recorded.
    #[error(transparent)]
    Intent(#[from] IntentError),
    /// Another command has the lock.
    #[error(transparent)]
    Busy(LockError),
}

impl StoreError {
    /// Which class of failure it is.
    pub fn class(&self) -> Class {
        match self {
            Self::Absent { name } => Class::NoSuchProfile(name.clone()),
            Self::Busy(LockError::Busy { waited, .. }) => Class::TimedOut(*waited),
            error if is_denied(error) => Class::Denied,
            _ => Class::Failed,
        }
    }

    /// What the user can do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Absent { name } => format!(
                "`hermes profile list` lists all; `hermes profile create {name}` creates it"
            ),
            Self::Exists { name } => format!("`hermes profile show {name}` shows it"),
            Self::Reserved { .. } => "choose another name".to_owned(),
            Self::InTheWay { .. } => "move it away, or choose another name".to_owned(),
            Self::Runs { .. } => ELSEWHERE.to_owned(),
            Self::Torn { .. } => "`hermes boot` completes it".to_owned(),
            Self::Busy(_) => "try again when it is done".to_owned(),
            error if is_denied(error) => "run it as the user who owns the home".to_owned(),
            Self::FileExists { .. } => "`--force` replaces it".to_owned(),
            Self::OntoDefault => "`--name NAME` gives it another name".to_owned(),
            Self::Export { source, .. } | Self::Import { source, .. } => source.hint()?.to_owned(),
            Self::Config(error) => error.hint()?,
            Self::Intent(error) => error.hint()?.to_owned(),
            _ => return None,
        })
    }
}

/// What to do about a gateway that runs where this command can't reach it.
const ELSEWHERE: &str = "it belongs to another supervision tree, or was started by hand: name its tree \
     with --scandir, or end it";
