//! What every driver's `up` and `down` have in common: when a gateway counts as started, and the words for
//! one that does not start or stop.

use std::time::{Duration, Instant};

use super::DriverError;
use crate::gateway::Gateway;
use crate::process_lock::other_holder;
use crate::restart;
use crate::status::{Exit, Parked};
use crate::wait::Poll;

/// How long a gateway that never reports readiness has to stay up to count as started.
pub const SETTLED: Duration = Duration::from_secs(1);

/// Follows the process of a gateway that never reports readiness until it has stayed up for [`SETTLED`].
#[derive(Debug, Default)]
pub struct Settling(Option<(u32, Instant)>);

impl Settling {
    /// Whether the process `pid` is the one seen first, and was so for long enough. Another process begins
    /// anew.
    pub fn poll(&mut self, pid: u32) -> Poll<()> {
        let since = match self.0 {
            Some((settling, since)) if settling == pid => since,
            _ => self.0.insert((pid, Instant::now())).1,
        };
        match since.elapsed() >= SETTLED {
            true => Poll::Done(()),
            false => Poll::WaitUntil(since + SETTLED),
        }
    }
}

/// The error of a gateway that was not ready in time; `last_seen` is its state at the end.
pub fn not_ready(gateway: &Gateway, waited: Duration, last_seen: &str) -> DriverError {
    let name = gateway.name();
    DriverError::timed_out(waited, last_seen)
        .with_hint(format!("it goes on starting; `hermes gateway logs {name}` shows what it does"))
}

/// The error of a gateway that is parked, or died before it was ready. `supervisor` is what goes on trying;
/// `supervised` is the supervisor's process, if it has one.
pub fn died(
    gateway: &Gateway,
    supervisor: &str,
    parked: Option<&Parked>,
    exit: Option<Exit>,
    supervised: Option<u32>,
) -> DriverError {
    let why = match (parked, restart::fault(&gateway.home().fault())) {
        (Some(parked), _) => format!("it is parked: {}", parked.reason),
        (None, Some(fault)) => {
            format!("it can't start, and {supervisor} goes on trying: {fault}")
        }
        (None, None) => {
            let exit = exit.map_or_else(String::new, |exit| format!(" ({exit})"));
            format!("it died{exit} before it was ready; {supervisor} goes on trying")
        }
    };
    DriverError::new(why).with_hint(hint_after_death(gateway, supervised))
}

/// What to do about a gateway that does not start: another process may be in its way.
pub fn hint_after_death(gateway: &Gateway, supervised: Option<u32>) -> String {
    let name = gateway.name();
    match other_holder(&gateway.home().gateway_lock(), supervised) {
        Ok(Some(_)) => format!("`hermes gateway restart {name}` ends the one that runs"),
        _ => format!("`hermes gateway logs {name}` shows what it said"),
    }
}

/// The error of a process that did not end in time; `last_seen` says which.
pub fn not_ended(waited: Duration, last_seen: String) -> DriverError {
    DriverError::timed_out(waited, last_seen)
        .with_hint("a process that the kernel can't kill waits for a disk or a network file system")
}
