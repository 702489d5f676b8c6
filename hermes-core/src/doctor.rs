//! The checks that are the same under every backend, and the repairs that stop no gateway.
//!
//! | file | its checks |
//! |---|---|
//! | `home` | the root home, its profiles, `.env`, the chosen profile, the boot log |
//! | `ownership` | the owners of the homes' files |
//! | `obstacles` | entries in the place of Hermes's own files |
//! | `config`, `agent` | `config.yaml`, the gateway's program, the recorded intent; the Python agent's program |
//! | `ports`, `port_holders` | ports that are missing or used twice; the processes that listen on them |
//! | `topology` | gateways of the Python agent's that serve profiles of others |
//! | `disks` | free space and inodes |
//! | `gateways` | orphans, what runs outside of any supervisor, parked and crashing gateways, gateways whose state differs from the intent |
//! | `leftovers` | leftovers of interrupted commands and dead gateways |
//! | `resources` | limits of `gateway.resources` that have no effect here |
//! | `repair` | the repairs of `doctor --fix` |
//!
//! The checks share one [`Snapshot`].

mod agent;
mod config;
mod disks;
mod gateways;
mod home;
mod leftovers;
mod obstacles;
mod ownership;
#[cfg(target_os = "linux")]
mod port_holders;
mod ports;
mod repair;
mod resources;
mod topology;

use crate::diagnostics::{Check, Examination, Snapshot};
use crate::supervisor::Supervisor;

pub use repair::{Repaired, repair};

/// All checks, including those that the backend has made: first the backend, then the home, then the services
/// and the gateways. Changes nothing.
pub fn checks(
    supervisor: &Supervisor,
    snapshot: &Snapshot,
    examination: &Examination,
) -> Vec<Check> {
    let mut checks = examination.backend.clone();
    checks.extend(home::checks(supervisor.store(), snapshot));
    checks.push(obstacles::check(snapshot));
    checks.extend(config::checks(snapshot, examination));
    checks.push(resources::check(supervisor.driver(), snapshot));
    checks.push(ports::check(snapshot));
    #[cfg(target_os = "linux")]
    checks.push(port_holders::check(supervisor.driver(), snapshot));
    checks.push(topology::check(snapshot));
    checks.push(disks::check(snapshot, examination.directory.as_ref()));
    checks.extend(examination.services.iter().cloned());
    checks.extend(gateways::checks(snapshot));
    checks.extend(leftovers::checks(supervisor, snapshot));
    checks
}
