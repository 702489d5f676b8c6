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
mod port_holders;
mod ports;
mod repair;
mod resources;
mod topology;

use crate::diagnostics::{Check, Examination, Snapshot};
use crate::parallel;
use crate::supervisor::Supervisor;

pub use repair::{Repaired, repair};

/// All checks, including those that the backend has made: first the backend, then the home, then the services
/// and the gateways. Changes nothing.
pub fn checks(
    supervisor: &Supervisor,
    snapshot: &Snapshot,
    examination: &Examination,
) -> Vec<Check> {
    let checks: Vec<Box<dyn Fn() -> Vec<Check> + Send + '_>> = vec![
        Box::new(|| examination.backend.clone()),
        Box::new(|| home::checks(supervisor.store(), snapshot)),
        Box::new(|| vec![obstacles::check(snapshot)]),
        Box::new(|| config::checks(snapshot, examination)),
        Box::new(|| vec![resources::check(supervisor.driver(), snapshot)]),
        Box::new(|| vec![ports::check(snapshot)]),
        Box::new(|| vec![port_holders::check(supervisor.driver(), snapshot)]),
        Box::new(|| vec![topology::check(snapshot)]),
        Box::new(|| vec![disks::check(snapshot, examination.directory.as_ref())]),
        Box::new(|| examination.services.clone()),
        Box::new(|| gateways::checks(snapshot)),
        Box::new(|| leftovers::checks(supervisor, snapshot)),
    ];
    parallel::side_by_side(checks, snapshot.gateways.len()).into_iter().flatten().collect()
}
