//! Why the store did not do what it was asked to.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::FIRST_PORT;
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
    #[error("the profile `default` is the root home itself and is never deleted")]
    Default,
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
