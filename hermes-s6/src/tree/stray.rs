//! Finds and ends strays: supervisors that are not children of their scan directory's s6-svscan.
//!
//! When s6-svscan is killed, its supervisors run on. A new s6-svscan can neither adopt nor stop them: once a
//! second it starts another supervisor for the slot, which fails to take the lock (`s6-supervise.c`).

use std::io;
use std::time::Instant;

use hermes_core::DriverError;

use crate::protocol::control::service;
use crate::protocol::events::{self, Poll, Process};
use crate::slot::layout::ServiceDir;
use crate::slot::logger::{LOGGER_GRACE, end_logger};
use crate::tree::Tree;
use crate::tree::svscan_view::SvscanView;

impl Tree {
    /// The stray supervisors of `slot`, service first. Does not wait.
    pub fn strays(&self, slot: &ServiceDir) -> io::Result<Vec<(ServiceDir, Process)>> {
        strays(&self.svscan_view()?, slot)
    }
}

fn strays(svscan: &SvscanView<'_>, slot: &ServiceDir) -> io::Result<Vec<(ServiceDir, Process)>> {
    let mut strays = Vec::new();
    for part in slot.parts() {
        let Some(supervisor) = part.supervisor()? else { continue };
        if svscan.is_stray(supervisor)
            && let Some(process) = supervisor.pid.map(Process::open).transpose()?.flatten()
        {
            strays.push((part, process));
        }
    }
    Ok(strays)
}

/// As [`end`], of one of many slots, for which `svscan` was read a moment ago.
pub(crate) fn end_of_many(
    tree: &Tree,
    svscan: &SvscanView<'_>,
    slot: &ServiceDir,
) -> Result<(), DriverError> {
    match strays(svscan, slot)?.is_empty() {
        true => Ok(()),
        // Another s6-svscan may have started since.
        false => end(tree, slot),
    }
}

/// Ends the strays of a slot whose service is down, and blocks until they have ended. If a process holds the
/// logger's pipe open, the logger is ended too.
pub(crate) fn end(tree: &Tree, slot: &ServiceDir) -> Result<(), DriverError> {
    let strays = tree.strays(slot)?;
    if strays.is_empty() {
        return Ok(());
    }
    for (part, _) in &strays {
        part.send(&[service::EXIT])?;
    }
    let started = Instant::now();
    let timeout = tree.timeouts.supervise;
    let grace = started + LOGGER_GRACE.min(timeout / 2);
    let (parts, processes): (Vec<_>, Vec<_>) = strays.into_iter().unzip();
    let mut logger_ended = false;
    let done = events::until(&mut [], &processes, started + timeout, || {
        if processes.iter().all(Process::has_ended) {
            return Ok(Poll::Done(()));
        }
        if !logger_ended && Instant::now() >= grace {
            if parts.contains(&slot.log()) {
                end_logger(slot)?;
            }
            logger_ended = true;
        }
        Ok(Poll::WaitUntil(grace))
    })?;
    done.ok_or_else(|| {
        let living = processes.iter().filter(|process| !process.has_ended());
        let living = living.map(|process| tree.proc.title(process.pid)).collect::<Vec<_>>();
        let last_seen = format!("stray supervisors still run: {}", living.join(", "));
        DriverError::timed_out(timeout, last_seen).with_hint("`hermes doctor` lists strays")
    })
}
