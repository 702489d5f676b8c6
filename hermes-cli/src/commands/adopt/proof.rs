//! Proves that a gateway is the one that was to be started: which process answers on its port, and for which profile.

use std::net::SocketAddr;
use std::time::Duration;

use hermes_core::listeners::{self, Owner};
use hermes_core::{Gateway, Proc, ProfileName, State, Status};

use super::super::models;

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// As [`models::model`].
pub(super) fn model(gateway: &Gateway) -> Result<Option<(SocketAddr, String)>, String> {
    models::model(gateway, TIMEOUT)
}

/// Fails with the reason unless the supervised gateway is up, and its own process serves what the former one did, and
/// none of the other `profiles` if it is to be isolated. One that `default`'s gateway serves has no process.
pub(super) fn supervised(
    gateway: &Gateway,
    status: &Status,
    former: Option<&str>,
    profiles: &[ProfileName],
) -> Result<(), String> {
    let pid = match (status.state, status.pid) {
        (State::Served, _) => return Ok(()),
        (State::Up, Some(pid)) => pid,
        (state, _) => return Err(format!("it is {state} after its start")),
    };
    serves(gateway, pid, former)?;
    match models::other_served(gateway, profiles, TIMEOUT) {
        Some(other) => {
            Err(format!("{other}, and `gateway.topology` is `isolated`; `shared` allows that"))
        }
        None => Ok(()),
    }
}

/// Fails with the reason unless process `pid` answers on the gateway's port, and serves what the former one did.
pub(super) fn serves(gateway: &Gateway, pid: u32, former: Option<&str>) -> Result<(), String> {
    let Some((address, name)) = model(gateway)? else { return Ok(()) };
    match listeners::owner(&Proc::default(), address, pid) {
        Owner::Gateway(_) => {}
        Owner::Other(other) => {
            return Err(format!("process {other} answers at {address}, and not process {pid}"));
        }
        Owner::Unseen => return Err(format!("no process of its own answers at {address}")),
    }
    if let Some(former) = former.filter(|former| *former != name) {
        return Err(format!("it serves `{name}`, and served `{former}` before"));
    }
    Ok(())
}
