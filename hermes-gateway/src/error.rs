//! Why a gateway did not start, or not run to its end, and whether trying again can help.

use std::io;
use std::path::PathBuf;

use hermes_core::config::ConfigError;
use hermes_core::dotenv::DotenvError;
use hermes_core::home::ProfileHome;
use hermes_core::store::StoreError;
use hermes_core::{ProfileName, listeners};
use thiserror::Error;

/// Why a gateway did not start, or not run to its end.
///
/// The exit code of its process is up to the caller: a supervisor parks a gateway that exits with
/// [`EXIT_CONFIG`](hermes_core::restart::EXIT_CONFIG), which is for errors that are
/// [permanent](GatewayError::is_permanent), and starts it again after any other.
#[derive(Debug, Error)]
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
    /// Neither the built-in gateway nor a `{port}` placeholder can do without a port.
    #[error("the gateway of `{profile}` has no port: its config.yaml names none")]
    NoPort {
        /// The profile.
        profile: ProfileName,
    },
    /// The file of the gateway lock can't be opened or locked.
    #[error("failed to lock the gateway of `{profile}`")]
    Lock {
        /// The profile.
        profile: ProfileName,
        /// Why.
        source: io::Error,
    },
    /// Another process is the profile's gateway, and did not end in time.
    #[error("the gateway of `{profile}` runs already")]
    AlreadyRuns {
        /// The profile.
        profile: ProfileName,
        /// Which process that is.
        source: LockHeld,
    },
    /// `gateway.ready_url` can't be probed.
    #[error("`gateway.ready_url` is `{url}`, which is not an http:// address")]
    ReadyUrl {
        /// The value, placeholders filled in.
        url: String,
    },
    /// The process that probes for readiness did not start.
    #[error("failed to start the readiness probe of `{url}`")]
    StartProbe {
        /// The address to probe.
        url: String,
        /// Why.
        source: io::Error,
    },
    /// The process that probes for readiness can't watch its gateway.
    #[error("failed to watch the gateway, process {pid}")]
    Watch {
        /// The gateway's process.
        pid: u32,
        /// Why.
        source: io::Error,
    },
    /// The program that `gateway.command` names can't be executed.
    #[error("failed to run `{program}`, the gateway.command of `{profile}`")]
    Exec {
        /// The profile.
        profile: ProfileName,
        /// Its home.
        home: ProfileHome,
        /// The program.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// The built-in gateway can't listen where it should.
    #[error("failed to listen on {host} port {port}: {error}{}", held_by(.holder.as_deref()))]
    Listen {
        /// The profile.
        profile: ProfileName,
        /// `gateway.host`.
        host: String,
        /// The port.
        port: u16,
        /// Why, which is part of the message.
        error: io::Error,
        /// The process that listens there, in words, if it can be seen.
        holder: Option<String>,
    },
    /// The system refused the built-in gateway something else.
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
#[error("{} has `{}` locked", holder(*.pid), .lock.display())]
pub struct LockHeld {
    /// Its number; `None` if it lives in another pid namespace.
    pub pid: Option<u32>,
    /// The file of the lock.
    pub lock: PathBuf,
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(
        || "a process that can't be seen from here".to_owned(),
        |pid| format!("process {pid}"),
    )
}

fn held_by(holder: Option<&str>) -> String {
    holder.map_or_else(String::new, |holder| format!("; {holder} has it"))
}

impl GatewayError {
    /// Whether trying again can't help until somebody changes the configuration.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Store(StoreError::Absent { .. })
            | Self::NoPort { .. }
            | Self::ReadyUrl { .. } => true,
            // A file that can't be read now may be readable soon; what is wrong in it stays wrong.
            Self::Store(StoreError::Config(error)) => !matches!(error, ConfigError::Read(_)),
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
            | Self::AlreadyRuns { .. }
            | Self::StartProbe { .. }
            | Self::Watch { .. }
            | Self::Serve { .. } => false,
        }
    }

    /// What the user can do, where the message does not say it; `None` for a [`StoreError`], which has no
    /// hints of its own.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Dotenv { source, .. } => source.hint().map(str::to_owned),
            Self::NoPort { profile } => Some(format!(
                "`hermes profile port {profile}` writes a free one, `hermes profile port {profile} N` a given one"
            )),
            Self::AlreadyRuns { profile, .. } => {
                Some(format!("`hermes gateway stop {profile}` ends it, supervised or not"))
            }
            Self::ReadyUrl { .. } => {
                Some("write one such as http://127.0.0.1:8642/health".to_owned())
            }
            Self::Exec { home, source, .. } => {
                let (config, dotenv) = (home.config(), home.dotenv());
                Some(match source.kind() {
                    io::ErrorKind::ArgumentListTooLong => {
                        format!("{} or {} holds too much", dotenv.display(), config.display())
                    }
                    _ => format!("{} names it", config.display()),
                })
            }
            Self::Listen { profile, error, .. } => Some(match error.kind() {
                io::ErrorKind::AddrInUse => {
                    format!("`hermes profile port {profile} N` gives it another port")
                }
                _ => "`gateway.host` and `gateway.port` in config.yaml name it".to_owned(),
            }),
            Self::Store(_)
            | Self::Lock { .. }
            | Self::StartProbe { .. }
            | Self::Watch { .. }
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
    fn what_the_configuration_alone_can_change_is_permanent() {
        let profile: ProfileName = "coder".parse().unwrap();
        let config = |error| GatewayError::from(StoreError::from(error));
        let exec = |kind: io::ErrorKind| GatewayError::Exec {
            profile: profile.clone(),
            home: hermes_core::RootHome::new("/home").profile(&profile),
            program: "agent".to_owned(),
            source: kind.into(),
        };
        for (error, permanent) in [
            (GatewayError::Store(StoreError::Absent { name: profile.clone() }), true),
            (config(ConfigError::TooLarge { path: "config.yaml".into() }), true),
            (config(ConfigError::Read(io::ErrorKind::PermissionDenied.into())), false),
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
    fn another_gateway_is_named_with_its_process() {
        let held = |pid| {
            let source = LockHeld { pid, lock: "/home/gateway.lock".into() };
            in_one_line(&GatewayError::AlreadyRuns { profile: "coder".parse().unwrap(), source })
        };
        assert_eq!(
            held(Some(7)),
            "the gateway of `coder` runs already: process 7 has `/home/gateway.lock` locked"
        );
        assert_eq!(
            held(None),
            "the gateway of `coder` runs already: \
             a process that can't be seen from here has `/home/gateway.lock` locked"
        );
        assert_eq!(
            listen(io::ErrorKind::AddrInUse, Some("process 7 (agent)")).to_string(),
            "failed to listen on 127.0.0.1 port 80: address in use; process 7 (agent) has it"
        );
    }
}
