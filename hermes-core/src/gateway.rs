//! What every backend asks and writes down about a profile's gateway before it acts, whoever runs it.

use std::time::Duration;

use crate::config::{self, GatewayConfig};
use crate::failure::{failed, of_lock, refused};
use crate::intent::Intent;
use crate::lock::Lock;
use crate::manager::ManagerError;
use crate::name::ProfileName;
use crate::store::{Profile, Store};

/// The configuration of a profile's gateway; the defaults where it can't be read, since the gateway
/// itself is who refuses it, with the reason in its log.
pub fn config_of(profile: &Profile) -> GatewayConfig {
    config::load(&profile.home.config()).map(|loaded| loaded.gateway).unwrap_or_default()
}

/// Records what the operator wants, durably. Idempotent. Blocks until it is on disk.
pub fn record_intent(
    operation: &str,
    intent: Intent,
    profile: &Profile,
) -> Result<(), ManagerError> {
    intent.write(&profile.home).map_err(|error| failed(operation, error))
}

/// Refuses a port that another profile's gateway has; `running` answers whose gateways run. What is
/// answered is held until this one's gateway was seen to be up: of two that start at once the second is
/// to see the first. Blocks while another one is about to listen on the port, at most `timeout`. A
/// profile that names no port claims none.
pub fn claim_port(
    store: &Store,
    timeout: Duration,
    operation: &str,
    profile: &Profile,
    running: impl FnOnce() -> Result<Vec<ProfileName>, ManagerError>,
) -> Result<Option<Lock>, ManagerError> {
    let port_of = |profile: &Profile| store.port(profile).ok().flatten();
    let Some(port) = port_of(profile) else { return Ok(None) };
    let lock = Lock::acquire(&store.root().port_lock(port), timeout);
    let lock = lock.map_err(|error| of_lock(operation, error))?;
    for name in running()?.into_iter().filter(|name| *name != profile.name) {
        let home = store.root().profile(&name);
        if port_of(&Profile { name: name.clone(), home }) == Some(port) {
            let why = format!("port {port} belongs to `{name}`, whose gateway is up");
            let hint = format!("`hermes profile port {} NUMBER` gives it another", profile.name);
            return Err(refused(operation, why, Some(hint)));
        }
    }
    Ok(Some(lock))
}
