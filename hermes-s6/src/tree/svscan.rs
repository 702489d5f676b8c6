//! Running a supervision tree of one's own: what `hermes up` needs of s6-svscan.
//!
//! Sources: `s6-svscan.html`, `s6-svscanctl.html`. SIGTERM ends s6-svscan, its supervisors and their
//! services; loggers end at the end of their pipe. The services are told to go down *before* that,
//! all at once, so that none that is about to be started again holds up the end.

use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use hermes_core::DriverError;
use hermes_core::config::StopTimeout;
use hermes_core::fsutil;
use hermes_core::parallel;
use rustix::process::Signal;

use crate::programs::S6Programs;
use crate::protocol::control::{self, Sent, service};
use crate::protocol::events::{self, Poll, Process};
use crate::slot::layout::ServiceDir;
use crate::slot::lifecycle::{bring_down, keep_down};
use crate::slot::logger::{self, LOGGER_GRACE};
use crate::slot::registry;
use crate::tree::Tree;
use crate::tree::process_tracker::ProcessTracker;

/// For how many services, loggers not counted, a tree of one's own has room.
pub const MAX_SERVICES: u64 = 5000;
/// How many slots of a former tree are ended at once.
const JOBS: usize = 32;
/// How many descriptors that takes: two per logged service, and some for s6-svscan itself.
pub const DESCRIPTORS: u64 = 2 * MAX_SERVICES + 64;

/// s6-svscan on `scandir`, with room for [`MAX_SERVICES`].
pub fn command(s6: &S6Programs, scandir: &Path) -> io::Result<Command> {
    let mut command = Command::new(s6.program("s6-svscan"));
    if counts_loggers(s6, scandir)? {
        command.arg("-C").arg((2 * MAX_SERVICES).to_string());
    } else {
        command.arg("-c").arg(MAX_SERVICES.to_string());
    }
    command.arg("--").arg(scandir).stdin(Stdio::null());
    Ok(command)
}

/// Whether s6-svscan takes `-C`, as it does from s6 2.12 on; `-c` is gone in 2.15. No version can be
/// asked for, but one that knows the option gets as far as the directory, which is not there.
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

/// Ends what a former tree left in the scan directory: its supervisors, which a new s6-svscan could
/// neither adopt nor stop, and their slots. Does nothing where an s6-svscan holds the directory; the
/// caller holds the tree's lock. One slot that can't be ended keeps no other from it; the first error is
/// the answer.
pub fn clear(tree: &Tree) -> Result<(), DriverError> {
    if tree.scandir.svscan()?.is_some() || !tree.scandir.path().is_dir() {
        return Ok(());
    }
    let profiles = tree.scandir.profiles()?;
    let mut ended = parallel::map(profiles, JOBS, |profile| {
        let _lock = tree.lock_profile(&profile)?;
        let slot = tree.scandir.slot(&profile);
        bring_down(tree, &profile, budget_of(&slot))?;
        registry::retire(tree, &slot)
    });
    let hidden = tree.scandir.hidden()?;
    ended.extend(parallel::map(hidden, JOBS, |hidden| {
        registry::retire(tree, &ServiceDir::new(hidden))
    }));
    ended.into_iter().collect()
}

/// Blocks until the s6-svscan that was started as `process` holds the scan directory and reads its
/// commands.
pub fn await_ready(tree: &Tree, process: &Process) -> Result<(), DriverError> {
    let started = Instant::now();
    let timeout = tree.timeouts.supervise;
    let done = events::until(&mut [], std::slice::from_ref(process), started + timeout, || {
        if process.has_ended() {
            let hint = "its own output, above, says why";
            return Err(DriverError::unreachable("s6-svscan ended at once").with_hint(hint));
        }
        let holder = tree.scandir.svscan()?;
        // It makes its FIFO after it has the lock, and an empty command is taken by a reader alone.
        let reads = || tree.scandir.send(&[]).is_ok_and(|sent| sent == control::Sent::Delivered);
        let ready = holder.is_some_and(|holder| holder.pid == Some(process.pid)) && reads();
        Ok(if ready { Poll::Done(()) } else { Poll::Wait })
    })?;
    done.ok_or_else(|| {
        let saw = "it does not hold the scan directory".to_owned();
        DriverError::timed_out(timeout, saw).with_hint("`hermes doctor` shows who does")
    })
}

/// Stops every gateway in parallel, each with all its processes and inside its stop budget, then
/// s6-svscan, and blocks until it has ended. No intent changes.
pub fn stop(tree: &Tree, svscan: &Process) -> Result<(), DriverError> {
    let (slots, left) = stop_gateways(tree, Some(svscan))?;
    // What a gateway leaves holds its logger's pipe, and with it the end of the tree. If it can't be
    // ended, s6-svscan is told all the same.
    end(tree, svscan, &slots, longest_budget(&slots))?;
    left
}

/// Stops every gateway in parallel, as [`stop`] does, on a scan directory whose s6-svscan is somebody
/// else's to end.
pub fn stop_all(tree: &Tree) -> Result<(), DriverError> {
    let (_, left) = stop_gateways(tree, None)?;
    left
}

/// The slots whose gateways are down now, or killed, and how the end of what they leave went.
fn stop_gateways(
    tree: &Tree,
    svscan: Option<&Process>,
) -> Result<(Vec<ServiceDir>, Result<(), DriverError>), DriverError> {
    tree.shutdown.begin();
    let profiles = tree.scandir.profiles().unwrap_or_default();
    let tracker = ProcessTracker::of(tree, &profiles);
    let slots: Vec<_> = profiles.iter().map(|profile| tree.scandir.slot(profile)).collect();
    slots.iter().for_each(tell_down);
    let deadline = Instant::now() + longest_budget(&slots);
    // One that is not down by then is killed by `timeout-kill`, and s6-svscan waits for it.
    let processes = svscan.map_or(&[][..], std::slice::from_ref);
    events::until(&mut [], processes, deadline, || {
        let down = |slot: &ServiceDir| slot.record().map_or(true, |record| record.is_down());
        let ended = processes.iter().any(Process::has_ended);
        let done = ended || slots.iter().all(down);
        Ok::<_, DriverError>(if done { Poll::Done(()) } else { Poll::Wait })
    })?;
    let left = tracker.end(tree, deadline);
    Ok((slots, left))
}

/// Tells a service to go down. One whose supervisor is only just coming finds that it is to stay down.
fn tell_down(slot: &ServiceDir) {
    let tell = || control::send(&slot.control(), &[service::DOWN]);
    // What can't be told at all is told by its s6-supervise, which s6-svscan ends.
    if !matches!(tell(), Ok(Sent::Delivered)) && keep_down(slot).is_ok_and(|came| came) {
        let _ = tell();
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
    let mut alone: Vec<Option<Instant>> = vec![None; slots.len()];
    let done = events::until(&mut [], std::slice::from_ref(svscan), started + timeout, || {
        if svscan.has_ended() {
            return Ok::<_, DriverError>(Poll::Done(()));
        }
        for (slot, alone) in slots.iter().zip(&mut alone) {
            // As long as its service is there a logger has something to hear.
            if slot.supervisor().is_ok_and(|supervisor| supervisor.is_some()) {
                continue;
            }
            // Some process that could not be found holds the pipe of one that stays for so long.
            if alone.get_or_insert_with(Instant::now).elapsed() >= grace {
                let _ = logger::end_logger(slot);
                *alone = None;
            }
        }
        Ok(Poll::Wait)
    })?;
    done.ok_or_else(|| {
        let saw = format!("s6-svscan still runs as {}", svscan.pid);
        DriverError::timed_out(timeout, saw)
            .with_hint("`hermes doctor` shows which supervisors are left")
    })
}

/// How long the end of a tree may take: its gateways stop at the same time, and then it ends.
pub fn timeout_of_shutdown(tree: &Tree) -> Duration {
    let profiles = tree.scandir.profiles().unwrap_or_default();
    let slots: Vec<_> = profiles.iter().map(|profile| tree.scandir.slot(profile)).collect();
    2 * (longest_budget(&slots) + tree.timeouts.stop_beyond_budget)
}

fn longest_budget(slots: &[ServiceDir]) -> Duration {
    slots.iter().map(|slot| budget_of(slot).budget()).max().unwrap_or_default()
}

/// The budget that a slot was made with: `timeout-kill` is what it leaves to the gateway.
fn budget_of(slot: &ServiceDir) -> StopTimeout {
    let text = fsutil::read_to_string(&slot.timeout_kill()).unwrap_or_default();
    let kill_after = text.trim().parse().map(Duration::from_millis);
    kill_after.map(StopTimeout::killing_after).unwrap_or_default()
}
