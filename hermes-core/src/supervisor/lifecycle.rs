//! Start, stop, restart, status.

use jiff::Timestamp;

use super::Supervisor;
use crate::driver::{CreateOptions, DriverError, During};
use crate::gateway::Gateway;
use crate::intent::Intent;
use crate::kind::Kind;
use crate::manager::{ManagerError, ServiceManager};
use crate::name::ProfileName;
use crate::parallel;
use crate::status::Status;

impl Supervisor {
    fn start_gateway(&self, name: &ProfileName) -> Result<Status, DriverError> {
        let (gateway, _lock) = self.begin(name, &format!("gateway start {name}"))?;
        let _port = self.claim_port(&gateway)?;
        Intent::Running.write(gateway.home())?;
        self.create_and_bring_up(&gateway)?;
        self.observe(&gateway)
    }

    fn stop_gateway(&self, name: &ProfileName) -> Result<Status, DriverError> {
        let (gateway, _lock) = self.begin(name, &format!("gateway stop {name}"))?;
        Intent::Stopped.write(gateway.home())?;
        self.driver.down(&gateway)?;
        self.observe(&gateway)
    }

    fn restart_gateway(&self, name: &ProfileName) -> Result<Status, DriverError> {
        let (gateway, _lock) = self.begin(name, &format!("gateway restart {name}"))?;
        let _port = self.claim_port(&gateway)?;
        Intent::Running.write(gateway.home())?;
        // A service that can't be created is an error before the gateway is stopped.
        self.driver.create(&gateway, &CreateOptions::default())?;
        self.driver.down(&gateway)?;
        self.driver.up(&gateway)?;
        self.observe(&gateway)
    }

    /// Starts a gateway whose profile is locked, with its service if it has none.
    pub(super) fn create_and_bring_up(&self, gateway: &Gateway) -> Result<(), DriverError> {
        self.driver.create(gateway, &CreateOptions { up: true, ..CreateOptions::default() })?;
        self.driver.up(gateway)
    }

    /// As [`ServiceManager::status`], for a gateway whose configuration may have been read before.
    pub fn observe(&self, gateway: &Gateway) -> Result<Status, DriverError> {
        Ok(with_port(self.driver.observe(gateway)?, gateway))
    }

    /// As [`ServiceManager::statuses`], for gateways whose configurations may have been read before. The
    /// result has their order.
    pub fn observe_many(
        &self,
        gateways: &[Gateway],
    ) -> Result<Vec<Result<Status, DriverError>>, DriverError> {
        let observed = self.driver.observe_many(gateways)?.into_iter().zip(gateways).collect();
        Ok(parallel::compute(observed, |(status, gateway): (Result<_, _>, _)| {
            status.map(|status| with_port(status, gateway))
        }))
    }
}

/// The status with the port that the gateway's configuration names.
fn with_port(status: Status, gateway: &Gateway) -> Status {
    Status { port: gateway.port().ok().flatten(), ..status }
}

impl ServiceManager for Supervisor {
    fn kind(&self) -> Kind {
        self.driver.kind()
    }

    fn start(&self, name: &ProfileName) -> Result<Status, ManagerError> {
        self.start_gateway(name).during(&format!("start the gateway of `{name}`"))
    }

    fn stop(&self, name: &ProfileName) -> Result<Status, ManagerError> {
        self.stop_gateway(name).during(&format!("stop the gateway of `{name}`"))
    }

    fn restart(&self, name: &ProfileName) -> Result<Status, ManagerError> {
        self.restart_gateway(name).during(&format!("restart the gateway of `{name}`"))
    }

    fn status(&self, name: &ProfileName) -> Result<Status, ManagerError> {
        let status = self.gateway(name).map_err(DriverError::from);
        let status = status.and_then(|gateway| self.observe(&gateway));
        status.during(&reading(name))
    }

    fn statuses(
        &self,
        names: &[ProfileName],
    ) -> Result<Vec<Result<Status, ManagerError>>, ManagerError> {
        let found = parallel::compute(names.iter().collect(), |name| self.gateway(name));
        let mut gateways = Vec::new();
        let missing: Vec<_> = found
            .into_iter()
            .map(|gateway| gateway.map(|gateway| gateways.push(gateway)).err())
            .collect();
        let statuses = self.observe_many(&gateways).during("read the status of the gateways")?;
        let mut statuses = statuses.into_iter();
        let of_each = names.iter().zip(missing).filter_map(|(name, missing)| {
            let status = match missing {
                Some(error) => Err(DriverError::from(error)),
                None => statuses.next()?,
            };
            Some(status.during(&reading(name)))
        });
        Ok(of_each.collect())
    }

    fn recent_deaths(&self, name: &ProfileName) -> Result<Vec<Timestamp>, ManagerError> {
        let deaths = self.gateway(name).map_err(DriverError::from);
        let deaths = deaths.and_then(|gateway| self.driver.recent_deaths(&gateway));
        deaths.during(&format!("read the deaths of `{name}`"))
    }
}

fn reading(name: &ProfileName) -> String {
    format!("read the status of `{name}`")
}
