//! Replaces services by those of this version.

use std::time::Duration;

use super::Supervisor;
use super::batch::{AT_ONCE_WITH_PORT, Acted, WRITERS, at_once};
use super::lifecycle::refused;
use super::port_clash::NamedPorts;
use super::prior::PriorState;
use super::service_batch::completed;
use crate::driver::{CreateOptions, DriverError, During};
use crate::error_chain::in_one_line;
use crate::events::What;
use crate::gateway::Gateway;
use crate::lock::Lock;
use crate::manager::{ManagerError, RegisterOptions};
use crate::name::ProfileName;
use crate::parallel;
use crate::waiting::Many;

/// A service that is to be replaced, and what keeps other commands away from its profile and its port.
pub(super) struct Replacement {
    prior: PriorState,
    options: CreateOptions,
    _lock: Lock,
    _port: Option<Lock>,
}

impl Supervisor {
    /// Replaces the service of a gateway by one of this version, or registers it if it has none. A gateway that runs is
    /// stopped, and comes up again if its intent is `running`. Without variables in `options`, the new service has those
    /// of the old one. Holds the profile's lock throughout; blocks until the new service is supervised. If that fails,
    /// the gateway is registered again as it was.
    pub fn refresh(
        &self,
        name: &ProfileName,
        options: &RegisterOptions,
    ) -> Result<(), ManagerError> {
        self.require_registration()?;
        self.refresh_gateway(name, options).during(&replacing(name))
    }

    /// As [`refresh`](Self::refresh) of each, with the outcomes in their order. At most `jobs` gateways are down at the same
    /// time.
    pub fn refresh_many(
        &self,
        names: &[ProfileName],
        options: &RegisterOptions,
        jobs: usize,
    ) -> Vec<Result<(), ManagerError>> {
        let _many = Many::begin("replacing", names.len());
        let batches = names.chunks(jobs.clamp(1, AT_ONCE_WITH_PORT)).flat_map(|names| {
            let named = self.ports_for(names);
            let begin = |name: &ProfileName| {
                self.require_registration().ok()?;
                self.begin_replacement(name, options, named.as_ref()).ok()
            };
            self.replace_batch(names, begin)
        });
        let outcomes = batches.zip(names);
        let outcomes = outcomes.map(|(outcome, name)| Some(outcome?.during(&replacing(name))));
        completed(names, outcomes.collect(), |name| self.refresh(name, options))
    }

    fn refresh_gateway(
        &self,
        name: &ProfileName,
        options: &RegisterOptions,
    ) -> Result<(), DriverError> {
        let (gateway, _lock, prior) = self.begin_refresh(name, self.store.timeout())?;
        self.remove_or_restore(&gateway, &prior)?;
        let registered = self.register_locked(&gateway, &with_variables(options, &prior));
        registered.map_err(|error| self.restored_after(error, &gateway, &prior))
    }

    /// The first half of a refresh: refuses one after which the gateway would not come up again. Waits at most `timeout` for
    /// the profile's lock, which is to be held until the outcome was observed.
    fn begin_refresh(
        &self,
        name: &ProfileName,
        timeout: Duration,
    ) -> Result<(Gateway, Lock, PriorState), DriverError> {
        let command = format!("gateway register --refresh {name}");
        let (gateway, lock) = self.begin_within(timeout, name, &command)?;
        self.refuse_open(&gateway)?;
        self.driver.check_name(name)?;
        self.driver.check_replaceable(name)?;
        self.require_here(&gateway)?;
        let prior = self.prior_of(&gateway);
        if prior.up {
            gateway.loaded().map_err(refused)?;
        }
        Ok((gateway, lock, prior))
    }

    /// As [`begin_refresh`](Self::begin_refresh), with the options of the new service and the lock of its port. Refuses a
    /// gateway in whose way another process runs, and waits for nothing.
    pub(super) fn begin_replacement(
        &self,
        name: &ProfileName,
        options: &RegisterOptions,
        named: Option<&NamedPorts>,
    ) -> Result<(Gateway, Replacement), DriverError> {
        let (gateway, _lock, prior) = self.begin_refresh(name, Duration::ZERO)?;
        self.refuse_orphan(&gateway)?;
        self.refuse_foreign(&gateway)?;
        let options = with_variables(options, &prior);
        let (options, _port) = self.claim_service(&gateway, &options, named, Duration::ZERO)?;
        Ok((gateway, Replacement { prior, options, _lock, _port }))
    }

    /// Removes the services of those gateways that `begin` returns, and creates new ones. `None` for each other one.
    pub(super) fn replace_batch(
        &self,
        names: &[ProfileName],
        begin: impl Fn(&ProfileName) -> Option<(Gateway, Replacement)> + Sync,
    ) -> Vec<Option<Result<(), DriverError>>> {
        let removed = at_once(names, begin, |gateways, _| self.driver.remove_many(gateways));
        let is_removed = |(.., removed): &&Acted<_>| removed.is_ok();
        let services = removed.iter().flatten().filter(is_removed);
        let services: Vec<_> = services.map(|(gateway, it, _)| (gateway, &it.options)).collect();
        let mut created = self.driver.create_many(&services).into_iter();
        let mut with_created = |acted: Acted<Replacement>| {
            let created = acted.2.as_ref().map_or(None, |()| created.next());
            (acted, created)
        };
        let replaced = removed.into_iter().map(|it| it.map(&mut with_created)).collect();
        parallel::map(replaced, WRITERS, |replaced: Option<_>| {
            let ((gateway, held, removed), created): (Acted<Replacement>, _) = replaced?;
            let prior = &held.prior;
            Some(match (removed, created) {
                (Err(error), _) => {
                    self.restore_unremoved(&gateway, prior, &error);
                    Err(error)
                }
                (Ok(()), Some(Err(error))) => Err(self.restored_after(error, &gateway, prior)),
                (Ok(()), _) => {
                    self.record(gateway.name(), What::Registered, "");
                    Ok(())
                }
            })
        })
    }

    /// Registers a gateway again as it was, whose new service could not be created, and adds to the error if that fails.
    fn restored_after(
        &self,
        error: DriverError,
        gateway: &Gateway,
        prior: &PriorState,
    ) -> DriverError {
        match self.restore(gateway, prior) {
            Ok(()) => error,
            Err(left) => error.with_hint(format!(
                "its former service could not be registered again ({}); `hermes boot` does it",
                in_one_line(&left)
            )),
        }
    }
}

fn replacing(name: &ProfileName) -> String {
    format!("replace the service of `{name}`")
}

/// The options with the variables of the former service, if they name none.
fn with_variables(options: &RegisterOptions, prior: &PriorState) -> RegisterOptions {
    let mut options = options.clone();
    if options.extra_env.is_empty() {
        options.extra_env.clone_from(&prior.extra_env);
    }
    options
}
