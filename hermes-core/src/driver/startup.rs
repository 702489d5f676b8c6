//! Shared by every driver's `up` and `down`: when a gateway counts as started, and the messages about a
//! gateway that does not start or stop.

use std::time::{Duration, Instant};

use super::DriverError;
use crate::gateway::Gateway;
use crate::process_lock::other_holder;
use crate::restart;
use crate::status::{Exit, Parked};
use crate::wait::Poll;

/// How long a gateway that never reports readiness must stay up to count as started.
pub const SETTLED: Duration = Duration::from_secs(1);

/// The state of a gateway that runs and has not reported readiness.
pub const NOT_READY: &str = "running, not ready";
/// The state of a gateway that never reports readiness, before it has been up for [`SETTLED`].
pub const NOT_SETTLED: &str = "running for less than a second";
/// The error of a start that another command ended.
pub const STOPPED_MEANWHILE: &str = "another command stopped it";

/// Follows the process of a gateway that never reports readiness until it has stayed up for [`SETTLED`].
#[derive(Debug, Default)]
pub struct Settling(Option<(u32, Instant)>);

impl Settling {
    /// Done once `pid` has been the same for [`SETTLED`]; another process starts the time again.
    pub fn poll(&mut self, pid: u32) -> Poll<()> {
        let since = match self.0 {
            Some((last, since)) if last == pid => since,
            _ => self.0.insert((pid, Instant::now())).1,
        };
        match since.elapsed() >= SETTLED {
            true => Poll::Done(()),
            false => Poll::WaitUntil(since + SETTLED),
        }
    }
}

/// The error of a gateway that was not ready in time; `last_seen` is its last state.
pub fn not_ready(gateway: &Gateway, waited: Duration, last_seen: &str) -> DriverError {
    let name = gateway.name();
    DriverError::timed_out(waited, last_seen)
        .with_hint(format!("it is still starting; `hermes gateway logs {name}` shows its output"))
}

/// The error of a gateway that is parked, or died before it was ready. `supervisor` is the name of the
/// program that restarts it; `supervised` is the gateway's process under that supervisor, if it has one.
pub fn died(
    gateway: &Gateway,
    supervisor: &str,
    parked: Option<&Parked>,
    exit: Option<Exit>,
    supervised: Option<u32>,
) -> DriverError {
    let reason = match (parked, restart::fault(&gateway.home().fault())) {
        (Some(parked), _) => format!("it is parked: {}", parked.reason),
        (None, Some(fault)) => {
            format!("it can't start, and {supervisor} keeps restarting it: {fault}")
        }
        (None, None) => {
            let exit = exit.map_or_else(String::new, |exit| format!(" ({exit})"));
            format!("it died{exit} before it was ready; {supervisor} keeps restarting it")
        }
    };
    DriverError::new(reason).with_hint(hint_after_death(gateway, supervised))
}

/// The hint for a gateway that does not start, maybe because another process already is the gateway.
pub fn hint_after_death(gateway: &Gateway, supervised: Option<u32>) -> String {
    let name = gateway.name();
    match other_holder(&gateway.home().gateway_lock(), supervised) {
        Ok(Some(_)) => {
            format!(
                "its lock is held; `hermes gateway restart {name}` ends the process that holds it"
            )
        }
        _ => format!("`hermes gateway logs {name}` shows its output"),
    }
}

/// The error of a gateway that did not end in time; `last_seen` names the process that still runs.
pub fn not_ended(waited: Duration, last_seen: String) -> DriverError {
    DriverError::timed_out(waited, last_seen)
        .with_hint("a process that survives SIGKILL is waiting for a disk or a network file system")
}
