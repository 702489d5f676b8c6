//! Updates the services that another version created.

use std::collections::BTreeSet;

use super::Supervisor;
use super::batch::AT_ONCE;
use super::boot::REPAIR;
use crate::driver::{CreateOptions, DriverError, During};
use crate::error_chain::in_one_line;
use crate::gateway::Gateway;
use crate::intent::Intent;
use crate::manager::{ManagerError, RegisterOptions, ServiceManager};
use crate::name::ProfileName;
use crate::status::State;

impl Supervisor {
    /// Updates the services that another version created, if their gateways are down and their intent is
    /// `stopped`. Returns the outcome of each. Idempotent.
    pub fn renew_idle(&self) -> Result<Vec<(ProfileName, Option<String>)>, ManagerError> {
        self.driver.check_owner().during(REPAIR)?;
        let services = self.driver.survey().during(REPAIR)?.services;
        // Only a service to be updated is locked: a check creates no lock file.
        let outdated = services.into_iter().filter(|service| !service.current);
        let idle: Vec<_> =
            outdated.map(|it| it.profile).filter(|name| self.is_idle(name)).collect();
        let begin = |name: &ProfileName| {
            let begun = self.begin_replacement(name, &RegisterOptions::default(), None).ok();
            begun.filter(|_| self.is_idle(name))
        };
        let batches = idle.chunks(AT_ONCE);
        let outcomes: Vec<_> = batches.flat_map(|names| self.replace_batch(names, begin)).collect();
        let renew = |(name, outcome): (ProfileName, Option<Result<(), DriverError>>)| {
            // Another command works on it, or it is refused: by itself it waits, and reports that.
            let outcome =
                outcome.map_or_else(|| self.renew(&name), |outcome| outcome.map(|()| true));
            match outcome {
                Ok(false) => None,
                Ok(true) => Some((name, None)),
                Err(error) => Some((name, Some(in_one_line(&error)))),
            }
        };
        Ok(idle.into_iter().zip(outcomes).filter_map(renew).collect())
    }

    /// The profiles whose services another version created.
    pub fn outdated(&self) -> Result<BTreeSet<ProfileName>, ManagerError> {
        let survey =
            self.driver.survey().during("find the services that another version created")?;
        let outdated = survey.services.into_iter().filter(|service| !service.current);
        Ok(outdated.map(|service| service.profile).collect())
    }

    fn renew(&self, name: &ProfileName) -> Result<bool, DriverError> {
        let _lock = self.store.lock_profile(name)?;
        let Some(profile) = self.store.find(name)? else { return Ok(false) };
        if !self.is_idle(name) {
            return Ok(false);
        }
        let gateway = Gateway::new(profile);
        let extra_env = self.driver.extra_env(name)?;
        self.driver.remove(&gateway)?;
        self.driver.create(&gateway, &CreateOptions { extra_env, up: false })?;
        Ok(true)
    }

    /// Whether the gateway of `name` is down, and its intent is `stopped`.
    fn is_idle(&self, name: &ProfileName) -> bool {
        self.status(name).is_ok_and(|status| {
            status.state == State::Down && status.intent == Some(Intent::Stopped)
        })
    }
}
