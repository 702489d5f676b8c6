//! The two service traits that every backend implements, and the errors they answer with.
//!
//! [`ServiceManager`] is about gateways that exist: start, stop, restart, ask. [`ProfileRegistrar`]
//! is about making and removing the service itself while the machine runs, which only s6 does;
//! systemd and launchd keep the provided methods, which refuse, and install services instead
//! ([`crate::backend`]).

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use thiserror::Error;

use crate::backend::Backend;
use crate::name::ProfileName;
use crate::status::Status;

/// The kinds of backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// s6-svscan and s6-supervise.
    S6,
    /// A systemd manager.
    Systemd,
    /// launchd.
    Launchd,
    /// Nothing supervises services here.
    None,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::S6 => "s6",
            Self::Systemd => "systemd",
            Self::Launchd => "launchd",
            Self::None => "none",
        })
    }
}

/// Starting, stopping and asking about gateways by profile.
///
/// Every method blocks at most until the deadlines its backend was built with, and then answers
/// [`ManagerError::TimedOut`]. "Done" means seen, not asked for.
pub trait ServiceManager {
    /// What kind of backend this is. Never blocks.
    fn kind(&self) -> Kind;

    /// Records the intent `running`, then starts the gateway and blocks until it is ready (or,
    /// where it never says so, has been up for a second). Idempotent. A profile whose service does
    /// not exist yet gets one where the backend can make it; a profile that does not exist is
    /// [`ManagerError::NoSuchProfile`].
    fn start(&self, profile: &ProfileName) -> Result<Status, ManagerError>;

    /// Records the intent `stopped`, then stops the gateway and blocks until it is down.
    /// Idempotent: stopping what is stopped, or has no service, is success. A profile that does not
    /// exist is [`ManagerError::NoSuchProfile`].
    fn stop(&self, profile: &ProfileName) -> Result<Status, ManagerError>;

    /// Records the intent `running`, stops the gateway if it runs, then starts it as
    /// [`start`](Self::start) does. The gateway has a new process afterwards, so it is not
    /// idempotent. "Not found" is as for `start`.
    fn restart(&self, profile: &ProfileName) -> Result<Status, ManagerError>;

    /// What the supervisor says of the gateway now. Changes nothing and does not wait. A profile
    /// without a service is `unsupervised`; one that does not exist is
    /// [`ManagerError::NoSuchProfile`].
    fn status(&self, profile: &ProfileName) -> Result<Status, ManagerError>;

    /// The same of several profiles at once, in their order: one question to the supervisor, where it
    /// takes such. The outer error is that of the question itself.
    fn statuses(
        &self,
        profiles: &[ProfileName],
    ) -> Result<Vec<Result<Status, ManagerError>>, ManagerError> {
        Ok(profiles.iter().map(|profile| self.status(profile)).collect())
    }

    /// When the gateway died in the last hour without having been asked to, oldest first: as many as
    /// [`Status::deaths`] says, where the backend keeps the times, else none. Changes nothing and does
    /// not wait. "Not found" is as for `status`.
    fn recent_deaths(&self, _profile: &ProfileName) -> Result<Vec<Timestamp>, ManagerError> {
        Ok(Vec::new())
    }

    /// Whether the gateway runs and was not told to stop. As [`status`](Self::status) otherwise.
    fn is_running(&self, profile: &ProfileName) -> Result<bool, ManagerError> {
        Ok(self.status(profile)?.state.is_running())
    }
}

/// Making and removing the service of a profile while the machine runs.
pub trait ProfileRegistrar: ServiceManager {
    /// Whether the two methods below do anything but refuse. Never blocks.
    fn supports_runtime_registration(&self) -> bool {
        false
    }

    /// Refuses a name that this backend can't carry, so that no profile is made which could have no
    /// service. Changes nothing and does not wait.
    fn check_name(&self, _profile: &ProfileName) -> Result<(), ManagerError> {
        Ok(())
    }

    /// Makes the profile's service and blocks until it is supervised; on failure nothing is left of
    /// it. Not idempotent: a service that exists is [`ManagerError::AlreadyRegistered`]. A profile
    /// that does not exist is [`ManagerError::NoSuchProfile`].
    fn register_profile_gateway(
        &self,
        _profile: &ProfileName,
        _options: &RegisterOptions,
    ) -> Result<(), ManagerError> {
        Err(ManagerError::RegistrationUnsupported { kind: self.kind() })
    }

    /// Stops the gateway, removes its service and blocks until no process of it is left. The intent
    /// stays as it is. Idempotent: a service that does not exist is success, whether the profile
    /// does or not.
    fn unregister_profile_gateway(&self, _profile: &ProfileName) -> Result<(), ManagerError> {
        Err(ManagerError::RegistrationUnsupported { kind: self.kind() })
    }

    /// The profiles that have a service, sorted. Does not wait.
    fn list_profile_gateways(&self) -> Result<Vec<ProfileName>, ManagerError> {
        Ok(Vec::new())
    }
}

/// How a service is made. There is no port here: `config.yaml` alone names it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RegisterOptions {
    /// Variables for the gateway's environment. Keys are shell identifiers, values are anything
    /// without a NUL byte.
    pub extra_env: BTreeMap<String, String>,
    /// Records the intent `running` first. Without it the recorded intent decides whether the
    /// gateway comes up.
    pub start_now: bool,
}

/// The backend where nothing supervises services: every command answers what to do about that.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoManager;

impl NoManager {
    fn answer<T>(operation: &str, profile: &ProfileName) -> Result<T, ManagerError> {
        Err(ManagerError::Unreachable {
            operation: format!("{operation} the gateway of `{profile}`"),
            source: "no service manager is here: neither s6 nor systemd nor launchd".into(),
            hint: Some(UP.to_owned()),
        })
    }
}

impl ServiceManager for NoManager {
    fn kind(&self) -> Kind {
        Kind::None
    }

    fn start(&self, profile: &ProfileName) -> Result<Status, ManagerError> {
        Self::answer("start", profile)
    }

    fn stop(&self, profile: &ProfileName) -> Result<Status, ManagerError> {
        Self::answer("stop", profile)
    }

    fn restart(&self, profile: &ProfileName) -> Result<Status, ManagerError> {
        Self::answer("restart", profile)
    }

    fn status(&self, profile: &ProfileName) -> Result<Status, ManagerError> {
        Self::answer("ask about", profile)
    }
}

impl ProfileRegistrar for NoManager {}

impl Backend for NoManager {}

/// What to do where nothing supervises services.
const UP: &str = "`hermes up` runs a supervision tree for this user";

/// Why a backend did not do what it was asked to.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ManagerError {
    /// This kind of backend makes no services while the machine runs.
    #[error("{} at run time", match kind {
        Kind::None => "no service manager is here that could register gateways".to_owned(),
        kind => format!("{kind} does not register gateways"),
    })]
    RegistrationUnsupported {
        /// The backend that refused.
        kind: Kind,
    },
    /// This kind of backend installs no services.
    #[error("{}", match kind {
        Kind::None => "no service manager is here that gateways could be installed in".to_owned(),
        kind => format!("nothing is installed under {kind}"),
    })]
    InstallationUnsupported {
        /// The backend that refused.
        kind: Kind,
    },
    /// The service exists.
    #[error("the gateway of `{profile}` is registered already")]
    AlreadyRegistered {
        /// ProfileLabel service.
        profile: ProfileName,
    },
    /// The profile does not exist.
    #[error("there is no profile `{profile}`")]
    NoSuchProfile {
        /// The name that was asked for.
        profile: ProfileName,
    },
    /// The supervisor can't be reached.
    #[error("failed to {operation}")]
    Unreachable {
        /// What was to be done, and to what.
        operation: String,
        /// What was seen.
        source: Cause,
        /// What the user can do.
        hint: Option<String>,
    },
    /// The system denied it.
    #[error("failed to {operation}")]
    Denied {
        /// What was to be done, and to what.
        operation: String,
        /// What the system said.
        source: Cause,
        /// What the user can do.
        hint: Option<String>,
    },
    /// The deadline passed.
    #[error("failed to {operation} within {:.1} s", waited.as_secs_f64())]
    TimedOut {
        /// What was to be done, and to what.
        operation: String,
        /// How long it was waited for.
        waited: Duration,
        /// What was seen last.
        source: Cause,
        /// What the user can do.
        hint: Option<String>,
    },
    /// Anything else.
    #[error("failed to {operation}")]
    Failed {
        /// What was to be done, and to what.
        operation: String,
        /// Why not.
        source: Cause,
        /// What the user can do.
        hint: Option<String>,
    },
}

/// The cause of an error, whatever its type.
pub type Cause = Box<dyn StdError + Send + Sync>;

impl ManagerError {
    /// The same error with another hint, where it can have one.
    pub fn with_hint(mut self, new: String) -> Self {
        if let Self::Unreachable { hint, .. }
        | Self::Denied { hint, .. }
        | Self::TimedOut { hint, .. }
        | Self::Failed { hint, .. } = &mut self
        {
            *hint = Some(new);
        }
        self
    }

    /// What the user can do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::RegistrationUnsupported { kind: Kind::None }
            | Self::InstallationUnsupported { kind: Kind::None } => Some(UP.to_owned()),
            Self::RegistrationUnsupported { .. } => Some(
                "`hermes gateway install NAME` installs one, `hermes gateway uninstall NAME` removes it"
                    .to_owned(),
            ),
            Self::InstallationUnsupported { .. } => Some(
                "`hermes gateway register NAME` makes its service, `hermes gateway unregister NAME` removes it"
                    .to_owned(),
            ),
            Self::AlreadyRegistered { profile } => {
                Some(format!("`hermes gateway status {profile}` shows it"))
            }
            Self::NoSuchProfile { profile } => Some(format!(
                "`hermes profile list` shows all; `hermes profile create {profile}` makes it"
            )),
            Self::Unreachable { hint, .. }
            | Self::Denied { hint, .. }
            | Self::TimedOut { hint, .. }
            | Self::Failed { hint, .. } => hint.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A backend that leaves registration to the provided methods.
    struct Host(Kind);

    impl ServiceManager for Host {
        fn kind(&self) -> Kind {
            self.0
        }
        fn start(&self, profile: &ProfileName) -> Result<Status, ManagerError> {
            Err(ManagerError::NoSuchProfile { profile: profile.clone() })
        }
        fn stop(&self, profile: &ProfileName) -> Result<Status, ManagerError> {
            self.start(profile)
        }
        fn restart(&self, profile: &ProfileName) -> Result<Status, ManagerError> {
            self.start(profile)
        }
        fn status(&self, profile: &ProfileName) -> Result<Status, ManagerError> {
            self.start(profile)
        }
    }

    impl ProfileRegistrar for Host {}

    #[test]
    fn the_provided_methods_refuse_and_list_nothing() {
        let profile = ProfileName::default_profile();
        for kind in [Kind::Systemd, Kind::Launchd, Kind::None] {
            let host = Host(kind);
            assert!(!host.supports_runtime_registration());
            let options = RegisterOptions::default();
            let refused = |result: Result<(), ManagerError>| match result {
                Err(ManagerError::RegistrationUnsupported { kind: by }) => by == kind,
                _ => false,
            };
            assert!(refused(host.register_profile_gateway(&profile, &options)));
            assert!(refused(host.unregister_profile_gateway(&profile)));
            assert_eq!(host.list_profile_gateways().unwrap(), []);
            assert!(host.is_running(&profile).is_err());
        }
    }
}
