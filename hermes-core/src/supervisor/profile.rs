//! Creating and deleting a profile together with its service.

use thiserror::Error;

use super::Supervisor;
use super::prior::PriorState;
use crate::driver::{DriverError, During, Lifetime};
use crate::error_chain::in_one_line;
use crate::events::What;
use crate::gateway::Gateway;
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
    /// Creates a profile with this port (or a free one) and registers its gateway, which is not started. `like` names a
    /// profile that it is like ([`Store::create_like`](crate::Store::create_like)).
    /// `start` announces that the caller starts the gateway next: if only a later start of the service manager can
    /// do that, the intent of the profile is `running` at once. A failure deletes the profile again.
    /// Not idempotent. Blocks until the service is supervised.
    pub fn create_profile(
        &self,
        name: &ProfileName,
        port: Option<u16>,
        start: bool,
        like: Option<&ProfileName>,
    ) -> Result<(Profile, NewService), ProfileError> {
        self.check_name(name)?;
        let like = like.map(|other| self.store.get(other)).transpose()?;
        self.store.settle_renames_of(name, self.store.timeout())?;
        // Until the profile is registered or gone, no other command may take it for a complete one.
        let lock = self.store.lock_profile(name);
        let _lock = lock.during(&format!("create profile `{name}`"))?;
        let intent = self.first_intent(start);
        let profile = match &like {
            Some(other) => self.store.create_like(other, name, port, intent)?,
            None => self.store.create(name, port, intent)?,
        };
        let service = match self.supports_runtime_registration() {
            true => self.register_created(name)?,
            false => self.next_step(name),
        };
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
        let lock = self
            .store
            .settle_renames_of(name, self.store.timeout())
            .and_then(|()| Ok(self.store.lock_profile(name)?));
        let _lock = lock.during(&registering(name)).map_err(|error| {
            let hint = format!("the profile exists; `hermes gateway register {name}` registers it");
            error.with_hint(hint)
        })?;
        self.register_created(name)
    }

    /// Registers the gateway of a new profile whose lock the caller holds, or deletes the profile.
    fn register_created(&self, name: &ProfileName) -> Result<NewService, ProfileError> {
        let registered = self
            .driver
            .check(name, &format!("gateway register {name}"))
            .and_then(|()| Ok(self.gateway(name)?))
            .and_then(|gateway| {
                // It may run the gateway of a former profile, which another program has removed.
                if self.driver.exists(name)? {
                    self.driver.remove(&gateway)?;
                }
                self.register_locked(&gateway, &RegisterOptions::default())
            });
        match registered.during(&registering(name)) {
            Ok(()) => Ok(NewService::Registered),
            Err(error) => Err(self.rolled_back(name, error)),
        }
    }

    /// Deletes a profile that could not be registered, whose lock the caller holds.
    fn rolled_back(&self, name: &ProfileName, error: ManagerError) -> ProfileError {
        match self.store.delete(name, true) {
            Ok(()) => error,
            Err(left) => error.with_hint(format!("the profile still exists: {left}")),
        }
        .into()
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
    /// lock is held throughout, so that no other command creates its service meanwhile. Files that this user can't remove
    /// are found first, and nothing is touched. If the home can't be removed after all, the service is created again as it
    /// was. Fails if its gateway runs under a supervisor that does not answer. Not idempotent.
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
        self.store.check_deletion(name, keep_logs)?;
        let gateway = self.gateway_called(name);
        self.refuse_foreign(&gateway).during(&operation)?;
        let mut prior = PriorState::default();
        if supervised {
            self.require_here(&gateway).during(&operation)?;
            prior = self.prior_of(&gateway);
            self.remove_or_restore(&gateway, &prior).during(&operation)?;
        }
        let deleted = self
            .has_ended(&gateway)
            .map_err(|error| ProfileError::from(ManagerError::of(&operation, error)))
            .and_then(|()| Ok(self.store.delete(name, keep_logs)?));
        let Err(error) = deleted else {
            self.record(name, What::Removed, "its profile was deleted");
            return Ok(());
        };
        // Without its home there is nothing to register.
        if self.store.find(name).is_ok_and(|found| found.is_none()) {
            return Err(error);
        }
        // A home that is emptied where it is may have lost its intent.
        let wanted = Intent::read(gateway.home()).is_ok_and(|intent| intent == Intent::Running);
        let prior = PriorState { ran: prior.ran && wanted, up: prior.up && wanted, ..prior };
        Err(match self.restore(&gateway, &prior) {
            Ok(()) => error,
            Err(left) => ManagerError::of(&operation, DriverError::new(error))
                .with_hint(format!(
                    "its gateway could not be registered again ({}); `hermes boot` does it",
                    in_one_line(&left)
                ))
                .into(),
        })
    }

    /// Fails if a process of the gateway lives on after its service was removed.
    fn has_ended(&self, gateway: &Gateway) -> Result<(), DriverError> {
        let Some(holder) = process_lock::holder(&gateway.home().gateway_lock())? else {
            return Ok(());
        };
        let pid = holder.pid.map_or_else(|| "elsewhere".to_owned(), |pid| format!("as {pid}"));
        let why = format!(
            "its gateway runs {pid}: it belongs to another supervision tree, or was started by hand"
        );
        Err(DriverError::new(why)
            .with_hint("name its tree with --scandir, or end it, and delete the profile then"))
    }
}

fn registering(name: &ProfileName) -> String {
    format!("register the gateway of `{name}`")
}
