//! Starts, stops and restarts of many gateways, in which what concerns all of them is read once: the machine's processes
//! for a stop, the ports that profiles name for a start.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

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

/// How many gateways are stopped at the same time. Meanwhile each takes a lock, a thread and some descriptors, of which
/// a process often has 1,024.
const AT_ONCE: usize = 150;
/// How many intents are written at the same time: each waits for its disk.
const WRITERS: usize = 8;

/// A gateway whose stop has begun.
struct Begun {
    gateway: Gateway,
    /// Keeps other commands away until the outcome was observed.
    lock: Lock,
    recorded: Result<(), IntentError>,
}

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

impl Supervisor {
    /// As [`ServiceManager::start`] of each, with the outcomes in their order.
    pub fn start_many(
        &self,
        names: &[ProfileName],
        pace: Pace,
    ) -> Vec<Result<Status, ManagerError>> {
        self.paced("starting", names, pace, |name, named| {
            self.start_gateway(name, named).during(&starting(name))
        })
    }

    /// As [`ServiceManager::restart`] of each, with the outcomes in their order. One among others that `default`'s gateway
    /// serves is only observed: it is restarted with that one.
    pub fn restart_many(
        &self,
        names: &[ProfileName],
        pace: Pace,
    ) -> Vec<Result<Status, ManagerError>> {
        self.paced("restarting", names, pace, |name, named| match named {
            Some(_) if self.is_served(name)? => self.start(name),
            _ => self.restart_gateway(name, named).during(&restarting(name)),
        })
    }

    /// Calls `act` for each of `names` at this pace, with the ports that profiles name. Of a single one, only its rivals
    /// are of interest, for which it looks by itself.
    fn paced(
        &self,
        verb: &'static str,
        names: &[ProfileName],
        pace: Pace,
        act: impl Fn(&ProfileName, Option<&NamedPorts>) -> Result<Status, ManagerError> + Sync,
    ) -> Vec<Result<Status, ManagerError>> {
        // If the profiles can't be listed, each start reports that.
        let named = if names.len() > 1 { self.named_ports().ok() } else { None };
        let next = Mutex::new(Instant::now());
        let many = Many::begin(verb, names.len());
        parallel::map(names.iter().collect(), pace.jobs, |name| {
            if !pace.stagger.is_zero() {
                // Those that wait for their turn hold the lock of it.
                let mut next = next.lock().unwrap_or_else(PoisonError::into_inner);
                while let wait @ 1.. = next.saturating_duration_since(Instant::now()).as_micros() {
                    idle(Duration::from_micros(wait.try_into().unwrap_or(u64::MAX)));
                }
                *next = Instant::now() + pace.stagger;
            }
            let outcome = act(name, named.as_ref());
            many.one_done();
            outcome
        })
    }

    /// As [`ServiceManager::stop`] of each, with the outcomes in their order. All of them end at the same time, so this
    /// blocks as long as the slowest takes. Idempotent.
    pub fn stop_many(&self, names: &[ProfileName]) -> Vec<Result<Status, ManagerError>> {
        let _many = Many::begin("stopping", names.len());
        names.chunks(AT_ONCE).flat_map(|names| self.stop_batch(names)).collect()
    }

    fn stop_batch(&self, names: &[ProfileName]) -> Vec<Result<Status, ManagerError>> {
        let begin = |name| self.begin_stop(name).ok();
        let mut gateways = Vec::new();
        let mut apart = |Begun { gateway, lock, recorded }: Begun| {
            gateways.push(gateway);
            (lock, recorded)
        };
        let begun = parallel::map(names.iter().collect(), WRITERS, begin).into_iter();
        let begun: Vec<_> = begun.map(|begun| begun.map(&mut apart)).collect();
        let mut ended = self.driver.down_many(&gateways).into_iter().zip(&gateways);
        let mut conclude = |(lock, recorded)| {
            let (ended, gateway) = ended.next()?;
            Some((ended.and_then(|()| self.conclude_stop(gateway, recorded)), lock))
        };
        let concluded: Vec<_> = begun.into_iter().map(|it| it.and_then(&mut conclude)).collect();
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
        parallel::map(outcomes, WRITERS, |(outcome, name)| {
            outcome.unwrap_or_else(|| self.stop(name))
        })
    }

    /// Locks the profile, unless another command has its lock, and records the intent.
    fn begin_stop(&self, name: &ProfileName) -> Result<Begun, DriverError> {
        let command = format!("gateway stop {name}");
        let (gateway, lock) = self.begin_within(Duration::ZERO, name, &command)?;
        let recorded = self.request_stop(&gateway)?;
        Ok(Begun { gateway, lock, recorded })
    }
}
