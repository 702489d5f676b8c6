//! What a change to a profile, a look at the machine and a look at the logs ask of a backend, whatever
//! its kind.
//!
//! A service is either *registered* while the machine runs ([`ProfileRegistrar`], which is s6) or
//! *installed* for this and every later start of the machine (systemd, launchd). [`Backend`] has what
//! is needed besides, so that who uses one need not ask which it is.

use thiserror::Error;

use crate::diagnostics::Examination;
use crate::log::Logs;
use crate::manager::{ManagerError, ProfileRegistrar};
use crate::name::ProfileName;
use crate::store::{Store, StoreError};

/// A backend of any kind.
pub trait Backend: ProfileRegistrar {
    /// Whether [`install_profile_gateway`](Self::install_profile_gateway) and its opposite do anything
    /// but refuse. Never blocks.
    fn supports_installation(&self) -> bool {
        false
    }

    /// Installs the profile's gateway, so that the machine's start brings it up whenever its intent is
    /// `running`; an intent that is `running` now brings it up now, as
    /// [`start`](crate::ServiceManager::start) does. Idempotent. Blocks until what is installed was
    /// seen. A profile that does not exist is [`ManagerError::NoSuchProfile`].
    fn install_profile_gateway(&self, _profile: &ProfileName) -> Result<(), ManagerError> {
        Err(ManagerError::InstallationUnsupported { kind: self.kind() })
    }

    /// Stops the gateway, removes what was installed for it and blocks until no process of it is left.
    /// The intent stays as it is. Idempotent: what is not installed is success, whether the profile
    /// exists or not.
    fn uninstall_profile_gateway(&self, _profile: &ProfileName) -> Result<(), ManagerError> {
        Err(ManagerError::InstallationUnsupported { kind: self.kind() })
    }

    /// The profiles that have a service, registered or installed, sorted. Does not wait.
    fn list_services(&self) -> Result<Vec<ProfileName>, ManagerError> {
        self.list_profile_gateways()
    }

    /// Takes the profile's service away, whatever kind it is; where none can be made there is none.
    /// As [`unregister_profile_gateway`](ProfileRegistrar::unregister_profile_gateway) and
    /// [`uninstall_profile_gateway`](Self::uninstall_profile_gateway).
    fn withdraw(&self, profile: &ProfileName) -> Result<(), ManagerError> {
        if self.supports_runtime_registration() {
            self.unregister_profile_gateway(profile)
        } else if self.supports_installation() {
            self.uninstall_profile_gateway(profile)
        } else {
            Ok(())
        }
    }

    /// Renames a profile of `store`, with its service if it has one, and starts what ran: all or
    /// nothing. Not idempotent. Blocks until all that was seen. ProfileSelector names are refused,
    /// [`Store::begin_rename`] says.
    fn rename_profile(
        &self,
        store: &Store,
        from: &ProfileName,
        to: &ProfileName,
    ) -> Result<(), RenameError> {
        store.rename(from, to)?;
        Ok(())
    }

    /// Looks at what the backend itself needs on this machine. Changes nothing, starts no process and
    /// does not wait.
    fn examine(&self) -> Vec<Examination> {
        Vec::new()
    }

    /// The gateways' logs, if they are not in the root home's log files (`log::LogFiles`).
    fn logs(&self) -> Option<&dyn Logs> {
        None
    }
}

/// Why a profile was not renamed.
#[derive(Debug, Error)]
pub enum RenameError {
    /// Its files stand against it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its service does.
    #[error(transparent)]
    Manager(#[from] ManagerError),
}
