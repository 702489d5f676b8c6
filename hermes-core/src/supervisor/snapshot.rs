//! One look at all profiles and their services, for the checks of `doctor`.

use super::Supervisor;
use super::lifecycle::with_port;
use crate::diagnostics::{Services, Snapshot};
use crate::driver::DriverError;
use crate::error_chain::in_one_line;
use crate::gateway::Gateway;

impl Supervisor {
    /// Looks once at the profiles and their services. `options` are those that belong to every command
    /// line that is suggested, each with a space before it. Changes nothing. What can't be looked at is
    /// in the snapshot, with the reason.
    pub fn snapshot(&self, options: &str) -> Snapshot {
        let mut snapshot = Snapshot::of_profiles(&self.store, options);
        snapshot.services =
            self.services_of(&snapshot.gateways).map_err(|error| in_one_line(&error));
        snapshot
    }

    fn services_of(&self, gateways: &[Gateway]) -> Result<Services, DriverError> {
        self.driver.reach()?;
        let plan = self.plan_services()?;
        let observed = self.driver.observe_many(gateways)?.into_iter().zip(gateways);
        let status = |(status, gateway): (Result<_, _>, &Gateway)| {
            (gateway.name().clone(), status.map(|status| with_port(status, gateway)))
        };
        Ok(Services { statuses: observed.map(status).collect(), plan })
    }
}
