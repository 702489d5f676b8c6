//! [`GatewayError`]: why a gateway failed to start or to run, and whether a retry can help.

use std::io;
use std::path::PathBuf;

use hermes_core::agent::NoProgram;
use hermes_core::config::{ConfigError, InvalidReadyUrl};
use hermes_core::dotenv::DotenvError;
use hermes_core::home::ProfileHome;
use hermes_core::store::StoreError;
use hermes_core::{ProfileName, listeners};
use thiserror::Error;

/// Why a gateway failed to start or to run.
///
/// The caller chooses the exit code: a supervisor parks a gateway that exits with
/// [`EXIT_CONFIG`](hermes_core::restart::EXIT_CONFIG), which is for
/// [permanent](GatewayError::is_permanent) errors, and restarts it after any other code.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum GatewayError {
    /// The profile does not exist, or its `config.yaml` can't be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The profile's `.env` can't be used.
    #[error("failed to load the `.env` of `{profile}`")]
    Dotenv {
        /// The profile.
        profile: ProfileName,
        /// Why.
        source: DotenvError,
    },
    /// The built-in gateway or a `{port}` placeholder needs a port, but none is set.
    #[error("the gateway of `{profile}` has no port: `gateway.port` is not set in config.yaml")]
    NoPort {
        /// The profile.
        profile: ProfileName,
    },
    /// The Python agent's program, which this home needs, is not known.
    #[error("the gateway of `{profile}` has no program")]
    NoProgram {
        /// The profile.
        profile: ProfileName,
        /// Why.
        source: NoProgram,
    },
    /// The gateway lock can't be opened or locked.
    #[error("failed to lock the gateway of `{profile}`")]
    Lock {
        /// The profile.
        profile: ProfileName,
        /// Why.
        source: io::Error,
    },
    /// The supervisor that started this process has ended. Its successor starts the gateway.
    #[error("the gateway of `{profile}` does not start: its supervisor has ended")]
    LostSupervisor {
        /// The profile.
        profile: ProfileName,
    },
    /// Another process is the profile's gateway, and did not end in time.
    #[error("the gateway of `{profile}` already runs")]
    AlreadyRuns {
        /// The profile.
        profile: ProfileName,
        /// The other process.
        source: LockHeld,
    },
    /// A gateway of the Python agent's runs outside of any supervisor.
    #[error("the gateway of `{profile}` already runs as process {pid}, outside of any supervisor")]
    Foreign {
        /// The profile.
        profile: ProfileName,
        /// The process.
        pid: u32,
    },
    /// `gateway.ready_url` can't be probed.
    #[error("invalid `gateway.ready_url` `{url}`")]
    ReadyUrl {
        /// The value, with placeholders replaced.
        url: String,
        /// Why, and what to write instead.
        source: InvalidReadyUrl,
    },
    /// Another process listens on the port of a gateway whose program is about to be executed.
    #[error("port {port} at {host} is in use: {holder} listens there")]
    PortInUse {
        /// The profile.
        profile: ProfileName,
        /// `gateway.host`.
        host: String,
        /// The port.
        port: u16,
        /// The ID and name of the process, if known.
        holder: String,
    },
    /// The readiness probe failed to start.
    #[error("failed to start the readiness probe of `{url}`")]
    StartProbe {
        /// The address to probe.
        url: String,
        /// Why.
        source: io::Error,
    },
    /// The main process of a Pod can't go on.
    #[error("failed to run the gateway of `{profile}` in this Pod")]
    Pod {
        /// The profile.
        profile: ProfileName,
        /// Why.
        source: io::Error,
    },
    /// The readiness probe can't watch its gateway.
    #[error("failed to watch the gateway, process {pid}")]
    Watch {
        /// The gateway's process.
        pid: u32,
        /// Why.
        source: io::Error,
    },
    /// The program of `gateway.command` can't be executed.
    #[error("failed to run `{program}`, the gateway.command of `{profile}`")]
    Exec {
        /// The profile.
        profile: ProfileName,
        /// Its home.
        home: Box<ProfileHome>,
        /// The program.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// The built-in gateway can't listen on its address.
    #[error("failed to listen on {host} port {port}: {error}{}", held_by(.holder.as_deref()))]
    Listen {
        /// The profile.
        profile: ProfileName,
        /// `gateway.host`.
        host: String,
        /// The port.
        port: u16,
        /// Why. Part of the message.
        error: io::Error,
        /// The ID and name of the process that listens there, if known.
        holder: Option<String>,
    },
    /// The built-in gateway failed otherwise.
    #[error("failed to serve the gateway of `{profile}`")]
    Serve {
        /// The profile.
        profile: ProfileName,
        /// Why.
        source: io::Error,
    },
}

/// The process that holds a profile's gateway lock.
#[derive(Debug, Error)]
#[error("{} holds the lock `{}`", holder(*.pid), .lock.display())]
pub struct LockHeld {
    /// Its process ID; `None` if it is in another PID namespace.
    pub pid: Option<u32>,
    /// The lock's file.
    pub lock: PathBuf,
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(
        || "a process in another PID namespace".to_owned(),
        |pid| format!("process {pid}"),
    )
}

fn held_by(holder: Option<&str>) -> String {
    holder.map_or_else(String::new, |holder| format!("; {holder} listens there"))
}

impl GatewayError {
    /// Whether the profile does not exist. It may come back at any time, as when another program replaces its home.
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Store(StoreError::Absent { .. } | StoreError::Displaced { .. }))
    }

    /// Whether a retry can't succeed until a user changes the configuration.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Store(StoreError::Open { .. })
            | Self::NoPort { .. }
            | Self::NoProgram { .. }
            | Self::ReadyUrl { .. } => true,
            // A file may become readable later, but invalid content stays invalid.
            Self::Store(StoreError::Config(error)) => !matches!(error, ConfigError::Read { .. }),
            Self::Dotenv { source, .. } => source.is_permanent(),
            Self::Exec { source, .. } => matches!(
                source.kind(),
                io::ErrorKind::NotFound
                    | io::ErrorKind::PermissionDenied
                    | io::ErrorKind::ArgumentListTooLong
            ),
            Self::Listen { error, .. } => listeners::is_permanent(error),
            Self::Store(_)
            | Self::Lock { .. }
            | Self::LostSupervisor { .. }
            | Self::AlreadyRuns { .. }
            | Self::Foreign { .. }
            | Self::PortInUse { .. }
            | Self::StartProbe { .. }
            | Self::Pod { .. }
            | Self::Watch { .. }
            | Self::Serve { .. } => false,
        }
    }

    /// What the user can do, if the message does not say it; `None` for a [`StoreError`].
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Dotenv { source, .. } => source.hint().map(str::to_owned),
            Self::NoPort { profile } => Some(format!(
                "`hermes profile port {profile}` assigns a free port, `hermes profile port {profile} N` the port N"
            )),
            Self::AlreadyRuns { profile, .. } => {
                Some(format!("`hermes gateway stop {profile}` stops it, supervised or not"))
            }
            Self::Foreign { profile, .. } => {
                Some(format!("`hermes adopt {profile}` has it supervised"))
            }
            Self::Exec { home, source, .. } => {
                let (config, dotenv) = (home.config(), home.dotenv());
                Some(match source.kind() {
                    io::ErrorKind::ArgumentListTooLong => {
                        format!("shorten values in {} or {}", dotenv.display(), config.display())
                    }
                    _ => format!("the command is set in {}", config.display()),
                })
            }
            Self::Listen { profile, error, .. } => Some(match error.kind() {
                io::ErrorKind::AddrInUse => {
                    format!("`hermes profile port {profile} N` assigns another port")
                }
                _ => "`gateway.host` and `gateway.port` in config.yaml set the address".to_owned(),
            }),
            Self::PortInUse { profile, .. } => Some(format!(
                "end that process, or `hermes profile port {profile} N` assigns another port"
            )),
            Self::Store(_)
            | Self::NoProgram { .. }
            | Self::Lock { .. }
            | Self::ReadyUrl { .. }
            | Self::StartProbe { .. }
            | Self::Pod { .. }
            | Self::Watch { .. }
            | Self::LostSupervisor { .. }
            | Self::Serve { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use hermes_core::error_chain::in_one_line;

    use super::*;

    fn listen(kind: io::ErrorKind, holder: Option<&str>) -> GatewayError {
        GatewayError::Listen {
            profile: "coder".parse().unwrap(),
            host: "127.0.0.1".to_owned(),
            port: 80,
            error: kind.into(),
            holder: holder.map(str::to_owned),
        }
    }

    #[test]
    fn errors_of_the_configuration_are_permanent() {
        let profile: ProfileName = "coder".parse().unwrap();
        let config = |error| GatewayError::from(StoreError::from(error));
        let unreadable = ConfigError::Read {
            path: "config.yaml".into(),
            source: io::ErrorKind::PermissionDenied.into(),
        };
        let exec = |kind: io::ErrorKind| GatewayError::Exec {
            profile: profile.clone(),
            home: Box::new(hermes_core::RootHome::new("/home").profile(&profile)),
            program: "agent".to_owned(),
            source: kind.into(),
        };
        for (error, permanent) in [
            (GatewayError::Store(StoreError::Absent { name: profile.clone() }), false),
            (config(ConfigError::TooLarge { path: "config.yaml".into() }), true),
            (config(unreadable), false),
            (GatewayError::NoPort { profile: profile.clone() }, true),
            (exec(io::ErrorKind::NotFound), true),
            (exec(io::ErrorKind::OutOfMemory), false),
            (listen(io::ErrorKind::PermissionDenied, None), true),
            (listen(io::ErrorKind::AddrInUse, None), false),
        ] {
            assert_eq!(error.is_permanent(), permanent, "{error}");
        }
    }

    #[test]
    fn messages_name_the_process_that_holds_a_lock_or_a_port() {
        let message = |pid| {
            let source = LockHeld { pid, lock: "/home/gateway.lock".into() };
            in_one_line(&GatewayError::AlreadyRuns { profile: "coder".parse().unwrap(), source })
        };
        assert_eq!(
            message(Some(7)),
            "the gateway of `coder` already runs: process 7 holds the lock `/home/gateway.lock`"
        );
        assert_eq!(
            message(None),
            "the gateway of `coder` already runs: \
             a process in another PID namespace holds the lock `/home/gateway.lock`"
        );
        assert_eq!(
            listen(io::ErrorKind::AddrInUse, Some("process 7 (agent)")).to_string(),
            "failed to listen on 127.0.0.1 port 80: address in use; process 7 (agent) listens there"
        );
    }
}
