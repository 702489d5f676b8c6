//! Which limits of `gateway.resources` have an effect under s6.
//!
//! Of the resource limits of a process (getrlimit(2)) only `RLIMIT_NOFILE` is what its key says. The others are no
//! substitute: `RLIMIT_NPROC` counts the processes of all gateways of a user, `RLIMIT_AS` and `RLIMIT_DATA` count for
//! each process alone (and address space that was reserved and never used), and `RLIMIT_CPU` ends a process after so
//! many seconds.

use hermes_core::config::Resource;
use hermes_core::driver::DriverError;
use rustix::process::Pid;

use super::limits::hard_limit;
use crate::tree::Tree;

pub(crate) fn enforces(tree: &Tree, resource: Resource, limit: u64) -> Result<(), DriverError> {
    match resource {
        Resource::Files => descriptors(tree, limit),
        _ => Err(DriverError::new("no resource limit of a process counts a whole gateway")
            .with_hint("run the gateway under systemd, or limit the container of the tree")),
    }
}

fn descriptors(tree: &Tree, limit: u64) -> Result<(), DriverError> {
    let svscan = tree.scandir.svscan()?.and_then(|svscan| svscan.pid);
    let svscan = svscan.and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
    match svscan.and_then(hard_limit) {
        Some(most) if most < limit => {
            Err(DriverError::new(format!("processes of this tree may open {most} files at most"))
                .with_hint(format!("start the container with `--ulimit nofile={limit}`, or `hermes up` after `ulimit -Hn {limit}`")))
        }
        _ => Ok(()),
    }
}
