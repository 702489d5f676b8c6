//! Creating and deleting a profile together with its service.

use thiserror::Error;

use super::Supervisor;
use crate::driver::{DriverError, During, Lifetime};
use crate::intent::Intent;
use crate::manager::{ManagerError, ProfileRegistrar, RegisterOptions};
use crate::name::ProfileName;
use crate::process_lock;
use crate::store::{Profile, StoreError};

/// The service of a profile that was just made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NewService {
    /// It is registered.
    Registered,
    /// The backend creates none by itself. A hint: what the user can do next.
    Next(String),
}

/// Why a profile was not created, renamed or deleted.
#[derive(Debug, Error)]
pub enum ProfileError {
    /// The store's error.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The service's error.
    #[error(transparent)]
    Manager(#[from] ManagerError),
}

impl Supervisor {
    /// Creates a profile with this port (or a free one) and registers its gateway, which is not started.
    /// `start` announces that the caller starts the gateway next: if only a later start of the service manager can
    /// do that, the intent of the profile is `running` at once. A failure deletes the profile again.
    /// Not idempotent. Blocks until the service is supervised.
    pub fn create_profile(
        &self,
        name: &ProfileName,
        port: Option<u16>,
        start: bool,
    ) -> Result<(Profile, NewService), ProfileError> {
        self.check_name(name)?;
        let profile = self.store.create(name, port, self.first_intent(start))?;
        let service = self.register_new(name)?;
        Ok((profile, service))
    }

    /// The first intent of a new profile. If its gateway can be started now, the start records `running`.
    pub fn first_intent(&self, start: bool) -> Intent {
        let later = start && !self.supports_runtime_registration();
        if later { Intent::Running } else { Intent::Stopped }
    }

    /// Registers the gateway of a new profile. A failure deletes the profile again, so that no profile without a
    /// service is reported as created.
    pub fn register_new(&self, name: &ProfileName) -> Result<NewService, ProfileError> {
        if !self.supports_runtime_registration() {
            return Ok(self.next_step(name));
        }
        match self.register_profile_gateway(name, &RegisterOptions::default()) {
            // A boot may have registered it already.
            Ok(()) | Err(ManagerError::AlreadyRegistered { .. }) => Ok(NewService::Registered),
            Err(error) => Err(match self.store.delete(name, true) {
                Ok(()) => error,
                Err(left) => error.with_hint(format!("the profile still exists: {left}")),
            }
            .into()),
        }
    }

    /// What the user can do next if the backend creates no service by itself.
    pub fn next_step(&self, name: &ProfileName) -> NewService {
        NewService::Next(match self.supports_installation() {
            true => format!("`hermes gateway install {name}` has its gateway supervised"),
            false => format!(
                "`hermes up` runs a supervision tree, `hermes gateway start {name}` then starts its gateway"
            ),
        })
    }

    /// Deletes a profile: its service, its home, and its gateway's logs unless `keep_logs`. The profile's
    /// lock is held throughout, so that no other command creates its service meanwhile. Fails if its gateway runs
    /// under a supervisor that does not answer. Not idempotent.
    pub fn delete_profile(&self, name: &ProfileName, keep_logs: bool) -> Result<(), ProfileError> {
        let operation = format!("delete profile `{name}`");
        self.store.deletable(name)?;
        let supervised = self.driver.lifetime() != Lifetime::Unsupported;
        if supervised {
            let command = format!("profile delete {name}");
            self.driver.check(name, &command).during(&operation)?;
        }
        self.store.settle_renames_of(name, self.store.timeout())?;
        let _lock = self.store.lock_profile(name).during(&operation)?;
        // Another command may have renamed or deleted it before it was locked.
        self.store.get(name)?;
        let gateway = self.gateway_called(name);
        if supervised {
            self.driver.remove(&gateway).during(&operation)?;
        }
        let holder = process_lock::holder(&gateway.home().gateway_lock()).during(&operation)?;
        if let Some(holder) = holder {
            let pid = holder.pid.map_or_else(|| "elsewhere".to_owned(), |pid| format!("as {pid}"));
            let why = format!(
                "its gateway runs {pid}: it belongs to another supervision tree, or was started by hand"
            );
            let error = DriverError::new(why)
                .with_hint("name its tree with --scandir, or end it, and delete the profile then");
            return Err(ManagerError::of(&operation, error).into());
        }
        self.store.delete(name, keep_logs)?;
        Ok(())
    }
}
