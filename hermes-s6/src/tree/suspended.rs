//! Finds the processes of a tree that SIGSTOP has suspended, and resumes them.
//!
//! Nothing happens when a process is suspended, so they are looked for. Each is known by a lock that it holds, or by
//! its supervisor's record.

use std::io;

use hermes_core::ProfileName;
use hermes_core::proc::Life;
use hermes_core::reconcile::Suspended;
use rustix::process::Signal;

use crate::protocol::events::Process;
use crate::protocol::record::Record;
use crate::protocol::resume::suspended_holder;
use crate::protocol::scandir::Listing;
use crate::slot::layout::ServiceDir;
use crate::slot::logger;
use crate::tree::Tree;

/// The suspended s6-svscan of the tree, and the suspended processes of the gateways that run or are to run. A slot
/// that can't be read is its check's to report. Does not wait.
pub(crate) fn suspended(tree: &Tree, listing: &Listing) -> io::Result<Vec<Suspended>> {
    let mut suspended = of_svscan(tree)?;
    for profile in listing.profiles() {
        let record = tree.scandir.slot(&profile).record();
        if let Ok(record) = record
            && (record.want_up || record.pid.is_some())
        {
            suspended.extend(of_recorded(tree, &profile, &record).unwrap_or_default());
        }
    }
    Ok(suspended)
}

/// The tree's s6-svscan, if it is suspended.
pub(crate) fn of_svscan(tree: &Tree) -> io::Result<Vec<Suspended>> {
    let svscan = suspended_holder(&tree.proc, &tree.scandir.svscan_lock())?;
    Ok(svscan.map(|pid| described(tree, None, pid)).into_iter().collect())
}

/// The suspended processes of a slot: its supervisors, its logger, and `finish`.
pub(crate) fn of_slot(tree: &Tree, profile: &ProfileName) -> io::Result<Vec<Suspended>> {
    of_recorded(tree, profile, &tree.scandir.slot(profile).record()?)
}

fn of_recorded(tree: &Tree, profile: &ProfileName, record: &Record) -> io::Result<Vec<Suspended>> {
    let slot = tree.scandir.slot(profile);
    let mut pids = Vec::new();
    for part in slot.parts() {
        pids.extend(suspended_holder(&tree.proc, &part.lock())?);
    }
    pids.extend(logger::suspended_logger(tree, profile)?);
    pids.extend(suspended_child(tree, &slot, record.pid.filter(|_| record.finishing))?);
    Ok(pids.into_iter().map(|pid| described(tree, Some(profile.clone()), pid)).collect())
}

/// The gateway of a slot, if it is suspended.
pub(crate) fn gateway_of(tree: &Tree, profile: &ProfileName) -> io::Result<Option<Suspended>> {
    let slot = tree.scandir.slot(profile);
    let gateway = suspended_child(tree, &slot, slot.record()?.gateway())?;
    Ok(gateway.map(|pid| described(tree, Some(profile.clone()), pid)))
}

/// The recorded process, if it is suspended and the supervisor of `slot` runs it.
fn suspended_child(
    tree: &Tree,
    slot: &ServiceDir,
    recorded: Option<u32>,
) -> io::Result<Option<u32>> {
    let Some(pid) = recorded else { return Ok(None) };
    let supervisor = slot.supervisor()?.and_then(|holder| holder.pid);
    let is_one = |supervisor| tree.proc.life_under(supervisor, pid) == Life::Suspended;
    Ok(supervisor.is_some_and(is_one).then_some(pid))
}

fn described(tree: &Tree, profile: Option<ProfileName>, pid: u32) -> Suspended {
    Suspended { profile, pid, title: tree.proc.title(pid) }
}

/// Resumes a suspended process of the tree; whether it still was one.
pub(crate) fn resume(tree: &Tree, process: &Suspended) -> io::Result<bool> {
    let Some(open) = Process::open(process.pid)? else { return Ok(false) };
    // Now that the process is open, its number can't be reused.
    let suspended = match &process.profile {
        Some(profile) => of_slot(tree, profile)?,
        None => of_svscan(tree)?,
    };
    let is_one = suspended.iter().any(|one| one.pid == process.pid);
    if is_one {
        open.signal(Signal::CONT)?;
    }
    Ok(is_one)
}
