//! One profile's gateway.

use hermes_core::{ProfileName, ServiceManager, Status, Supervisor};

use crate::error::Error;

/// The gateway of one profile, under the backend in charge.
#[derive(Debug, Clone)]
pub struct Gateway {
    supervisor: Supervisor,
    name: ProfileName,
}

impl Gateway {
    pub(crate) fn new(supervisor: Supervisor, name: ProfileName) -> Self {
        Self { supervisor, name }
    }

    /// Records the intent `running`, then starts the gateway and blocks until it is ready. Idempotent.
    pub fn start(&self) -> Result<Status, Error> {
        Ok(self.supervisor.start(&self.name)?)
    }

    /// Records the intent `stopped`, then stops the gateway and blocks until it is down. Idempotent.
    pub fn stop(&self) -> Result<Status, Error> {
        Ok(self.supervisor.stop(&self.name)?)
    }

    /// Stops the gateway if it runs, then starts it as [`start`](Self::start) does.
    pub fn restart(&self) -> Result<Status, Error> {
        Ok(self.supervisor.restart(&self.name)?)
    }

    /// The current status. Changes nothing and does not block.
    pub fn status(&self) -> Result<Status, Error> {
        Ok(self.supervisor.status(&self.name)?)
    }
}
