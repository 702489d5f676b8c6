//! Runs and stops s6-svscan for `hermes up`.
//!
//! Sources: `s6-svscan.html`, `s6-svscanctl.html`. SIGTERM ends s6-svscan, its supervisors and their
//! services; loggers end when their pipes are closed. Before that, all services get the command to go down
//! at the same time, so that none in backoff delays the shutdown.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use hermes_core::lock::Lock;
use hermes_core::parallel;
use hermes_core::{DriverError, ProfileName, Store};
use rustix::process::Signal;

use crate::programs::S6Programs;
use crate::protocol::control::{self, Sent, service};
use crate::protocol::events::{self, Poll, Process};
use crate::slot::batch::remove_many;
use crate::slot::layout::ServiceDir;
use crate::slot::lifecycle::{bring_down, keep_down};
use crate::slot::logger::{self, LOGGER_GRACE};
use crate::slot::registry;
use crate::tree::Tree;
use crate::tree::process_tracker::ProcessTracker;

/// The limit of a tree of `hermes up` on services, not counting loggers.
pub const MAX_SERVICES: u64 = 8000;
/// How many slots of a former tree are removed at the same time, each with a lock, a thread and some descriptors.
const AT_ONCE: usize = 150;
/// How many of those are removed in parallel that commands have locked.
const JOBS: usize = 32;
/// The descriptors that s6-svscan needs for these: two per logged service, and some for itself.
pub const DESCRIPTORS: u64 = 2 * MAX_SERVICES + 64;

/// The command that runs s6-svscan on `scandir` with room for [`MAX_SERVICES`]. Runs s6-svscan once to detect
/// its options.
pub fn command(s6: &S6Programs, scandir: &Path) -> io::Result<Command> {
    let mut command = Command::new(s6.program("s6-svscan"));
    command.args(room_for(MAX_SERVICES, s6, scandir)?);
    command.arg("--").arg(scandir).stdin(Stdio::null());
    Ok(command)
}

/// The option of s6-svscan that limits `scandir` to this number of services, each with a logger. Runs s6-svscan once to
/// detect which one it has.
pub fn room_for(services: u64, s6: &S6Programs, scandir: &Path) -> io::Result<[String; 2]> {
    Ok(match counts_loggers(s6, scandir)? {
        true => ["-C".to_owned(), (2 * services).to_string()],
        false => ["-c".to_owned(), services.to_string()],
    })
}

/// Whether s6-svscan has the option `-C` (since s6 2.12; 2.15 no longer has `-c`). It can't print its
/// version, so this runs it on a directory that does not exist: without `-C` it reports a usage error.
fn counts_loggers(s6: &S6Programs, scandir: &Path) -> io::Result<bool> {
    const USAGE: i32 = 100;
    let status = Command::new(s6.program("s6-svscan"))
        .args(["-C", "4", "--"])
        .arg(scandir.join(".hermes-no-such-directory"))
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    Ok(status.code() != Some(USAGE))
}

/// Ends the supervisors of a former tree, which a new s6-svscan could neither adopt nor stop, and removes
/// their slots. Does nothing if an s6-svscan holds the scan directory. The caller holds the tree's lock.
/// Blocks until all have ended. A slot that fails does not stop the others: returns each with its error.
/// Idempotent.
///
/// The slot of a profile that another command has locked is cleared all the same `unlocked_after` that time, at the
/// end of a tree: the command can start nothing in it.
pub fn clear(
    tree: &Tree,
    unlocked_after: Option<Duration>,
) -> Result<Vec<(PathBuf, DriverError)>, DriverError> {
    if tree.scandir.svscan()?.is_some() || !tree.scandir.path().is_dir() {
        return Ok(Vec::new());
    }
    let clear_profile = |profile: &ProfileName, slot: &ServiceDir| {
        let lock = match unlocked_after {
            None => Some(tree.lock_profile(profile)?),
            Some(timeout) => Lock::acquire(&tree.root.profile_lock(profile), timeout).ok(),
        };
        if lock.is_none() {
            log::warn!(
                "another command holds the lock of `{profile}`; its slot is removed all the same"
            );
        }
        remove_many(tree, &[(profile, slot.stop_timeout())]).into_iter().collect()
    };
    let mut results = Vec::new();
    for profiles in tree.scandir.profiles()?.chunks(AT_ONCE) {
        let slots = profiles.iter().map(|profile| (profile, tree.scandir.slot(profile)));
        let (free, locked): (Vec<_>, Vec<_>) = slots
            .map(|(profile, slot)| (lock_if_free(tree, profile), profile, slot))
            .partition(|(lock, _, _)| lock.is_some());
        let stops = free.iter().map(|(_, profile, slot)| (*profile, slot.stop_timeout()));
        let cleared = remove_many(tree, &stops.collect::<Vec<_>>());
        results.extend(cleared.into_iter().zip(free).map(|(cleared, (_lock, profile, slot))| {
            (without_slot(tree, profile, &slot, cleared), slot)
        }));
        results.extend(parallel::map(locked, JOBS, |(_, profile, slot)| {
            let cleared = clear_profile(profile, &slot);
            (without_slot(tree, profile, &slot, cleared), slot)
        }));
    }
    results.extend(parallel::map(tree.scandir.hidden()?, JOBS, |path| {
        let slot = ServiceDir::new(path);
        (registry::retire(tree, &slot), slot)
    }));
    let failed = results.into_iter().filter_map(|(cleared, slot)| Some((slot, cleared.err()?)));
    Ok(failed.map(|(slot, error)| (slot.path().to_owned(), error)).collect())
}

/// The lock of `profile`, unless a command has it.
fn lock_if_free(tree: &Tree, profile: &ProfileName) -> Option<Lock> {
    Lock::acquire(&tree.root.profile_lock(profile), Duration::ZERO).ok()
}

/// The outcome of a removal, where another process may have removed the slot meanwhile: a command that has failed to create
/// it, as a boot of the tree that ends.
fn without_slot(
    tree: &Tree,
    profile: &ProfileName,
    slot: &ServiceDir,
    removed: Result<(), DriverError>,
) -> Result<(), DriverError> {
    match removed {
        Err(_) if slot.path().symlink_metadata().is_err() => {
            bring_down(tree, profile, slot.stop_timeout())
        }
        removed => removed,
    }
}

/// Blocks until `process`, a new s6-svscan, holds the scan directory and reads its commands.
pub fn await_ready(tree: &Tree, process: &Process) -> Result<(), DriverError> {
    let started = Instant::now();
    let timeout = tree.timeouts.supervise;
    let done = events::until(&mut [], std::slice::from_ref(process), started + timeout, || {
        if process.has_ended() {
            let hint = "see its output above";
            return Err(DriverError::unreachable("s6-svscan ended at once").with_hint(hint));
        }
        let holder = tree.scandir.svscan()?;
        // s6-svscan creates its FIFO after it takes the lock. An empty command shows whether it reads it.
        let reads = || tree.scandir.send(&[]).is_ok_and(|sent| sent == control::Sent::Delivered);
        let ready = holder.is_some_and(|holder| holder.pid == Some(process.pid)) && reads();
        Ok(if ready { Poll::Done(()) } else { Poll::Wait })
    })?;
    done.ok_or_else(|| {
        let last_seen = "s6-svscan does not hold the scan directory";
        DriverError::timed_out(timeout, last_seen).with_hint("`hermes doctor` shows the holder")
    })
}

/// Stops every gateway in parallel, each with all its processes and within its stop budget, then s6-svscan,
/// and blocks until that has ended. No intent changes.
pub fn stop(tree: &Tree, svscan: &Process) -> Result<(), DriverError> {
    let (slots, tracked) = stop_gateways(tree, Some(svscan))?;
    // A process that outlives its gateway holds the logger's pipe open, which delays s6-svscan. If that
    // process can't be ended, s6-svscan is stopped all the same.
    end(tree, svscan, &slots, longest_budget(&slots))?;
    tracked
}

/// Stops every gateway in parallel, as [`stop`] does, but not s6-svscan, which another supervisor runs.
pub fn stop_all(tree: &Tree) -> Result<(), DriverError> {
    let (_, tracked) = stop_gateways(tree, None)?;
    tracked
}

/// Stops all gateways. Returns the slots, and whether the processes that outlived their gateways ended.
fn stop_gateways(
    tree: &Tree,
    svscan: Option<&Process>,
) -> Result<(Vec<ServiceDir>, Result<(), DriverError>), DriverError> {
    tree.shutdown.begin();
    let profiles = match tree.has_scandir() {
        true => tree.scandir.profiles().unwrap_or_default(),
        // It was removed, as a runtime directory is at logout: each profile may have a gateway.
        false => profiles_of_home(tree),
    };
    let tracker = ProcessTracker::of(tree, &profiles);
    let slots: Vec<_> = profiles.iter().map(|profile| tree.scandir.slot(profile)).collect();
    slots.iter().for_each(send_down);
    let deadline = Instant::now() + longest_budget(&slots);
    // A service that is not down by then is killed after `timeout-kill`, and s6-svscan waits for it.
    let processes = svscan.map_or(&[][..], std::slice::from_ref);
    events::until(&mut [], processes, deadline, || {
        let down = |slot: &ServiceDir| slot.record().map_or(true, |record| record.is_down());
        let ended = processes.iter().any(Process::has_ended);
        let done = ended || slots.iter().all(down);
        Ok::<_, DriverError>(if done { Poll::Done(()) } else { Poll::Wait })
    })?;
    let tracked = tracker.end(tree, deadline);
    Ok((slots, tracked))
}

fn profiles_of_home(tree: &Tree) -> Vec<ProfileName> {
    let listing = Store::new(tree.root.clone()).list();
    let profiles = listing.map(|listing| listing.profiles).unwrap_or_default();
    profiles.into_iter().map(|profile| profile.name).collect()
}

/// Sends a service the command to go down. If its supervisor is just starting, the `down` file has the same
/// effect.
fn send_down(slot: &ServiceDir) {
    logger::resume_logger(slot);
    let send = || slot.send(&[service::DOWN]);
    // If sending fails, the service goes down with its supervisor, which s6-svscan ends.
    if !matches!(send(), Ok(Sent::Delivered)) && keep_down(slot).is_ok_and(|started| started) {
        let _ = send();
    }
}

fn end(
    tree: &Tree,
    svscan: &Process,
    slots: &[ServiceDir],
    budget: Duration,
) -> Result<(), DriverError> {
    svscan.signal(Signal::TERM)?;
    let started = Instant::now();
    let timeout = budget + tree.timeouts.stop_beyond_budget;
    let grace = LOGGER_GRACE.min(timeout / 2);
    let mut logger_alone: Vec<Option<Instant>> = vec![None; slots.len()];
    let done = events::until(&mut [], std::slice::from_ref(svscan), started + timeout, || {
        if svscan.has_ended() {
            return Ok::<_, DriverError>(Poll::Done(()));
        }
        for (slot, alone) in slots.iter().zip(&mut logger_alone) {
            // While its service is supervised, a logger may still get lines.
            if slot.supervisor().is_ok_and(|supervisor| supervisor.is_some()) {
                continue;
            }
            // If the logger runs on for so long, a process that was not found holds its pipe open. If that does not
            // end it, it is blocked.
            let waited = alone.get_or_insert_with(Instant::now).elapsed();
            if waited >= grace {
                let _ = logger::kill_logger(slot);
            } else if waited >= grace / 2 {
                let _ = logger::end_logger(slot);
            }
        }
        Ok(Poll::Wait)
    })?;
    done.ok_or_else(|| {
        let last_seen = format!("s6-svscan still runs as {}", svscan.pid);
        DriverError::timed_out(timeout, last_seen)
            .with_hint("`hermes doctor` lists the remaining supervisors")
    })
}

/// How long [`stop`] may take: the gateways stop in parallel, then s6-svscan ends.
pub fn shutdown_timeout(tree: &Tree) -> Duration {
    let profiles = tree.scandir.profiles().unwrap_or_default();
    let slots: Vec<_> = profiles.iter().map(|profile| tree.scandir.slot(profile)).collect();
    2 * (longest_budget(&slots) + tree.timeouts.stop_beyond_budget)
}

fn longest_budget(slots: &[ServiceDir]) -> Duration {
    slots.iter().map(|slot| slot.stop_timeout().budget()).max().unwrap_or_default()
}
