//! Errors of the dashboard, and which of them a restart can't fix.

use std::io;
use std::path::PathBuf;

use hermes_core::home::env;
use hermes_core::listeners;
use thiserror::Error;

/// Why the dashboard can't be served. Errors of a request are sent to the client instead.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DashboardError {
    /// `HERMES_DASHBOARD_PORT` is not a port number.
    #[error("invalid value `{value}` for {}", env::DASHBOARD_PORT)]
    Port {
        /// The value.
        value: String,
    },
    /// The origin is not a scheme, an authority and a plain path.
    #[error("invalid origin `{value}`")]
    Origin {
        /// The value.
        value: String,
    },
    /// The token can't be created.
    #[error("failed to create the dashboard's token in `{}`", path.display())]
    MakeToken {
        /// The token's file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The token can't be used.
    #[error("failed to use the dashboard's token in `{}`", path.display())]
    Token {
        /// The token's file.
        path: PathBuf,
        /// Why.
        source: UnusableToken,
    },
    /// A system call failed before the dashboard listened.
    #[error("failed to prepare the dashboard")]
    Prepare {
        /// Why.
        source: io::Error,
    },
    /// The file that opens the page signed in can't be written.
    #[error("failed to write the file that signs the browser in")]
    SignIn {
        /// Why.
        source: io::Error,
    },
    /// The address can't be listened on.
    #[error("failed to listen on {host} port {port}{}", held_by(.holder.as_deref()))]
    Listen {
        /// The address.
        host: String,
        /// The port.
        port: u16,
        /// The ID and name of the process that listens there, if known.
        holder: Option<String>,
        /// Why.
        source: io::Error,
    },
    /// The thread that observes the gateways did not start.
    #[error("failed to start the watcher thread")]
    Watch {
        /// Why.
        source: io::Error,
    },
    /// Another system call failed.
    #[error("the dashboard failed")]
    Serve {
        /// Why.
        source: io::Error,
    },
}

fn held_by(holder: Option<&str>) -> String {
    holder.map_or_else(String::new, |holder| format!(", where {holder} listens"))
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
    #[error("other users have access: its mode is {mode:04o}, not 0600")]
    OpenToOthers {
        /// Its mode.
        mode: u32,
    },
    /// It belongs to another user.
    #[error("it belongs to uid {owner}, not to {me}")]
    Foreign {
        /// Its owner.
        owner: u32,
        /// The user of this process.
        me: u32,
    },
    /// It is too short to be secure, or has other characters.
    #[error("it must have at least {shortest} printable ASCII characters, without spaces")]
    Weak {
        /// The minimum length.
        shortest: usize,
    },
}

impl DashboardError {
    /// Whether a restart fails again until the user changes something.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Port { .. } | Self::Origin { .. } | Self::Token { .. } => true,
            Self::Listen { source, .. } => listeners::is_permanent(source),
            Self::MakeToken { .. }
            | Self::Prepare { .. }
            | Self::SignIn { .. }
            | Self::Watch { .. }
            | Self::Serve { .. } => false,
        }
    }

    /// What the user can do about it, if known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Port { .. } => Some("use a port number"),
            Self::Origin { .. } => Some(
                "use the URL in the browser, like https://hermes.example or http://box:8080/hermes",
            ),
            Self::Token { .. } => Some("remove the file; the next start creates another"),
            Self::Listen { .. } => Some(
                "--host and --port, or HERMES_DASHBOARD_HOST and HERMES_DASHBOARD_PORT, set another address",
            ),
            Self::MakeToken { .. }
            | Self::Prepare { .. }
            | Self::SignIn { .. }
            | Self::Watch { .. }
            | Self::Serve { .. } => None,
        }
    }
}
