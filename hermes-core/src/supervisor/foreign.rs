//! Gateways of the Python agent's that run outside of any supervisor. Nothing is started beside them, and nothing but
//! `hermes adopt` ends them.

use super::Supervisor;
use crate::agent::Locks;
use crate::driver::DriverError;
use crate::gateway::Gateway;
use crate::name::ProfileName;
use crate::status::Status;

/// The status of `gateway`, which may be such a one.
pub(super) fn completed(locks: &Locks, status: Status, gateway: &Gateway) -> Status {
    match gateway.foreign(locks, status.pid) {
        Some(pid) => status.foreign(pid, explained(pid, gateway.name())),
        None => status,
    }
}

/// Why it is left alone, and what the user can do.
pub(super) fn explained(pid: u32, name: &ProfileName) -> String {
    format!("{}; {}", runs_as(pid), remedy(name))
}

fn runs_as(pid: u32) -> String {
    format!("process {pid} is the gateway, outside of any supervisor")
}

fn remedy(name: &ProfileName) -> String {
    format!("`hermes adopt {name}` has it supervised")
}

impl Supervisor {
    /// Fails if a gateway runs outside of any supervisor: one beside it would end it, or die of it.
    pub(super) fn refuse_foreign(&self, gateway: &Gateway) -> Result<(), DriverError> {
        match gateway.foreign(&Locks::default(), None) {
            Some(pid) => Err(DriverError::new(runs_as(pid)).with_hint(remedy(gateway.name()))),
            None => Ok(()),
        }
    }
}
