//! Errors of this crate, with the class and hint of each.

use std::io;
use std::path::PathBuf;

use hermes_core::Kind;
use hermes_core::driver::{Class, DriverError};
use hermes_core::home::{HomeError, env};
use hermes_core::manager::ManagerError;
use hermes_core::name::NameError;
use hermes_core::store::StoreError;
use hermes_core::supervisor::ProfileError;
use thiserror::Error;

/// An error of this crate.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no root home.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// A profile name is invalid.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The named directory has no absolute path.
    #[error("`{}` is not a directory", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The path of this program is unknown.
    #[error("failed to find the path of this program")]
    Program {
        /// Why.
        source: io::Error,
    },
    /// `HERMES_BACKEND` names no backend of this program.
    #[error("invalid value `{name}` for {}", env::BACKEND)]
    UnknownBackend {
        /// The value.
        name: String,
        /// The backends of this program.
        known: Vec<Kind>,
    },
    /// `HERMES_ROLE` is neither `owner` nor `client`.
    #[error("invalid value `{value}` for {}", env::ROLE)]
    Role {
        /// The value.
        value: String,
    },
    /// Another machine or container runs the gateways.
    #[error("{}={} supervises nothing", env::ROLE, env::ROLE_CLIENT)]
    Client {
        /// Names their owner.
        source: DriverError,
    },
    /// `--system` was given, and the backend in charge is not systemd.
    #[error("`--system` needs systemd, but the backend is {kind}")]
    NoSystemManager {
        /// The backend in charge.
        kind: Kind,
    },
    /// The backend in charge can't be used.
    #[error("failed to use {kind}")]
    Backend {
        /// The backend.
        kind: Kind,
        /// Why.
        source: DriverError,
    },
    /// The supervisor does not answer.
    #[error("failed to reach the supervisor")]
    Unreachable {
        /// Why.
        source: DriverError,
    },
    /// An operation on a gateway failed.
    #[error(transparent)]
    Manager(#[from] ManagerError),
    /// An operation on a profile's files failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<ProfileError> for Error {
    fn from(error: ProfileError) -> Self {
        match error {
            ProfileError::Store(error) => error.into(),
            ProfileError::Manager(error) => error.into(),
        }
    }
}

impl Error {
    /// The class of the error, which decides the exit code.
    pub fn class(&self) -> Class {
        match self {
            Self::Home(_)
            | Self::Name(_)
            | Self::Directory { .. }
            | Self::UnknownBackend { .. }
            | Self::Role { .. }
            | Self::NoSystemManager { .. } => Class::Usage,
            Self::Program { .. } => Class::Failed,
            Self::Backend { source, .. }
            | Self::Unreachable { source }
            | Self::Client { source } => source.class().clone(),
            Self::Manager(error) => error.class(),
            Self::Store(error) => error.class(),
        }
    }

    /// What the user can do about it, if known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::UnknownBackend { name, .. } if name == env::BACKEND_KUBERNETES => Some(
                "this program was built without it; `cargo build -p hermes-cli --features kubernetes` builds one with it"
                    .to_owned(),
            ),
            Self::UnknownBackend { known, .. } => {
                let known: Vec<_> = known.iter().map(|kind| kind.name()).collect();
                Some(format!("known backends: {}", known.join(", ")))
            }
            Self::Role { .. } => Some(
                "use `owner`, which supervises gateways, or `client`, which does not".to_owned(),
            ),
            Self::Backend { source, .. }
            | Self::Unreachable { source }
            | Self::Client { source } => source.hint().map(str::to_owned),
            Self::Manager(error) => error.hint(),
            Self::Store(error) => error.hint(),
            _ => None,
        }
    }
}
