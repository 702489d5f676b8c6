//! Every sequence that changes a gateway or its profile, written once over a [`Driver`].
//!
//! | file | sequences |
//! |---|---|
//! | `lifecycle` | start, stop, restart, status: [`ServiceManager`](crate::ServiceManager) |
//! | `service` | register, unregister, install, uninstall: [`ProfileRegistrar`](crate::ProfileRegistrar) |
//! | `service_batch` | register and unregister many at the same time |
//! | `refresh` | replace services by those of this version |
//! | `profile` | create and delete a profile with its service |
//! | `rename` | rename a profile with its service |
//! | `boot` | bring the services in line with the profiles, and repair what stops no gateway |
//! | `boot_batch` | the steps of a boot that are taken for many at the same time |
//! | `renewal` | update the services that another version created |
//! | `foreign` | leave alone what runs outside of any supervisor |
//! | `shared` | profiles that `default`'s gateway serves in its process |
//! | `interrupted` | complete or undo renames that a crash interrupted |
//! | `announcer` | announce the gateways that change |
//! | `reconciler` | mend, while the tree runs, what differs from the intents |
//! | `last_line` | name the last line of a gateway that does not start |
//! | `open_home` | refuse homes that other users may write to |
//! | `prior` | put back a service that was removed |
//! | `snapshot` | all profiles and their services, read once |
//!
//! A sequence that changes something takes the steps that it needs, in this order: check that the change is
//! allowed here, settle an interrupted rename, lock the profile, claim its port, record the intent, act, observe.

mod announcer;
mod batch;
mod boot;
mod boot_batch;
mod distant_events;
mod foreign;
mod interrupted;
mod last_line;
mod lifecycle;
mod open_home;
mod port_clash;
mod prior;
mod profile;
mod reconciler;
mod refresh;
mod rename;
mod renewal;
mod service;
mod service_batch;
mod shared;
mod snapshot;

use std::sync::Arc;
use std::time::Duration;

use crate::driver::{Driver, DriverError};
use crate::events::{Journal, What};
use crate::gateway::Gateway;
use crate::interruption;
use crate::lock::Lock;
use crate::name::ProfileName;
use crate::store::{Profile, Store, StoreError};

use port_clash::NamedPorts;

pub use batch::Pace;
pub use boot::{Booted, DEFAULT_JOBS};
pub use profile::{NewService, ProfileError};

/// The gateways of one home under one backend.
#[derive(Debug, Clone)]
pub struct Supervisor {
    driver: Arc<dyn Driver>,
    store: Store,
    /// What is known for all gateways of a command on many, during that command.
    together: Option<Together>,
}

/// What was read once for many gateways.
#[derive(Debug, Clone, Copy)]
struct Together {
    /// Whether a rename was interrupted.
    any_renames: bool,
}

impl Supervisor {
    /// The gateways of `store` under `driver`. Nothing is read yet. Commands wait for each other's locks
    /// as long as the store's timeout.
    pub fn new(driver: Arc<dyn Driver>, store: Store) -> Self {
        Self { driver, store, together: None }
    }

    /// The same for a command on many gateways, which begins now.
    fn for_many(&self) -> Self {
        let renames = self.store.interrupted_renames();
        let any_renames = renames.map_or(true, |renames| !renames.is_empty());
        Self { together: Some(Together { any_renames }), ..self.clone() }
    }

    /// The same for one of those gateways, which may wait for another command.
    fn for_one(&self) -> Self {
        Self { together: None, ..self.clone() }
    }

    /// The backend.
    pub fn driver(&self) -> &dyn Driver {
        &*self.driver
    }

    /// The profiles.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Records an event of a gateway.
    pub(crate) fn record(&self, name: &ProfileName, event: What, why: impl Into<String>) {
        Journal::new(self.store.root()).record(name, event, why);
    }

    /// The gateway of an existing profile.
    pub(crate) fn gateway(&self, name: &ProfileName) -> Result<Gateway, StoreError> {
        Ok(Gateway::new(self.store.get(name)?))
    }

    /// The gateway of a profile that may not exist.
    fn gateway_called(&self, name: &ProfileName) -> Gateway {
        Gateway::new(Profile { name: name.clone(), home: self.store.root().profile(name) })
    }

    /// The first steps of a change to a gateway: checks that the profile exists and that this process may change
    /// its service, settles an interrupted rename, and locks the profile until the returned lock is dropped.
    /// `command` is the command line, for the hint of a refusal. Creates no lock file for an absent profile.
    fn begin(&self, name: &ProfileName, command: &str) -> Result<(Gateway, Lock), DriverError> {
        self.begin_within(self.store.timeout(), name, command)
    }

    /// As [`begin`](Self::begin), but waits at most `timeout` for another command's lock.
    fn begin_within(
        &self,
        timeout: Duration,
        name: &ProfileName,
        command: &str,
    ) -> Result<(Gateway, Lock), DriverError> {
        if interruption::signal().is_some() {
            return Err(DriverError::new("the command was interrupted before this step"));
        }
        self.store.get(name)?;
        self.driver.check(name, command)?;
        // A list of all profiles for each of them would take longer than anything else.
        if self.together.is_none_or(|together| together.any_renames) {
            self.store.settle_renames_of(name, timeout)?;
        }
        let lock = Lock::acquire(&self.store.root().profile_lock(name), timeout)?;
        // It may have been deleted while this command waited.
        Ok((self.gateway(name)?, lock))
    }

    /// Locks the port of a gateway, and refuses it if another profile's gateway that runs has it. The caller holds
    /// the lock until it has observed its gateway, so that of two gateways that start at the same time the second
    /// sees the first. Blocks while another gateway with this port starts. `None` for a profile without a port.
    fn claim_port(&self, gateway: &Gateway) -> Result<Option<Lock>, DriverError> {
        self.claim_port_of(gateway, None, self.store.timeout())
    }

    /// As [`claim_port`](Self::claim_port); `named` are the ports that profiles name, if they were read before. Waits at
    /// most `timeout` for the lock.
    fn claim_port_of(
        &self,
        gateway: &Gateway,
        named: Option<&NamedPorts>,
        timeout: Duration,
    ) -> Result<Option<Lock>, DriverError> {
        self.claim_port_among(gateway, timeout, |port| match named {
            Some(named) => Ok(named.profiles_with(port)),
            None => Ok(self.store.list()?.profiles),
        })
    }

    /// As [`claim_port`](Self::claim_port), where only the profiles that `rivals` returns for a port can have it.
    fn claim_port_among(
        &self,
        gateway: &Gateway,
        timeout: Duration,
        rivals: impl Fn(u16) -> Result<Vec<Profile>, DriverError>,
    ) -> Result<Option<Lock>, DriverError> {
        let Some(port) = gateway.port().ok().flatten() else { return Ok(None) };
        let lock = Lock::acquire(&self.store.root().port_lock(port), timeout)?;
        let others = rivals(port)?.into_iter().filter(|other| other.name != *gateway.name());
        if let Some(name) = self.ports_in_use(others)?.get(&port) {
            let hint = format!("`hermes profile port {} NUMBER` assigns another", gateway.name());
            return Err(DriverError::new(port_clash::belongs_to(port, name)).with_hint(hint));
        }
        Ok(Some(lock))
    }
}
