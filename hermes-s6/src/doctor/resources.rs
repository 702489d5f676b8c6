//! Which limits of `gateway.resources` have an effect under s6.
//!
//! The control group of a gateway limits memory, processor time and tasks, where one can be had with those controllers.
//! Of the resource limits of a process (getrlimit(2)) only `RLIMIT_NOFILE` is what its key says. The others are no
//! substitute: `RLIMIT_NPROC` counts the processes of all gateways of a user, `RLIMIT_AS` and `RLIMIT_DATA` count for
//! each process alone (and address space that was reserved and never used), and `RLIMIT_CPU` ends a process after so
//! many seconds.

use hermes_core::ProfileName;
use hermes_core::config::Resource;
use hermes_core::control_group::ControlGroup;
use hermes_core::driver::DriverError;
use rustix::process::Pid;

use super::limits::hard_limit;
use crate::tree::Tree;

pub(crate) fn enforces(tree: &Tree, resource: Resource, limit: u64) -> Result<(), DriverError> {
    match resource {
        Resource::Files => descriptors(tree, limit),
        _ => group(tree, resource),
    }
}

fn group(tree: &Tree, resource: Resource) -> Result<(), DriverError> {
    let svscan = tree.scandir.svscan()?.and_then(|svscan| svscan.pid);
    let name = ProfileName::default_profile();
    let group =
        svscan.and_then(|svscan| ControlGroup::of_gateway(&tree.proc, svscan, &tree.root, &name));
    if group.is_some_and(|group| group.can_limit(resource)) {
        return Ok(());
    }
    let controller = resource.controller().unwrap_or_default();
    let why = format!("the tree was given no control group with the controller `{controller}`");
    Err(DriverError::new(why).with_hint(
        "start the tree with `systemd-run --user --scope -p Delegate=yes hermes up`, or limit its container",
    ))
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
