//! Strays: supervisors that no s6-svscan looks after.
//!
//! When s6-svscan is killed its supervisors live on. A new one can neither adopt nor stop them: it
//! starts another supervisor for the same slot once a second, which fails for the lock
//! (`s6-supervise.c`). They are told apart by their parent.
//!
//! A logger whose own supervisor was killed lives on, too, as long as s6-svscan holds its pipe, and keeps
//! the log directory's lock (`s6-log.html`), for which its successor then asks once a second.

use std::collections::BTreeSet;
use std::io;
use std::time::Instant;

use hermes_core::ProfileName;
use hermes_core::manager::ManagerError;
use hermes_core::process_lock::{self, Holder};
use rustix::process::Signal;

use crate::control::{self, service};
use crate::error::{failed, timed_out};
use crate::layout::ServiceDir;
use crate::registry::{LOGGER_GRACE, end_logger};
use crate::tree::Tree;
use crate::wait::{self, Poll, Process};
use hermes_core::proc::Proc;

/// The s6-svscan that holds a scan directory, if one does, looked at once for any number of slots.
#[derive(Debug, Clone)]
pub(crate) struct SvscanView<'a> {
    proc: &'a Proc,
    svscan: Option<Holder>,
    /// Of many supervisors, those that need not be asked for their parents: the kernel takes its time
    /// over each.
    children: BTreeSet<u32>,
}

impl<'a> SvscanView<'a> {
    pub(crate) fn new(proc: &'a Proc, svscan: Option<Holder>) -> Self {
        Self { proc, svscan, children: BTreeSet::new() }
    }

    /// Whether `supervisor` is no child of that s6-svscan. What lives in another pid namespace can't be
    /// told, and counts as none.
    pub(crate) fn is_stray(&self, supervisor: Holder) -> bool {
        let Some(supervisor) = supervisor.pid else { return false };
        match self.svscan {
            None => true,
            Some(Holder { pid: None }) => false,
            Some(_) if self.children.contains(&supervisor) => false,
            // One that ended in between is gone, not stray.
            Some(Holder { pid: Some(svscan) }) => {
                self.proc.parent(supervisor).is_ok_and(|parent| parent != svscan)
            }
        }
    }
}

impl Tree {
    /// Who looks after a slot.
    pub(crate) fn svscan_view(&self) -> io::Result<SvscanView<'_>> {
        Ok(SvscanView::new(&self.proc, self.scandir.svscan()?))
    }

    /// Who looks after many slots.
    pub(crate) fn svscan_view_of_many(&self) -> io::Result<SvscanView<'_>> {
        let svscan_view = self.svscan_view()?;
        let svscan = svscan_view.svscan.and_then(|svscan| svscan.pid);
        Ok(SvscanView {
            children: svscan.map_or_else(BTreeSet::new, |pid| self.proc.children(pid)),
            ..svscan_view
        })
    }

    /// The supervisors of `slot`, service first, that no s6-svscan looks after.
    pub fn strays(&self, slot: &ServiceDir) -> io::Result<Vec<(ServiceDir, Process)>> {
        let mut strays = Vec::new();
        let svscan_view = self.svscan_view()?;
        for part in slot.parts() {
            let Some(supervisor) = part.supervisor()? else { continue };
            if svscan_view.is_stray(supervisor)
                && let Some(process) = supervisor.pid.map(Process::open).transpose()?.flatten()
            {
                strays.push((part, process));
            }
        }
        Ok(strays)
    }
}

/// Ends the strays of a slot whose service is down, and blocks until they are gone. The logger ends
/// at the end of its pipe, or is told to where some process holds that open.
pub(crate) fn end(tree: &Tree, operation: &str, slot: &ServiceDir) -> Result<(), ManagerError> {
    let strays = tree.strays(slot).map_err(|error| failed(operation, error))?;
    if strays.is_empty() {
        return Ok(());
    }
    for (part, _) in &strays {
        control::send(&part.control(), &[service::EXIT])
            .map_err(|error| failed(operation, error))?;
    }
    let started = Instant::now();
    let timeout = tree.timeouts.supervise;
    let grace = started + LOGGER_GRACE.min(timeout / 2);
    let (parts, processes): (Vec<_>, Vec<_>) = strays.into_iter().unzip();
    let mut nudged = false;
    let done = wait::until(&mut [], &processes, started + timeout, || {
        if processes.iter().all(Process::has_ended) {
            return Ok(Poll::Done(()));
        }
        if !nudged && Instant::now() >= grace {
            if parts.contains(&slot.log()) {
                end_logger(slot).map_err(|error| failed(operation, error))?;
            }
            nudged = true;
        }
        Ok(Poll::WaitUntil(grace))
    })?;
    done.ok_or_else(|| {
        let living = processes.iter().filter(|process| !process.has_ended());
        let living = living.map(|process| tree.proc.title(process.pid)).collect::<Vec<_>>();
        let saw = format!("{} still supervises it, and no s6-svscan that", living.join(", "));
        timed_out(operation, timeout, saw, "`hermes doctor` shows what is left")
    })
}

/// Ends the logger of `profile` that has no supervisor, if there is one, and blocks until it is gone. It
/// loses no line: what it has not read stays in the pipe for its successor. Idempotent.
pub(crate) fn end_lone_logger(
    tree: &Tree,
    operation: &str,
    profile: &ProfileName,
) -> Result<(), ManagerError> {
    let io = |error: io::Error| failed(operation, error);
    let Some(logger) = lone_logger(tree, profile).map_err(io)? else { return Ok(()) };
    // s6-log, told to protect its lines, takes no SIGTERM.
    logger.signal(Signal::HUP).map_err(io)?;
    let timeout = tree.timeouts.supervise;
    let done =
        wait::until(&mut [], std::slice::from_ref(&logger), Instant::now() + timeout, || {
            Ok(if logger.has_ended() { Poll::Done(()) } else { Poll::Wait })
        })?;
    done.ok_or_else(|| {
        let saw = format!("{} still logs, and nobody supervises it", tree.proc.title(logger.pid));
        timed_out(operation, timeout, saw, "it may wait for a full disk")
    })
}

fn lone_logger(tree: &Tree, profile: &ProfileName) -> io::Result<Option<Process>> {
    let lock = tree.root.gateway_logs(profile).join("lock");
    let holder = || Ok::<_, io::Error>(process_lock::holder(&lock)?.and_then(|holder| holder.pid));
    let Some(process) = holder()?.map(Process::open).transpose()?.flatten() else {
        return Ok(None);
    };
    // Only now does the number mean one process for sure.
    let parent = tree.proc.parent(process.pid).and_then(|parent| tree.proc.arguments(parent));
    let supervised = parent.is_ok_and(|words| words[0].ends_with("s6-supervise"));
    Ok(Some(process)
        .filter(|_| !supervised)
        .filter(|logger| holder().is_ok_and(|pid| pid == Some(logger.pid))))
}
