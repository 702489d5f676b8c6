//! Creates and removes the service of a gateway: registered until the machine stops, or installed for every
//! start of the machine.

use std::time::Duration;

use super::Supervisor;
use super::port_clash::NamedPorts;
use crate::driver::{CreateOptions, DriverError, During, Lifetime};
use crate::error_class::Class;
use crate::events::What;
use crate::gateway::Gateway;
use crate::intent::Intent;
use crate::lock::Lock;
use crate::manager::{ManagerError, ProfileRegistrar, RegisterOptions, ServiceManager};
use crate::name::ProfileName;

impl Supervisor {
    /// Whether the backend supports [`install`](Self::install) and [`uninstall`](Self::uninstall).
    /// Never blocks.
    pub fn supports_installation(&self) -> bool {
        self.driver.lifetime() == Lifetime::Installed
    }

    /// Installs the profile's gateway: every start of the machine brings it up if its intent is `running`. If
    /// the intent is `running` now, brings it up now, as [`start`](ServiceManager::start) does. Idempotent.
    /// Blocks until that was observed. A profile that does not exist is [`ManagerError::NoSuchProfile`].
    pub fn install(&self, name: &ProfileName) -> Result<(), ManagerError> {
        if !self.supports_installation() {
            return Err(ManagerError::InstallationUnsupported { kind: self.kind() });
        }
        self.install_gateway(name).during(&format!("install the gateway of `{name}`"))
    }

    fn install_gateway(&self, name: &ProfileName) -> Result<(), DriverError> {
        self.store.get(name)?;
        self.driver.check_name(name)?;
        let (gateway, _lock) = self.begin(name, &format!("gateway install {name}"))?;
        self.store.refuse_open(Some(gateway.home()))?;
        match Intent::read(gateway.home())? {
            Intent::Running => {
                let _port = self.claim_port(&gateway)?;
                self.create_and_bring_up(&gateway)?;
            }
            Intent::Stopped => self.driver.create(&gateway, &CreateOptions::default())?,
        }
        self.record(name, What::Registered, "installed");
        Ok(())
    }

    /// Stops the gateway, removes its installed service and blocks until no process of it is left. The intent is
    /// not changed. Idempotent: success if nothing is installed, whether the profile exists or not.
    pub fn uninstall(&self, name: &ProfileName) -> Result<(), ManagerError> {
        if !self.supports_installation() {
            return Err(ManagerError::InstallationUnsupported { kind: self.kind() });
        }
        self.remove_service(name, &format!("gateway uninstall {name}"))
            .during(&format!("uninstall the gateway of `{name}`"))
    }

    /// The profiles that have a service, registered or installed, sorted. Does not wait.
    pub fn list_services(&self) -> Result<Vec<ProfileName>, ManagerError> {
        self.driver.list().during("list the services of the gateways")
    }

    fn register_gateway(
        &self,
        name: &ProfileName,
        options: &RegisterOptions,
    ) -> Result<(), DriverError> {
        let (gateway, _lock) = self.begin(name, &registering(name))?;
        self.register_locked(&gateway, options)
    }

    /// Registers a gateway whose profile is locked.
    pub(super) fn register_locked(
        &self,
        gateway: &Gateway,
        options: &RegisterOptions,
    ) -> Result<(), DriverError> {
        let (options, _port) =
            self.begin_registration(gateway, options, None, self.store.timeout())?;
        self.driver.create(gateway, &options)?;
        self.record(gateway.name(), What::Registered, "");
        Ok(())
    }

    /// The first half of a registration, of a gateway whose profile is locked: what its service is to be created with, and
    /// the lock of its port. `named` are the ports that profiles name, if they were read before. Waits at most `timeout`
    /// for the lock; without any, another command's lock is an error.
    pub(super) fn begin_registration(
        &self,
        gateway: &Gateway,
        options: &RegisterOptions,
        named: Option<&NamedPorts>,
        timeout: Duration,
    ) -> Result<(CreateOptions, Option<Lock>), DriverError> {
        let name = gateway.name();
        self.store.refuse_open(Some(gateway.home()))?;
        self.driver.check_name(name)?;
        if self.driver.exists(name)? {
            return Err(DriverError::already_registered(name));
        }
        self.claim_service(gateway, options, named, timeout)
    }

    /// The part of [`begin_registration`](Self::begin_registration) that does not depend on the service.
    pub(super) fn claim_service(
        &self,
        gateway: &Gateway,
        options: &RegisterOptions,
        named: Option<&NamedPorts>,
        timeout: Duration,
    ) -> Result<(CreateOptions, Option<Lock>), DriverError> {
        let (up, port) = match options.start_now {
            true => {
                let port = self.claim_port_of(gateway, named, timeout)?;
                self.refuse_orphan(gateway)?;
                self.refuse_foreign(gateway)?;
                Intent::Running.write(gateway.home())?;
                (self.by_default(gateway).is_none(), port)
            }
            false if self.by_default(gateway).is_some() => (false, None),
            // An orphan, or a gateway whose port belongs to another one, stays down; `start` reports that.
            false if Intent::read(gateway.home())? == Intent::Running => {
                let alone = self.refuse_orphan(gateway).and_then(|()| self.refuse_foreign(gateway));
                let port = alone.and_then(|()| self.claim_port_of(gateway, named, timeout));
                if let Err(error) = &port
                    && timeout.is_zero()
                    && matches!(error.class(), Class::TimedOut(_))
                {
                    return Err(error.clone());
                }
                (port.is_ok(), port.ok().flatten())
            }
            false => (false, None),
        };
        Ok((CreateOptions { extra_env: options.extra_env.clone(), up }, port))
    }

    pub(super) fn require_registration(&self) -> Result<(), ManagerError> {
        match self.supports_runtime_registration() {
            true => Ok(()),
            false => Err(ManagerError::RegistrationUnsupported { kind: self.kind() }),
        }
    }

    /// Removes the service of a profile that may be deleted, under its lock.
    fn remove_service(&self, name: &ProfileName, command: &str) -> Result<(), DriverError> {
        let Some(_lock) = self.begin_removal(name, command, self.store.timeout())? else {
            return Ok(());
        };
        self.driver.remove(&self.gateway_called(name))?;
        self.conclude_removal(name)
    }

    /// The first half of a removal: the profile's lock, for which it waits at most `timeout`. `None` if neither the profile
    /// nor a service exists.
    pub(super) fn begin_removal(
        &self,
        name: &ProfileName,
        command: &str,
        timeout: Duration,
    ) -> Result<Option<Lock>, DriverError> {
        if self.store.find(name)?.is_none() && !self.driver.exists(name)? {
            return Ok(None);
        }
        self.driver.check(name, command)?;
        Ok(Some(Lock::acquire(&self.store.root().profile_lock(name), timeout)?))
    }

    /// The second half of a removal, of a service that was removed.
    pub(super) fn conclude_removal(&self, name: &ProfileName) -> Result<(), DriverError> {
        self.record(name, What::Removed, "");
        if self.store.find(name)?.is_some()
            && let Err(error) = self.driver.keep_removed(name)
        {
            log::warn!("`hermes up` may create the service of `{name}` again: {error}");
        }
        Ok(())
    }
}

impl ProfileRegistrar for Supervisor {
    fn supports_runtime_registration(&self) -> bool {
        self.driver.lifetime() == Lifetime::Registered
    }

    fn check_name(&self, name: &ProfileName) -> Result<(), ManagerError> {
        self.driver.check_name(name).during(&format!("create a service for `{name}`"))
    }

    fn register_profile_gateway(
        &self,
        name: &ProfileName,
        options: &RegisterOptions,
    ) -> Result<(), ManagerError> {
        self.require_registration()?;
        self.register_gateway(name, options).during(&to_register(name))
    }

    fn unregister_profile_gateway(&self, name: &ProfileName) -> Result<(), ManagerError> {
        self.require_registration()?;
        self.remove_service(name, &unregistering(name)).during(&to_unregister(name))
    }

    fn list_profile_gateways(&self) -> Result<Vec<ProfileName>, ManagerError> {
        match self.supports_runtime_registration() {
            true => self.list_services(),
            false => Ok(Vec::new()),
        }
    }
}

/// The command line that registers a gateway.
pub(super) fn registering(name: &ProfileName) -> String {
    format!("gateway register {name}")
}

/// The command line that unregisters a gateway.
pub(super) fn unregistering(name: &ProfileName) -> String {
    format!("gateway unregister {name}")
}

pub(super) fn to_register(name: &ProfileName) -> String {
    format!("register the gateway of `{name}`")
}

pub(super) fn to_unregister(name: &ProfileName) -> String {
    format!("unregister the gateway of `{name}`")
}
