//! Starts, stops and restarts of many gateways, in which what concerns all of them is read once: the machine's processes
//! for a stop, the ports that profiles name for a start, both for a restart.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::Resource;

use super::Supervisor;
use super::boot::DEFAULT_JOBS;
use super::lifecycle::{restarting, starting};
use super::port_clash::NamedPorts;
use crate::driver::{DriverError, During};
use crate::error_chain::in_one_line;
use crate::gateway::Gateway;
use crate::intent::IntentError;
use crate::lock::Lock;
use crate::manager::{ManagerError, ServiceManager};
use crate::name::ProfileName;
use crate::parallel;
use crate::status::Status;
use crate::wait::idle;
use crate::waiting::Many;

/// How many gateways are removed at the same time. Meanwhile each takes a lock, a thread and some descriptors, of which a
/// process often has 1,024.
pub(super) const AT_ONCE: usize = 150;
/// The same for those whose port is locked, too, or whose service is created, for which supervisors are awaited.
pub(super) const AT_ONCE_WITH_PORT: usize = 75;
/// How many intents are written at the same time: each waits for its disk.
pub(super) const WRITERS: usize = 8;

/// The descriptors of a gateway that is brought down: its lock, and one with which a backend watches it.
const DESCRIPTORS: u64 = 2;
/// The descriptors of everything else: files that are read, and what a backend needs for those that do not end at once.
const OTHER_DESCRIPTORS: u64 = 512;

/// How many gateways are brought down at the same time, for which the machine's processes are then looked at once: all, if
/// this process may open so many files. Each needs `more` descriptors than others do.
fn at_most(more: u64) -> usize {
    let limit = rustix::process::getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let room = limit.saturating_sub(OTHER_DESCRIPTORS) / (DESCRIPTORS + more);
    usize::try_from(room).unwrap_or(usize::MAX).max(AT_ONCE_WITH_PORT)
}

/// The lock of a profile whose gateway stops, and whether its intent was recorded.
type Stopping = (Lock, Result<(), IntentError>);

/// How many gateways start at the same time, and how far apart.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// The maximum number of gateways that are starting.
    pub jobs: usize,
    /// The least time between two that begin to start.
    pub stagger: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { jobs: DEFAULT_JOBS, stagger: Duration::ZERO }
    }
}

/// The turns of many gateways that start.
struct Turns {
    many: Many,
    pace: Pace,
    next: Mutex<Instant>,
}

impl Turns {
    fn begin(verb: &'static str, total: usize, pace: Pace) -> Self {
        Self { many: Many::begin(verb, total), pace, next: Mutex::new(Instant::now()) }
    }

    /// Calls `start` once it is the turn of another one.
    fn take<T>(&self, start: impl FnOnce() -> T) -> T {
        if !self.pace.stagger.is_zero() {
            // Those that wait for their turn hold the lock of it.
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            while let wait @ 1.. = next.saturating_duration_since(Instant::now()).as_micros() {
                idle(Duration::from_micros(wait.try_into().unwrap_or(u64::MAX)));
            }
            *next = Instant::now() + self.pace.stagger;
        }
        let outcome = start();
        self.many.one_done();
        outcome
    }
}

impl Supervisor {
    /// As [`ServiceManager::start`] of each, with the outcomes in their order.
    pub fn start_many(
        &self,
        names: &[ProfileName],
        pace: Pace,
    ) -> Vec<Result<Status, ManagerError>> {
        let named = self.ports_for(names);
        let turns = Turns::begin("starting", names.len(), pace);
        let this = if names.len() > 1 { &self.for_many() } else { self };
        let started = parallel::map(names.iter().collect(), pace.jobs, |name| {
            turns.take(|| this.start_gateway(name, named.as_ref()))
        });
        let started = this.with_lines(started, |number| names.get(number).cloned());
        let started = started.into_iter().zip(names);
        started.map(|(started, name)| started.during(&starting(name))).collect()
    }

    /// As [`ServiceManager::restart`] of each, with the outcomes in their order. All of them end at the same time, and
    /// come up again at this pace. One among others that `default`'s gateway serves is only observed: it is restarted
    /// with that one.
    pub fn restart_many(
        &self,
        names: &[ProfileName],
        pace: Pace,
    ) -> Vec<Result<Status, ManagerError>> {
        let turns = Turns::begin("restarting", names.len(), pace);
        match names {
            [name] => vec![turns.take(|| self.restart(name))],
            _ => {
                let named = self.ports_for(names);
                // Each has the lock of its port, too.
                let batches = names.chunks(at_most(1));
                let this = self.for_many();
                batches
                    .flat_map(|names| this.restart_batch(names, named.as_ref(), &turns))
                    .collect()
            }
        }
    }

    fn restart_batch(
        &self,
        names: &[ProfileName],
        named: Option<&NamedPorts>,
        turns: &Turns,
    ) -> Vec<Result<Status, ManagerError>> {
        let begin = |name: &ProfileName| self.begin_restart(name, named, Duration::ZERO).ok();
        let ended = at_once(names, begin, |gateways, _| self.driver.down_many(gateways));
        let restarted = parallel::map(ended, turns.pace.jobs, |ended| {
            let Some((gateway, _held, ended)) = ended else { return Ok(None) };
            turns.take(|| ended.and_then(|()| self.conclude_restart(&gateway))).map(Some)
        });
        let restarted = self.with_lines(restarted, |number| names.get(number).cloned());
        // Another command works on it, or another one of these has its port, or it can't be restarted: the restart of it
        // alone waits, and reports that.
        let alone = self.for_one();
        let restarted = restarted.into_iter().zip(names).collect();
        parallel::map(restarted, turns.pace.jobs, |(restarted, name)| {
            match restarted.during(&restarting(name))? {
                Some(status) => Ok(status),
                None if alone.is_served(name)? => turns.take(|| alone.start(name)),
                None => {
                    let restart = || alone.restart_gateway(name, named);
                    turns.take(restart).during(&restarting(name))
                }
            }
        })
    }

    /// As [`ServiceManager::stop`] of each, with the outcomes in their order. All of them end at the same time, so this
    /// blocks as long as the slowest takes. Idempotent.
    pub fn stop_many(&self, names: &[ProfileName]) -> Vec<Result<Status, ManagerError>> {
        let _many = Many::begin("stopping", names.len());
        let this = self.for_many();
        names.chunks(at_most(0)).flat_map(|names| this.stop_batch(names)).collect()
    }

    fn stop_batch(&self, names: &[ProfileName]) -> Vec<Result<Status, ManagerError>> {
        let begin = |name: &ProfileName| self.begin_stop(name).ok();
        let ended = at_once(names, begin, |gateways, _| self.driver.down_many(gateways));
        let mut gateways = Vec::new();
        let mut conclude = |(gateway, (lock, recorded), ended): Acted<Stopping>| {
            let outcome = ended.and_then(|()| self.conclude_stop(&gateway, recorded));
            gateways.push(gateway);
            // Other commands are kept away until the outcome was observed.
            (outcome, lock)
        };
        let concluded: Vec<_> = ended.into_iter().map(|ended| ended.map(&mut conclude)).collect();
        let observed = self.observe_many(&gateways);
        let mut statuses = observed.map(Vec::into_iter);
        let outcomes = concluded.into_iter().zip(names).map(|(concluded, name)| {
            let (outcome, _lock) = concluded?;
            let status = match &mut statuses {
                Ok(statuses) => statuses.next()?,
                // It concerns all of them.
                Err(error) => Err(DriverError::new(in_one_line(error))),
            };
            Some(outcome.and(status).during(&format!("stop the gateway of `{name}`")))
        });
        // Another command works on it, or it can't be stopped: the stop of it alone waits, and reports that.
        let outcomes = outcomes.zip(names).collect();
        let alone = self.for_one();
        parallel::map(outcomes, WRITERS, |(outcome, name)| {
            outcome.unwrap_or_else(|| alone.stop(name))
        })
    }

    /// Locks the profile, unless another command has its lock, and records the intent.
    fn begin_stop(&self, name: &ProfileName) -> Result<(Gateway, Stopping), DriverError> {
        let command = format!("gateway stop {name}");
        let (gateway, lock) = self.begin_within(Duration::ZERO, name, &command)?;
        let recorded = self.request_stop(&gateway)?;
        Ok((gateway, (lock, recorded)))
    }
}

/// A gateway of a batch, what keeps other commands away from it, and what became of it.
pub(super) type Acted<H> = (Gateway, H, Result<(), DriverError>);

/// Calls `begin` for each of `names`, then `act` once for all gateways that it returns, each with what keeps other commands
/// away. `None` for each other one.
pub(super) fn at_once<H: Send>(
    names: &[ProfileName],
    begin: impl Fn(&ProfileName) -> Option<(Gateway, H)> + Sync,
    act: impl FnOnce(&[Gateway], &[&H]) -> Vec<Result<(), DriverError>>,
) -> Vec<Option<Acted<H>>> {
    let begun = parallel::map(names.iter().collect(), WRITERS, begin);
    let mut gateways = Vec::new();
    let mut apart = |(gateway, held)| {
        gateways.push(gateway);
        held
    };
    let held: Vec<_> = begun.into_iter().map(|begun| begun.map(&mut apart)).collect();
    let outcomes = act(&gateways, &held.iter().flatten().collect::<Vec<_>>());
    let mut acted = gateways.into_iter().zip(outcomes);
    let mut with_outcome = |held| {
        let (gateway, outcome) = acted.next()?;
        Some((gateway, held, outcome))
    };
    held.into_iter().map(|held| held.and_then(&mut with_outcome)).collect()
}
