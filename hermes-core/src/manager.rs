//! The two public service traits and the errors they return.
//!
//! [`ServiceManager`] is about gateways that exist: start, stop, restart, status. [`ProfileRegistrar`] is
//! about making and removing the service itself while the machine runs, which not every backend does.
//! Both are implemented once, by [`Supervisor`](crate::Supervisor), for every backend.

use std::collections::BTreeMap;

use jiff::Timestamp;
use thiserror::Error;

use crate::driver::{DriverError, UP};
use crate::error_class::Class;
use crate::kind::Kind;
use crate::name::ProfileName;
use crate::status::Status;

/// Starting, stopping and asking about gateways by profile.
///
/// Every method blocks until the deadlines that its backend was built with at most, and then fails with the
/// class [`Class::TimedOut`]. "Done" means observed, not requested.
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

/// Why a backend did not do what it was asked to.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ManagerError {
    /// This kind of backend registers no services while the machine runs.
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
        kind => format!("nothing is installed under {kind}"),
    })]
    InstallationUnsupported {
        /// The backend that refused.
        kind: Kind,
    },
    /// The service exists.
    #[error("the gateway of `{profile}` is already registered")]
    AlreadyRegistered {
        /// Whose service.
        profile: ProfileName,
    },
    /// The profile does not exist.
    #[error("profile `{profile}` does not exist")]
    NoSuchProfile {
        /// The name that was asked for.
        profile: ProfileName,
    },
    /// An operation failed.
    #[error("failed to {operation}{}", match source.class() {
        Class::TimedOut(waited) => format!(" within {:.1} s", waited.as_secs_f64()),
        _ => String::new(),
    })]
    Failed {
        /// What was to be done, and to what.
        operation: String,
        /// Why it failed.
        source: DriverError,
        /// What the user can do, beyond the cause's own hint.
        hint: Option<String>,
    },
}

impl ManagerError {
    /// That `operation` failed because of `source`.
    pub fn of(operation: &str, source: DriverError) -> Self {
        match source.class() {
            Class::NoSuchProfile(profile) => Self::NoSuchProfile { profile: profile.clone() },
            Class::AlreadyRegistered(profile) => {
                Self::AlreadyRegistered { profile: profile.clone() }
            }
            _ => Self::Failed { operation: operation.to_owned(), source, hint: None },
        }
    }

    /// The same with another hint, if it is [`ManagerError::Failed`].
    #[must_use]
    pub fn with_hint(mut self, new: String) -> Self {
        if let Self::Failed { hint, .. } = &mut self {
            *hint = Some(new);
        }
        self
    }

    /// Which class of failure it is.
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

    /// What the user can do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::RegistrationUnsupported { kind: Kind::NONE }
            | Self::InstallationUnsupported { kind: Kind::NONE } => Some(UP.to_owned()),
            Self::RegistrationUnsupported { .. } => Some(
                "`hermes gateway install NAME` installs one, `hermes gateway uninstall NAME` removes it"
                    .to_owned(),
            ),
            Self::InstallationUnsupported { .. } => Some(
                "`hermes gateway register NAME` creates its service, `hermes gateway unregister NAME` removes it"
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

/// Adds to an error what was to be done.
pub trait During<T> {
    /// The error with `operation`, which continues "failed to …": ``start the gateway of `coder` ``.
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
