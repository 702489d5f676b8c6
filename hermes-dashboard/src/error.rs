//! Why the dashboard can't be served, and whether another try can help.

use std::io;
use std::path::PathBuf;

use hermes_core::home::env;
use hermes_core::listeners;
use thiserror::Error;

/// Why the dashboard can't be served. What a request is refused for is no error of this type: the client is
/// sent it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DashboardError {
    /// `HERMES_DASHBOARD_PORT` is not the number of a port.
    #[error("`{value}` is no value of {}", env::DASHBOARD_PORT)]
    Port {
        /// The value.
        value: String,
    },
    /// The origin is not a scheme and an authority.
    #[error("`{value}` is no origin")]
    Origin {
        /// The value.
        value: String,
    },
    /// The token can't be created.
    #[error("failed to make the dashboard's token in `{}`", path.display())]
    MakeToken {
        /// Its file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The token can't be used.
    #[error("the dashboard's token in `{}` is of no use", path.display())]
    Token {
        /// Its file.
        path: PathBuf,
        /// Why.
        source: UnusableToken,
    },
    /// The system refused what the dashboard needs before it listens.
    #[error("failed to prepare the dashboard")]
    Prepare {
        /// Why.
        source: io::Error,
    },
    /// The address can't be listened on.
    #[error("failed to listen on {host} port {port}")]
    Listen {
        /// The address.
        host: String,
        /// The port.
        port: u16,
        /// Why.
        source: io::Error,
    },
    /// The thread that observes the gateways did not start.
    #[error("failed to start watching")]
    Watch {
        /// Why.
        source: io::Error,
    },
    /// The system refused something else.
    #[error("the dashboard failed")]
    Serve {
        /// Why.
        source: io::Error,
    },
}

/// Why a token can't be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum UnusableToken {
    /// It can't be read.
    #[error(transparent)]
    Read(#[from] io::Error),
    /// It is not a regular file.
    #[error("it is not a file")]
    NotAFile,
    /// Other users may read or write it.
    #[error("others may use it: its mode is {mode:04o} and not 0600")]
    OpenToOthers {
        /// Its mode.
        mode: u32,
    },
    /// It belongs to another user.
    #[error("it belongs to uid {owner} and not to {me}")]
    Foreign {
        /// Its owner.
        owner: u32,
        /// The user of this process.
        me: u32,
    },
    /// It is short enough to be guessed, or not text.
    #[error("it is not {shortest} letters and digits or more")]
    Weak {
        /// The length of the shortest token.
        shortest: usize,
    },
}

impl DashboardError {
    /// Whether another try can't help until somebody changes something.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Port { .. } | Self::Origin { .. } | Self::Token { .. } => true,
            Self::Listen { source, .. } => listeners::is_permanent(source),
            Self::MakeToken { .. }
            | Self::Prepare { .. }
            | Self::Watch { .. }
            | Self::Serve { .. } => false,
        }
    }

    /// What the user can do about it, where that is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Port { .. } => Some("it is the number of a port"),
            Self::Origin { .. } => Some("it is like https://hermes.example or http://box:8080"),
            Self::Token { .. } => Some("remove the file, and the next start makes another"),
            Self::Listen { .. } => Some(
                "--host and --port, or HERMES_DASHBOARD_HOST and HERMES_DASHBOARD_PORT, name another place",
            ),
            Self::MakeToken { .. }
            | Self::Prepare { .. }
            | Self::Watch { .. }
            | Self::Serve { .. } => None,
        }
    }
}
