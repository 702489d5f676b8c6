//! Registers and unregisters many gateways at the same time, so that a backend notifies its supervisor once for all.

use std::time::Duration;

use super::Supervisor;
use super::batch::{AT_ONCE, AT_ONCE_WITH_PORT, Acted, WRITERS, at_once};
use super::service::{registering, to_register, to_unregister, unregistering};
use crate::events::What;
use crate::manager::{During, ManagerError, ProfileRegistrar, RegisterOptions};
use crate::name::ProfileName;
use crate::parallel;
use crate::waiting::Many;

/// The outcomes of a batch; `None` for each gateway that was left out of it.
type Outcomes = Vec<Option<Result<(), ManagerError>>>;

impl Supervisor {
    /// As [`ProfileRegistrar::register_profile_gateway`] of each, with the outcomes in their order. Blocks until all are
    /// supervised. Of those that start with their services, at most `jobs` begin at the same time.
    pub fn register_many(
        &self,
        names: &[ProfileName],
        options: &RegisterOptions,
        jobs: usize,
    ) -> Vec<Result<(), ManagerError>> {
        let _many = Many::begin("registering", names.len());
        let at_once =
            if options.start_now { jobs.clamp(1, AT_ONCE_WITH_PORT) } else { AT_ONCE_WITH_PORT };
        let batches = names.chunks(at_once);
        let this = self.for_many();
        let batches = batches.flat_map(|names| this.register_batch(names, options));
        completed(names, batches.collect(), |name| self.register_profile_gateway(name, options))
    }

    fn register_batch(&self, names: &[ProfileName], options: &RegisterOptions) -> Outcomes {
        let named = self.ports_for(names);
        let begin = |name: &ProfileName| {
            self.require_registration().ok()?;
            let begun = self.begin_within(Duration::ZERO, name, &registering(name));
            let (gateway, lock) = begun.ok()?;
            let begun = self.begin_registration(&gateway, options, named.as_ref(), Duration::ZERO);
            let (options, port) = begun.ok()?;
            Some((gateway, (options, lock, port)))
        };
        let created = at_once(names, begin, |gateways, held| {
            let options = held.iter().map(|(options, _, _)| options);
            self.driver.create_many(&gateways.iter().zip(options).collect::<Vec<_>>())
        });
        let conclude = |(gateway, _held, created): Acted<_>| {
            let recorded = created.map(|()| self.record(gateway.name(), What::Registered, ""));
            recorded.during(&to_register(gateway.name()))
        };
        created.into_iter().map(|created| created.map(conclude)).collect()
    }

    /// As [`ProfileRegistrar::unregister_profile_gateway`] of each, with the outcomes in their order. All of them end at the
    /// same time, so this blocks as long as the slowest takes. Idempotent.
    pub fn unregister_many(&self, names: &[ProfileName]) -> Vec<Result<(), ManagerError>> {
        let _many = Many::begin("unregistering", names.len());
        let this = self.for_many();
        let batches = names.chunks(AT_ONCE).flat_map(|names| this.unregister_batch(names));
        completed(names, batches.collect(), |name| self.unregister_profile_gateway(name))
    }

    fn unregister_batch(&self, names: &[ProfileName]) -> Outcomes {
        let begin = |name: &ProfileName| {
            self.require_registration().ok()?;
            let lock = self.begin_removal(name, &unregistering(name), Duration::ZERO);
            Some((self.gateway_called(name), lock.ok()??))
        };
        let removed = at_once(names, begin, |gateways, _| self.driver.remove_many(gateways));
        let conclude = |(gateway, _lock, removed): Acted<_>| {
            let name = gateway.name();
            removed.and_then(|()| self.conclude_removal(name)).during(&to_unregister(name))
        };
        removed.into_iter().map(|removed| removed.map(conclude)).collect()
    }
}

/// The outcomes of `names`, with those of `single` for each that was left out of its batch: another command works on it,
/// or another one of these has its port, or it is refused, which `single` reports.
pub(super) fn completed(
    names: &[ProfileName],
    outcomes: Outcomes,
    single: impl Fn(&ProfileName) -> Result<(), ManagerError> + Sync,
) -> Vec<Result<(), ManagerError>> {
    let outcomes = outcomes.into_iter().zip(names).collect();
    parallel::map(outcomes, WRITERS, |(outcome, name)| outcome.unwrap_or_else(|| single(name)))
}
