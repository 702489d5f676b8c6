//! Creates and removes slots, completely or not at all.
//!
//! *Register*: stage the slot, publish it by rename, make s6-svscan scan, and wait until the supervisors of
//! service and logger hold their locks as children of that s6-svscan. *Retire*: rename the slot to a hidden
//! name, make s6-svscan scan and prune, wait until both supervisors have ended, and remove the files. The
//! rename comes first because s6-svscan ends only supervisors whose directory the last scan did not find.
//! No file is removed under a live supervisor.

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

use hermes_core::ProfileName;
use hermes_core::config::StopTimeout;
use hermes_core::driver::{DriverError, UP};
use hermes_core::error_chain::in_one_line;
use hermes_core::error_class::Class;
use hermes_core::fsutil;
use hermes_core::interruption;
use hermes_core::parallel;
use hermes_core::process_lock::Holder;
use hermes_core::shell::quote_path;
use hermes_core::waiting::{Goal, Waiting};

use crate::protocol::control::{Sent, scan, service};
use crate::protocol::events::{self, Events, Poll, Process};
use crate::slot::layout::ServiceDir;
use crate::slot::logger::{LOGGER_GRACE, end_logger, kill_logger};
use crate::slot::render;
use crate::slot::stage::{self, SlotSpec, Staged};
use crate::tree::Tree;
use crate::tree::capacity::Capacity;
use crate::tree::svscan_view::SvscanView;

/// How long a scan may take before it is requested again: one dangling link delays s6-svscan.
const RESCAN_AFTER: Duration = Duration::from_secs(1);

/// The options of a new slot.
#[derive(Debug, Clone, Default)]
pub struct Registration {
    /// Additional variables for the gateway's environment.
    pub extra_env: BTreeMap<String, String>,
    /// Whether the supervisor starts the gateway at once.
    pub up: bool,
    /// The gateway's stop budget.
    pub stop_timeout: StopTimeout,
}

/// Creates the slot of `profile` and blocks until both its supervisors run. The caller holds the profile's
/// lock. A slot that exists already is an error. A failed registration is undone.
pub fn register(
    tree: &Tree,
    profile: &ProfileName,
    registration: &Registration,
) -> Result<(), DriverError> {
    register_many(tree, &[(profile, registration)]).into_iter().collect()
}

/// [`register`] of many at the same time, with the outcome of each in their order. s6-svscan scans once for all of them.
pub(crate) fn register_many(
    tree: &Tree,
    services: &[(&ProfileName, &Registration)],
) -> Vec<Result<(), DriverError>> {
    if services.is_empty() {
        return Vec::new();
    }
    let published = tree.require_svscan().and_then(|svscan| {
        tree.require_same_home(svscan)?;
        Ok((svscan, publish_many(tree, services, svscan)?))
    });
    let (svscan, published) = match published {
        Ok(published) => published,
        Err(error) => return services.iter().map(|_| Err(error.clone())).collect(),
    };
    parallel::map(published, services.len(), |published| {
        let (slot, events) = published?;
        let supervised = events.and_then(|events| await_supervisors(tree, &slot, svscan, events));
        supervised.map_err(|error| match interruption::shielded(|| retire(tree, &slot)) {
            Ok(()) => error,
            Err(rollback) => error.with_hint(format!(
                "failed to remove the new slot: {}; `hermes boot` removes it",
                in_one_line(&rollback)
            )),
        })
    })
}

/// A slot that was published, with the events of its supervisors, or why no scan was requested.
type Published = (ServiceDir, Result<Vec<Events>, DriverError>);

/// Publishes each and triggers one scan, under the lock on the scan directory. After an error the slot does not exist.
fn publish_many(
    tree: &Tree,
    services: &[(&ProfileName, &Registration)],
    svscan: Holder,
) -> Result<Vec<Result<Published, DriverError>>, DriverError> {
    let _lock = tree.lock_scandir()?;
    // Fails before any file is written if s6-svscan does not read its FIFO.
    trigger(tree, &[])?;
    let publish = |(profile, registration): &(&ProfileName, &Registration)| {
        publish(tree, profile, registration, svscan)
    };
    let published: Vec<_> = services.iter().map(publish).collect();
    // The supervisors of a former slot that was removed by hand end too.
    let triggered = match published.iter().any(Result::is_ok) {
        true => trigger(tree, &[scan::ALARM, scan::NUKE]),
        false => Ok(()),
    };
    let with_scan = |(slot, events)| (slot, triggered.clone().map(|()| events));
    Ok(published.into_iter().map(|published| published.map(with_scan)).collect())
}

/// Checks and publishes one slot.
fn publish(
    tree: &Tree,
    profile: &ProfileName,
    registration: &Registration,
    svscan: Holder,
) -> Result<(ServiceDir, Vec<Events>), DriverError> {
    tree.require_short_name(profile)?;
    let scripts = render::scripts(&tree.programs, profile, &registration.extra_env)
        .map_err(DriverError::new)?;
    let slot = tree.scandir.slot(profile);
    let spec = SlotSpec {
        profile,
        scripts: &scripts,
        up: registration.up,
        kill_after_ms: registration.stop_timeout.kill_after().as_millis(),
        extra_env: &registration.extra_env,
    };
    let already = || DriverError::already_registered(profile);
    if slot.path().symlink_metadata().is_ok() {
        return Err(already());
    }
    let full = Capacity::exhausted(&tree.scandir, &tree.proc, svscan.pid);
    if let Some(capacity) = full? {
        let scandir = tree.scandir.path().display();
        let reason = format!("the scan directory `{scandir}` is full: {capacity}");
        let hint =
            "`hermes up` has room for 8,000 services; `hermes doctor` shows this tree's limits";
        return Err(DriverError::new(reason).with_hint(hint));
    }
    let staged = Staged::build(&tree.scandir, &spec)?;
    let events: io::Result<Vec<_>> =
        staged.service().parts().iter().map(|part| Events::subscribe(&part.event())).collect();
    let events = events?;
    tree.shutdown.unless_begun(|| match staged.publish(&slot) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(already()),
        Err(error) => Err(DriverError::from(error)),
    })?;
    Ok((slot, events))
}

/// Blocks until `svscan` supervises service and logger of `slot`, and requests a scan now and then.
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
    let waiting = Waiting::begin(Goal::Supervised(named(slot)), started + timeout);
    let done = events::until(&mut events, &[], started + timeout, || {
        match unsupervised_part(tree, slot, svscan)? {
            None => return Ok(Poll::Done(())),
            Some(part) => missing = part,
        }
        waiting.saw(|| missing.clone());
        if Instant::now() >= rescan {
            trigger(tree, &[scan::ALARM])?;
            rescan = Instant::now() + RESCAN_AFTER;
        }
        Ok(Poll::WaitUntil(rescan))
    })?;
    done.ok_or_else(|| {
        let hint = "see the output of s6-svscan; `hermes doctor` examines the tree";
        DriverError::timed_out(timeout, missing).with_hint(hint)
    })
}

/// The name of a slot, for people.
fn named(slot: &ServiceDir) -> String {
    let name = slot.path().file_name().unwrap_or_default();
    name.to_string_lossy().trim_start_matches('.').to_owned()
}

/// Describes the part of `slot` that `svscan` does not supervise yet; `None` if it supervises both.
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
        // s6-supervise writes its first record right after it takes the lock.
        if part.record().is_err() {
            return Ok(Some(format!("`{}` has no status yet", part.path().display())));
        }
    }
    Ok(None)
}

/// Hides a slot, unless it is hidden already, blocks until its supervisors have ended, and removes it. The
/// service should be down; one that is up is stopped.
pub fn retire(tree: &Tree, slot: &ServiceDir) -> Result<(), DriverError> {
    retire_many(tree, std::slice::from_ref(slot)).into_iter().collect()
}

/// [`retire`] of many at the same time, with the outcome of each in their order. s6-svscan scans once for all of them.
pub(crate) fn retire_many(tree: &Tree, slots: &[ServiceDir]) -> Vec<Result<(), DriverError>> {
    if slots.is_empty() {
        return Vec::new();
    }
    for slot in slots.iter().filter(|slot| slot.supervisor().is_err()) {
        fsutil::open_directories(slot.path());
    }
    let unpublished = match unpublish(tree, slots) {
        Ok(unpublished) => unpublished,
        Err(error) => return slots.iter().map(|_| Err(error.clone())).collect(),
    };
    parallel::map(unpublished, slots.len(), |unpublished| {
        let (hidden, supervisors) = unpublished?;
        remove(tree, &hidden, &supervisors).map_err(|error| match error.class() {
            Class::Denied => {
                let path = quote_path(hidden.path());
                error.with_hint(format!("as root: `rm -rf {path}` removes it"))
            }
            _ => error,
        })
    })
}

/// A hidden slot, with its supervisors.
type Hidden = (ServiceDir, Vec<Process>);

/// Hides the slots and triggers one scan, under the lock on the scan directory.
fn unpublish(
    tree: &Tree,
    slots: &[ServiceDir],
) -> Result<Vec<Result<Hidden, DriverError>>, DriverError> {
    let _lock = tree.lock_scandir()?;
    let was_hidden = |slot: &ServiceDir| {
        slot.path().file_name().unwrap_or_default().as_encoded_bytes().starts_with(b".")
    };
    let hide = |slot: &ServiceDir| {
        let hidden =
            if was_hidden(slot) { slot.clone() } else { stage::hide(&tree.scandir, slot.path())? };
        let supervisors = supervisors(&hidden)?;
        Ok((hidden, supervisors))
    };
    let hidden: Vec<Result<Hidden, DriverError>> = slots.iter().map(hide).collect();
    let sent = tree.scandir.send(&[scan::ALARM, scan::NUKE])?;
    let with_end = |(hidden, slot): (Result<Hidden, DriverError>, &ServiceDir)| {
        let hidden = hidden?;
        if sent == Sent::NoReader || was_hidden(slot) {
            // No s6-svscan ends these supervisors: none runs, or they may be children of a former one.
            for part in hidden.0.parts() {
                part.send(&[service::DOWN, service::EXIT])?;
            }
        }
        Ok(hidden)
    };
    Ok(hidden.into_iter().zip(slots).map(with_end).collect())
}

/// Removes a hidden slot once its supervisors have ended. A supervisor that s6-svscan has just started holds no
/// lock yet and may fill the directory while this removes it; then this begins again.
fn remove(tree: &Tree, hidden: &ServiceDir, supervisors: &[Process]) -> Result<(), DriverError> {
    let deadline = Instant::now() + tree.timeouts.supervise;
    loop {
        await_release(tree, hidden, supervisors)?;
        match fsutil::remove_tree_if_there(hidden.path()) {
            Err(error)
                if error.kind() == io::ErrorKind::DirectoryNotEmpty
                    && Instant::now() < deadline => {}
            removed => return Ok(removed.map(drop)?),
        }
    }
}

fn await_release(
    tree: &Tree,
    hidden: &ServiceDir,
    supervisors: &[Process],
) -> Result<(), DriverError> {
    let started = Instant::now();
    let timeout = tree.timeouts.supervise;
    let (mut logger_since, mut logger_told) = (None, false);
    let mut last_seen = String::new();
    let waiting = Waiting::begin(Goal::Released(named(hidden)), started + timeout);
    let done = events::until(&mut [], supervisors, started + timeout, || {
        if hidden.supervisor()?.is_some() {
            last_seen = format!("s6-supervise still holds `{}`", hidden.path().display());
            waiting.saw(|| last_seen.clone());
            return Ok(Poll::Wait);
        }
        if hidden.log().supervisor()?.is_none() {
            return Ok(Poll::Done(()));
        }
        last_seen = format!("the logger of `{}` still runs", hidden.path().display());
        waiting.saw(|| last_seen.clone());
        let end_at = *logger_since.get_or_insert_with(Instant::now) + LOGGER_GRACE.min(timeout / 2);
        if Instant::now() >= end_at {
            // A logger that has not ended by then is blocked by its output.
            if logger_told {
                kill_logger(hidden)?
            } else {
                end_logger(hidden)?
            };
            (logger_since, logger_told) = (None, true);
        }
        Ok(Poll::WaitUntil(end_at))
    })?;
    done.ok_or_else(|| {
        let hint =
            "no file was removed; `hermes boot` removes the slot once its supervisor has ended";
        DriverError::timed_out(timeout, last_seen).with_hint(hint)
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
        .with_hint(UP)),
    }
}
