//! Why the store did not do what it was asked to.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::FIRST_PORT;
use crate::archive::ArchiveError;
use crate::config::ConfigError;
use crate::intent::IntentError;
use crate::lock::LockError;
use crate::name::ProfileName;

/// Why the store did not do what it was asked to.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The name is taken.
    #[error("there is a profile `{name}` already")]
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
    #[error("there is no profile `{name}`")]
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
    #[error("there is a file `{}` already", path.display())]
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
