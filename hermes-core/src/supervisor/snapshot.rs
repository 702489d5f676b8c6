//! Reads all profiles and their services, for the checks of `doctor`.

use super::Supervisor;
use crate::diagnostics::{Services, Snapshot};
use crate::driver::DriverError;
use crate::error_chain::in_one_line;
use crate::gateway::Gateway;

impl Supervisor {
    /// Reads the profiles and their services once. `options` belong to every suggested command line, each after
    /// a space. Changes nothing. For what can't be read, the snapshot has the reason.
    pub fn snapshot(&self, options: &str) -> Snapshot {
        let mut snapshot = Snapshot::of_profiles(&self.store, options);
        snapshot.services =
            self.services_of(&snapshot.gateways).map_err(|error| in_one_line(&error));
        snapshot
    }

    fn services_of(&self, gateways: &[Gateway]) -> Result<Services, DriverError> {
        self.driver.reach()?;
        let plan = self.plan_services()?;
        let names = gateways.iter().map(|gateway| gateway.name().clone());
        Ok(Services { statuses: names.zip(self.observe_many(gateways)?).collect(), plan })
    }
}
