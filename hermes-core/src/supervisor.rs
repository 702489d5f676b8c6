//! Every sequence that changes a gateway or its profile, written once over a [`Driver`].
//!
//! | file | sequences |
//! |---|---|
//! | `lifecycle` | start, stop, restart, status: [`ServiceManager`](crate::ServiceManager) |
//! | `service` | register, unregister, install, uninstall: [`ProfileRegistrar`](crate::ProfileRegistrar) |
//! | `profile` | create and delete a profile with its service |
//! | `rename` | rename a profile with its service |
//! | `boot` | bring the services in line with the profiles, and repair what stops no gateway |
//! | `interrupted` | complete or undo renames that a crash interrupted |
//! | `snapshot` | one look at all profiles and their services |
//!
//! A sequence that changes something takes these steps, as far as it needs them: refuse what may not be
//! done here, complete what was interrupted, lock the profile, claim its port, record the intent, act,
//! observe.

mod boot;
mod interrupted;
mod lifecycle;
mod profile;
mod rename;
mod service;
mod snapshot;

use std::sync::Arc;

use crate::driver::{Driver, DriverError};
use crate::gateway::Gateway;
use crate::lock::Lock;
use crate::name::ProfileName;
use crate::store::{Profile, Store, StoreError};

pub use boot::{Booted, DEFAULT_JOBS};
pub use profile::{NewService, ProfileError};

/// The gateways of one home under one backend.
#[derive(Debug, Clone)]
pub struct Supervisor {
    driver: Arc<dyn Driver>,
    store: Store,
}

impl Supervisor {
    /// The gateways of `store` under `driver`. Nothing is read yet. Commands wait for each other's locks
    /// as long as the store's timeout.
    pub fn new(driver: Arc<dyn Driver>, store: Store) -> Self {
        Self { driver, store }
    }

    /// The backend.
    pub fn driver(&self) -> &dyn Driver {
        &*self.driver
    }

    /// The profiles.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The gateway of `name`, which exists.
    fn gateway(&self, name: &ProfileName) -> Result<Gateway, StoreError> {
        Ok(Gateway::new(self.store.get(name)?))
    }

    /// The gateway of `name`, whether such a profile exists or not.
    fn gateway_called(&self, name: &ProfileName) -> Gateway {
        Gateway::new(Profile { name: name.clone(), home: self.store.root().profile(name) })
    }

    /// The first steps of a change to the gateway of `name`: the profile exists, this process may change
    /// its service, what was interrupted is settled, and the profile is locked until the lock is dropped.
    /// `command` is the command line that does it. No lock file is created for a profile that does not
    /// exist, nor a home for it.
    fn begin(&self, name: &ProfileName, command: &str) -> Result<(Gateway, Lock), DriverError> {
        self.store.get(name)?;
        self.driver.check(name, command)?;
        self.store.settle_renames_of(name, self.store.timeout())?;
        let lock = self.store.lock_profile(name)?;
        // It may have been deleted while this command waited.
        Ok((self.gateway(name)?, lock))
    }

    /// Refuses a port that belongs to another profile's running gateway. The lock on the port is held
    /// until this gateway was observed: of two that start at the same time the second sees the first.
    /// Blocks while another gateway is about to listen on the port. A profile that names no port claims
    /// none.
    fn claim_port(&self, gateway: &Gateway) -> Result<Option<Lock>, DriverError> {
        let Some(port) = gateway.port().ok().flatten() else { return Ok(None) };
        let lock = Lock::acquire(&self.store.root().port_lock(port), self.store.timeout())?;
        let others = self.store.list()?.profiles.into_iter();
        let others = others.filter(|other| other.name != *gateway.name());
        let others: Vec<_> = others.map(Gateway::new).collect();
        for name in self.driver.running(&others)? {
            let other = others.iter().find(|other| *other.name() == name);
            if other.is_some_and(|other| other.port().ok().flatten() == Some(port)) {
                let why = format!("port {port} belongs to `{name}`, whose gateway is up");
                let hint =
                    format!("`hermes profile port {} NUMBER` assigns another", gateway.name());
                return Err(DriverError::new(why).with_hint(hint));
            }
        }
        Ok(Some(lock))
    }
}
