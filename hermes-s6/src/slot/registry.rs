//! Making a slot and removing one, each whole or not at all.
//!
//! *Register*: stage, publish by rename, tell s6-svscan to scan, wait until the supervisors of
//! service and logger hold their locks and belong to that s6-svscan. *Retire*: move the slot to a dot
//! name, *then* tell s6-svscan to scan and prune, because it ends only supervisors whose entry the
//! last scan did not find; wait until both are gone; only then remove the files. Nothing is removed
//! under a live supervisor.

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

use hermes_core::DriverError;
use hermes_core::ProfileName;
use hermes_core::config::StopTimeout;
use hermes_core::error_chain::in_one_line;
use hermes_core::fsutil;
use hermes_core::process_lock::Holder;

use crate::protocol::control::{self, Sent, scan, service};
use crate::protocol::events::{self, Events, Poll, Process};
use crate::slot::layout::ServiceDir;
use crate::slot::logger::{LOGGER_GRACE, end_logger};
use crate::slot::render;
use crate::slot::stage::{self, SlotSpec, Staged};
use crate::tree::Tree;
use crate::tree::capacity::Capacity;
use crate::tree::svscan_view::SvscanView;

/// How long s6-svscan may take over a scan before it is told again: one dangling entry delays it.
const RESCAN_AFTER: Duration = Duration::from_secs(1);

/// How a slot is made.
#[derive(Debug, Clone, Default)]
pub struct Registration {
    /// Variables for the gateway's environment.
    pub extra_env: BTreeMap<String, String>,
    /// Whether the gateway starts as soon as it is supervised.
    pub up: bool,
    /// The gateway's stop budget.
    pub stop_timeout: StopTimeout,
}

/// Makes the slot of `profile` and blocks until both its supervisors run. The caller holds the
/// profile's lock. On failure nothing is left.
pub fn register(
    tree: &Tree,
    profile: &ProfileName,
    registration: &Registration,
) -> Result<(), DriverError> {
    tree.require_short_name(profile)?;
    let svscan = tree.require_svscan()?;
    tree.require_same_home(svscan)?;
    let scripts = render::scripts(&tree.programs, profile, &registration.extra_env)
        .map_err(DriverError::new)?;
    let slot = tree.scandir.slot(profile);
    let spec = SlotSpec {
        profile,
        scripts: &scripts,
        up: registration.up,
        kill_after_ms: registration.stop_timeout.kill_after().as_millis(),
    };
    let published = publish(tree, &slot, &spec, svscan)?;
    published.and_then(|events| await_supervisors(tree, &slot, svscan, events)).map_err(|error| {
        match retire(tree, &slot) {
            Ok(()) => error,
            Err(rollback) => error.with_hint(format!(
                "what is left could not be removed ({}); `hermes boot` removes it",
                in_one_line(&rollback)
            )),
        }
    })
}

/// Check, publish, trigger: what happens under the lock on the scan directory. The outer error left
/// nothing behind; after the inner one the slot is there.
fn publish(
    tree: &Tree,
    slot: &ServiceDir,
    spec: &SlotSpec<'_>,
    svscan: Holder,
) -> Result<Result<Vec<Events>, DriverError>, DriverError> {
    let _lock = tree.lock_scandir()?;
    let already = || DriverError::already_registered(spec.profile);
    if slot.path().symlink_metadata().is_ok() {
        return Err(already());
    }
    let full = Capacity::exhausted(&tree.scandir, &tree.proc, svscan.pid);
    if let Some(capacity) = full? {
        let why =
            format!("the scan directory `{}` is full: {capacity}", tree.scandir.path().display());
        let hint = "`hermes up` makes room for 5,000; `hermes doctor` shows what limits this tree";
        return Err(DriverError::new(why).with_hint(hint));
    }
    // Nothing is written before it is known that s6-svscan can be told of it.
    trigger(tree, &[])?;
    let staged = Staged::build(&tree.scandir, spec)?;
    let events: io::Result<Vec<_>> =
        staged.service().parts().iter().map(|part| Events::subscribe(&part.event())).collect();
    let events = events?;
    tree.shutdown.unless_begun(|| match staged.publish(slot) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(already()),
        Err(error) => Err(DriverError::from(error)),
    })?;
    Ok(trigger(tree, &[scan::ALARM]).map(|()| events))
}

/// Blocks until `svscan` looks after service and logger of `slot`, telling it to scan now and then.
pub(crate) fn await_supervisors(
    tree: &Tree,
    slot: &ServiceDir,
    svscan: Holder,
    mut events: Vec<Events>,
) -> Result<(), DriverError> {
    let started = Instant::now();
    let timeout = tree.timeouts.supervise;
    let mut rescan = started + RESCAN_AFTER;
    let mut missing = String::new();
    let done = events::until(&mut events, &[], started + timeout, || {
        match unsupervised_part(tree, slot, svscan)? {
            None => return Ok(Poll::Done(())),
            Some(part) => missing = part,
        }
        if Instant::now() >= rescan {
            trigger(tree, &[scan::ALARM])?;
            rescan = Instant::now() + RESCAN_AFTER;
        }
        Ok(Poll::WaitUntil(rescan))
    })?;
    done.ok_or_else(|| {
        let hint = "the output of s6-svscan says what holds it up; `hermes doctor` shows the rest";
        DriverError::timed_out(timeout, missing).with_hint(hint)
    })
}

/// What is not supervised yet by `svscan`, in words; `None` if all is.
fn unsupervised_part(tree: &Tree, slot: &ServiceDir, svscan: Holder) -> io::Result<Option<String>> {
    for part in slot.parts() {
        let Some(supervisor) = part.supervisor()? else {
            return Ok(Some(format!("no s6-supervise runs for `{}`", part.path().display())));
        };
        if SvscanView::new(&tree.proc, Some(svscan)).is_stray(supervisor) {
            let holder = supervisor.pid.map_or_else(String::new, |pid| tree.proc.title(pid));
            let svscan = svscan.pid.unwrap_or_default();
            return Ok(Some(format!(
                "`{}` is held by {holder}, which is not a child of s6-svscan {svscan}",
                part.path().display()
            )));
        }
        // It writes its first record right after it has the lock.
        if part.record().is_err() {
            return Ok(Some(format!("`{}` has no status yet", part.path().display())));
        }
    }
    Ok(None)
}

/// Takes a slot (or what is hidden of one) out of the scan directory, blocks until its supervisors
/// are gone, and removes it. The service should be down; one that is not is told to end.
pub fn retire(tree: &Tree, slot: &ServiceDir) -> Result<(), DriverError> {
    let (hidden, supervisors) = unpublish(tree, slot)?;
    await_release(tree, &hidden, &supervisors)?;
    fsutil::remove_tree_if_there(hidden.path())?;
    Ok(())
}

/// Move, trigger: what happens under the lock on the scan directory.
fn unpublish(tree: &Tree, slot: &ServiceDir) -> Result<(ServiceDir, Vec<Process>), DriverError> {
    let _lock = tree.lock_scandir()?;
    let name = slot.path().file_name().unwrap_or_default().to_string_lossy();
    let hidden =
        if name.starts_with('.') { slot.clone() } else { stage::hide(&tree.scandir, slot.path())? };
    let supervisors = supervisors(&hidden)?;
    let sent = tree.scandir.send(&[scan::ALARM, scan::NUKE])?;
    if sent == Sent::NoReader || name.starts_with('.') {
        // Nobody else ends them: there is no s6-svscan, or they may be a former one's.
        for part in hidden.parts() {
            control::send(&part.control(), &[service::DOWN, service::EXIT])?;
        }
    }
    Ok((hidden, supervisors))
}

fn await_release(
    tree: &Tree,
    hidden: &ServiceDir,
    supervisors: &[Process],
) -> Result<(), DriverError> {
    let started = Instant::now();
    let timeout = tree.timeouts.supervise;
    let mut logger_since = None;
    let mut held = String::new();
    let done = events::until(&mut [], supervisors, started + timeout, || {
        if hidden.supervisor()?.is_some() {
            held = format!("s6-supervise still holds `{}`", hidden.path().display());
            return Ok(Poll::Wait);
        }
        if hidden.log().supervisor()?.is_none() {
            return Ok(Poll::Done(()));
        }
        held = format!("the logger of `{}` still runs", hidden.path().display());
        let nudge = *logger_since.get_or_insert_with(Instant::now) + LOGGER_GRACE.min(timeout / 2);
        if Instant::now() >= nudge {
            end_logger(hidden)?;
            logger_since = None;
        }
        Ok(Poll::WaitUntil(nudge))
    })?;
    done.ok_or_else(|| {
        let hint = "nothing was removed; `hermes boot` finishes it when the supervisor is gone";
        DriverError::timed_out(timeout, held).with_hint(hint)
    })
}

fn supervisors(slot: &ServiceDir) -> io::Result<Vec<Process>> {
    let mut processes = Vec::new();
    for part in slot.parts() {
        if let Some(pid) = part.supervisor()?.and_then(|holder| holder.pid) {
            processes.extend(Process::open(pid)?);
        }
    }
    Ok(processes)
}

fn trigger(tree: &Tree, commands: &[u8]) -> Result<(), DriverError> {
    match tree.scandir.send(commands)? {
        Sent::Delivered => Ok(()),
        Sent::NoReader => Err(DriverError::unreachable(format!(
            "no s6-svscan reads `{}`",
            tree.scandir.svscan_control().display()
        ))
        .with_hint("`hermes up` runs a supervision tree for this user")),
    }
}
