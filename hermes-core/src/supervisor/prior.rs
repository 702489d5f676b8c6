//! A service as it was before a step removed it, and the way back.

use std::collections::BTreeMap;

use super::Supervisor;
use crate::driver::{CreateOptions, DriverError};
use crate::error_class::Class;
use crate::gateway::Gateway;
use crate::intent::Intent;
use crate::interruption;
use crate::status::State;

/// The service before a rename or a deletion.
#[derive(Debug, Clone, Default)]
pub(super) struct PriorState {
    /// It existed.
    pub existed: bool,
    /// Its gateway was up, and must come up again.
    pub ran: bool,
    /// It comes up without a request: the intent is `running` and no other gateway has its port.
    pub up: bool,
    /// The variables that it was created with.
    pub extra_env: BTreeMap<String, String>,
}

impl Supervisor {
    /// The service before a deletion. What can't be read does not keep a profile from being deleted.
    pub(super) fn prior_of(&self, gateway: &Gateway) -> PriorState {
        let up = Intent::read(gateway.home()).is_ok_and(|intent| intent == Intent::Running);
        let status = self.driver.observe(gateway).ok();
        PriorState {
            existed: status.as_ref().is_some_and(|status| status.registered),
            ran: up && status.is_some_and(|status| status.state == State::Up),
            up,
            extra_env: self.driver.extra_env(gateway.name()).unwrap_or_default(),
        }
    }

    /// Creates a service that was removed again, as it was.
    pub(super) fn restore(&self, gateway: &Gateway, prior: &PriorState) -> Result<(), DriverError> {
        interruption::shielded(|| self.restore_at_leisure(gateway, prior))
    }

    fn restore_at_leisure(&self, gateway: &Gateway, prior: &PriorState) -> Result<(), DriverError> {
        if !prior.existed {
            return Ok(());
        }
        if !self.driver.exists(gateway.name())? {
            self.create_again(gateway, prior)?;
        }
        match prior.up.then(|| self.driver.up(gateway)) {
            // A gateway that did not run before may fail to start.
            Some(Err(error)) if prior.ran => Err(error),
            _ => Ok(()),
        }
    }

    /// Removes a service. One that can't be removed is brought back as it was.
    pub(super) fn remove_or_restore(
        &self,
        gateway: &Gateway,
        prior: &PriorState,
    ) -> Result<(), DriverError> {
        let removed = self.driver.remove(gateway);
        removed.inspect_err(|error| self.restore_unremoved(gateway, prior, error))
    }

    /// Brings back a service as it was whose removal failed with `error`.
    pub(super) fn restore_unremoved(
        &self,
        gateway: &Gateway,
        prior: &PriorState,
        error: &DriverError,
    ) {
        // A supervisor that does not answer would not start it either.
        let is_interrupted = interruption::signal().is_some();
        if is_interrupted || matches!(error.class(), Class::Failed | Class::Denied) {
            let _ = self.restore(gateway, prior);
        }
    }

    pub(super) fn create_again(
        &self,
        gateway: &Gateway,
        prior: &PriorState,
    ) -> Result<(), DriverError> {
        let options = CreateOptions { up: prior.up, extra_env: prior.extra_env.clone() };
        self.driver.create(gateway, &options)?;
        if prior.up { self.driver.request_up(gateway) } else { Ok(()) }
    }
}
