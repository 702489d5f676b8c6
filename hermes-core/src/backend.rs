//! What a change to a profile, a look at the machine and a look at the logs ask of a backend, whatever
//! its kind.
//!
//! A service is either *registered* while the machine runs ([`ProfileRegistrar`], which is s6) or
//! *installed* for this and every later start of the machine (systemd, launchd). [`Backend`] has what
//! is needed besides, so that who uses one need not ask which it is.

use std::io;
use std::os::fd::BorrowedFd;

use thiserror::Error;

use crate::diagnostics::Examination;
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

    /// Where gateways' lines are, if they are not in the root home's log files.
    fn journal(&self) -> Option<&dyn Journal> {
        None
    }
}

/// Lines of gateways that a service manager keeps. A line has the form that it has in a log file: its
/// time in the machine's zone as `2026-01-02 03:04:05.123456789`, two spaces, what was said.
pub trait Journal {
    /// Tells `tell` what the gateways of `profiles` said, in the order of time, each with the place of
    /// its profile in `profiles`; only the `last` lines of each, if that is said. Ends when all is told
    /// or `tell` answers `false`.
    fn read(
        &self,
        profiles: &[ProfileName],
        last: Option<usize>,
        tell: &mut dyn FnMut(usize, Vec<u8>) -> bool,
    ) -> Result<(), ManagerError>;

    /// Follows what the gateways of `profiles` say, from the `last` lines of each on.
    fn follow(
        &self,
        profiles: &[ProfileName],
        last: usize,
    ) -> Result<Box<dyn Following>, ManagerError>;
}

/// A journal that is followed. Dropping it ends that.
pub trait Following {
    /// Readable when there may be something to take.
    fn fd(&self) -> BorrowedFd<'_>;

    /// The next line that there is by now, with the place of its profile. Does not wait.
    fn next(&mut self) -> io::Result<Option<(usize, Vec<u8>)>>;
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
