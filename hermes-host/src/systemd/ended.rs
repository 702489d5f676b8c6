//! Records a death, as `ExecStopPost=` of the unit.
//!
//! systemd runs it after every end of a gateway (systemd.service(5)) and does not say who asked for it: an agent may exit with 1
//! when it is stopped, and with 0 when nobody stopped it. But a requested stop is a job of the manager, which lasts
//! until the unit is down (org.freedesktop.systemd1(5), `Job`).

use std::time::Duration;

use hermes_core::driver::{DriverError, During};
use hermes_core::events::{Journal, What};
use hermes_core::manager::ManagerError;
use hermes_core::restart::{self, EXIT_CONFIG};
use hermes_core::status::Exit;
use hermes_core::{Intent, ProfileName};

use super::Systemd;
use super::show::{self, PROPERTIES, Properties};

/// The limit of each question, of which there are two: shorter than the shortest `TimeoutStopSec=`, which bounds both.
const TIMEOUT: Duration = Duration::from_millis(900);

impl Systemd {
    /// Records that the gateway of `name` died, unless somebody stopped it. To be called in its unit, while that stops.
    /// Blocks less than two seconds.
    pub fn record_end(&self, name: &ProfileName) -> Result<(), ManagerError> {
        let home = self.store.root().profile(name);
        // The intent comes first: most ends are stops by a command.
        if Intent::read(&home).is_ok_and(|intent| intent == Intent::Stopped) {
            return Ok(());
        }
        let died = self.unrequested_end(name).during("find out how the gateway ended")?;
        let Some(exit) = died else { return Ok(()) };
        let events = Journal::new(self.store.root()).of(name);
        events.record_death(exit);
        if exit == Exit::Code(EXIT_CONFIG) {
            let reason = restart::invalid_configuration(restart::fault(&home.fault()));
            events.record(What::Parked, reason);
        }
        Ok(())
    }

    /// How the gateway ended; `None` if somebody requested it, or if it did not run.
    fn unrequested_end(&self, name: &ProfileName) -> Result<Option<Exit>, DriverError> {
        let show = |properties: &str, what: &str| -> Result<Properties, DriverError> {
            let text =
                self.ask_within(&["show", "--timestamp=unix", properties, "--", what], TIMEOUT)?;
            Ok(show::read(&text).into_iter().next().unwrap_or_default())
        };
        let unit = show(PROPERTIES, &self.names.unit(name))?;
        if unit.result == "exec-condition" {
            return Ok(None);
        }
        // A job that starts it waits for its readiness, or for this end.
        let starts = match &unit.job {
            None => true,
            Some(job) => show("--property=JobType", job)?.job_type == "start",
        };
        Ok(unit.exit.filter(|_| starts))
    }
}
