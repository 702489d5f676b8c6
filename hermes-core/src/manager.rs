//! The two public service traits and the errors they return.
//!
//! [`ServiceManager`] starts, stops and restarts gateways and returns their status. [`ProfileRegistrar`]
//! creates and removes their services at run time, which not every backend supports.
//! [`Supervisor`](crate::Supervisor) implements both for every backend.

use std::collections::BTreeMap;

use jiff::Timestamp;
use thiserror::Error;

use crate::driver::{DriverError, UP};
use crate::error_class::Class;
use crate::kind::Kind;
use crate::name::ProfileName;
use crate::status::Status;

/// Starts, stops and restarts gateways by profile, and returns their status.
///
/// Every method blocks at most for the timeouts of its backend, and then returns an error of the class
/// [`Class::TimedOut`]. Success means that the backend has observed the result.
pub trait ServiceManager {
    /// The kind of backend. Never blocks.
    fn kind(&self) -> Kind;

    /// Records the intent `running`, then starts the gateway and blocks until it is ready (or has been
    /// up for a second, if its supervisor is not notified of readiness). Idempotent. Creates a missing
    /// service if the backend can. An absent profile is [`ManagerError::NoSuchProfile`].
    fn start(&self, profile: &ProfileName) -> Result<Status, ManagerError>;

    /// Records the intent `stopped`, then stops the gateway and blocks until it is down. Idempotent:
    /// success if it is already stopped, or has no service. An absent profile is
    /// [`ManagerError::NoSuchProfile`].
    fn stop(&self, profile: &ProfileName) -> Result<Status, ManagerError>;

    /// Records the intent `running`, stops the gateway if it runs, then starts it as
    /// [`start`](Self::start) does. Not idempotent: the gateway has a new process afterwards. An absent
    /// profile is [`ManagerError::NoSuchProfile`].
    fn restart(&self, profile: &ProfileName) -> Result<Status, ManagerError>;

    /// The current status of the gateway. Changes nothing and does not wait. A profile without a service
    /// is `unsupervised`; an absent profile is [`ManagerError::NoSuchProfile`].
    fn status(&self, profile: &ProfileName) -> Result<Status, ManagerError>;

    /// The status of several profiles, in their order, with a single query if the supervisor supports
    /// that. The outer error is that of the query.
    fn statuses(
        &self,
        profiles: &[ProfileName],
    ) -> Result<Vec<Result<Status, ManagerError>>, ManagerError> {
        Ok(profiles.iter().map(|profile| self.status(profile)).collect())
    }

    /// The times at which the gateway died in the last hour without a request to stop, oldest first: as
    /// many as [`Status::deaths`], or none if the backend does not record them. Changes nothing and does
    /// not wait. An absent profile is [`ManagerError::NoSuchProfile`].
    fn recent_deaths(&self, _profile: &ProfileName) -> Result<Vec<Timestamp>, ManagerError> {
        Ok(Vec::new())
    }

    /// Whether the gateway runs and no stop was requested. Otherwise like [`status`](Self::status).
    fn is_running(&self, profile: &ProfileName) -> Result<bool, ManagerError> {
        Ok(self.status(profile)?.state.is_running())
    }
}

/// Creates and removes the services of profiles at run time.
pub trait ProfileRegistrar: ServiceManager {
    /// Whether the backend can register and unregister services. Never blocks.
    fn supports_runtime_registration(&self) -> bool {
        false
    }

    /// Refuses a name that this backend does not support, before a profile is created that could not
    /// have a service. Changes nothing and does not wait.
    fn check_name(&self, _profile: &ProfileName) -> Result<(), ManagerError> {
        Ok(())
    }

    /// Creates the profile's service and blocks until it is supervised; a failure leaves nothing behind.
    /// Not idempotent: an existing service is [`ManagerError::AlreadyRegistered`]. An absent profile is
    /// [`ManagerError::NoSuchProfile`].
    fn register_profile_gateway(
        &self,
        _profile: &ProfileName,
        _options: &RegisterOptions,
    ) -> Result<(), ManagerError> {
        Err(ManagerError::RegistrationUnsupported { kind: self.kind() })
    }

    /// Stops the gateway, removes its service and blocks until no process of the service remains. Keeps
    /// the intent. Idempotent: success if there is no service, even if the profile is absent.
    fn unregister_profile_gateway(&self, _profile: &ProfileName) -> Result<(), ManagerError> {
        Err(ManagerError::RegistrationUnsupported { kind: self.kind() })
    }

    /// The profiles that have a service, sorted. Does not wait.
    fn list_profile_gateways(&self) -> Result<Vec<ProfileName>, ManagerError> {
        Ok(Vec::new())
    }
}

/// Options of a new service. The port is not one of them: only `config.yaml` sets it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RegisterOptions {
    /// Variables for the gateway's environment. Keys are shell identifiers; values have no NUL byte.
    pub extra_env: BTreeMap<String, String>,
    /// Records the intent `running` first. Otherwise the existing intent decides whether the gateway is
    /// started.
    pub start_now: bool,
}

/// Why an operation of a backend failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ManagerError {
    /// This kind of backend registers no services at run time.
    #[error("{} at run time", match *kind {
        Kind::NONE => "no service manager runs here that could register gateways".to_owned(),
        kind => format!("{kind} does not register gateways"),
    })]
    RegistrationUnsupported {
        /// The backend that refused.
        kind: Kind,
    },
    /// This kind of backend installs no services.
    #[error("{}", match *kind {
        Kind::NONE => "no service manager runs here that gateways could be installed in".to_owned(),
        kind => format!("{kind} does not install gateways"),
    })]
    InstallationUnsupported {
        /// The backend that refused.
        kind: Kind,
    },
    /// The service exists.
    #[error("the gateway of `{profile}` is already registered")]
    AlreadyRegistered {
        /// The profile of the service.
        profile: ProfileName,
    },
    /// The profile does not exist.
    #[error("profile `{profile}` does not exist")]
    NoSuchProfile {
        /// The name of the profile.
        profile: ProfileName,
    },
    /// An operation failed.
    #[error("failed to {operation}{}", match source.class() {
        Class::TimedOut(waited) => format!(" within {:.1} s", waited.as_secs_f64()),
        _ => String::new(),
    })]
    Failed {
        /// The operation and its object.
        operation: String,
        /// Why it failed.
        source: DriverError,
        /// What the user can do, beyond the cause's own hint.
        hint: Option<String>,
    },
}

impl ManagerError {
    /// The error of `operation`, which failed because of `source`.
    pub fn of(operation: &str, source: DriverError) -> Self {
        match source.class() {
            Class::NoSuchProfile(profile) => Self::NoSuchProfile { profile: profile.clone() },
            Class::AlreadyRegistered(profile) => {
                Self::AlreadyRegistered { profile: profile.clone() }
            }
            _ => Self::Failed { operation: operation.to_owned(), source, hint: None },
        }
    }

    /// Replaces the hint of a [`ManagerError::Failed`].
    #[must_use]
    pub fn with_hint(mut self, new: String) -> Self {
        if let Self::Failed { hint, .. } = &mut self {
            *hint = Some(new);
        }
        self
    }

    /// The class of the error.
    pub fn class(&self) -> Class {
        match self {
            Self::RegistrationUnsupported { kind: Kind::NONE }
            | Self::InstallationUnsupported { kind: Kind::NONE } => Class::Unreachable,
            Self::RegistrationUnsupported { .. } | Self::InstallationUnsupported { .. } => {
                Class::Failed
            }
            Self::AlreadyRegistered { profile } => Class::AlreadyRegistered(profile.clone()),
            Self::NoSuchProfile { profile } => Class::NoSuchProfile(profile.clone()),
            Self::Failed { source, .. } => source.class().clone(),
        }
    }

    /// What the user can do about it, if known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::RegistrationUnsupported { kind: Kind::NONE }
            | Self::InstallationUnsupported { kind: Kind::NONE } => Some(UP.to_owned()),
            Self::RegistrationUnsupported { .. } => Some(
                "`hermes gateway install NAME` installs a gateway, `hermes gateway uninstall NAME` removes it"
                    .to_owned(),
            ),
            Self::InstallationUnsupported { .. } => Some(
                "`hermes gateway register NAME` creates a service, `hermes gateway unregister NAME` removes it"
                    .to_owned(),
            ),
            Self::AlreadyRegistered { profile } => {
                Some(format!("`hermes gateway status {profile}` shows it"))
            }
            Self::NoSuchProfile { profile } => Some(format!(
                "`hermes profile list` lists all; `hermes profile create {profile}` creates it"
            )),
            Self::Failed { source, hint, .. } => {
                hint.clone().or_else(|| source.hint().map(str::to_owned))
            }
        }
    }
}

/// Adds the failed operation to an error.
pub trait During<T> {
    /// Adds `operation`, which continues "failed to …": ``start the gateway of `coder` ``.
    fn during(self, operation: &str) -> Result<T, ManagerError>;
}

impl<T, E: Into<DriverError>> During<T> for Result<T, E> {
    fn during(self, operation: &str) -> Result<T, ManagerError> {
        self.map_err(|error| ManagerError::of(operation, error.into()))
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
        for kind in [Kind::new("host"), Kind::NONE] {
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
