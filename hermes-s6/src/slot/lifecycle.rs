//! Brings one service up and down, and returns success only once its record shows the new state.
//!
//! Sources: `s6-svc.html`, `servicedir.html`. Up is the command `U` and down is `D`. They also remove and
//! create the `down` file, so a new supervisor keeps the state. The state is in the status record, deaths
//! are in the death tally, which still shows them after a quick restart.

use std::io::{self, Write as _};
use std::time::{Duration, Instant};

use hermes_core::clock;
use hermes_core::config::StopTimeout;
use hermes_core::driver::startup::{
    self, NOT_READY, NOT_SETTLED, SETTLED, STOPPED_MEANWHILE, Settling,
};
use hermes_core::error_chain::in_one_line;
use hermes_core::fsutil;
use hermes_core::proc::Life;
use hermes_core::process_lock::{Holder, holder, other_holder};
use hermes_core::restart::EXIT_CONFIG;
use hermes_core::status::Exit;
use hermes_core::waiting::{Goal, Waiting};
use hermes_core::{DriverError, Gateway, ProfileName};

use crate::protocol::control::{Sent, service};
use crate::protocol::events::{self, Poll, Process};
use crate::protocol::record::{Death, Record, parse_deaths};
use crate::slot::displaced;
use crate::slot::layout::ServiceDir;
use crate::slot::logger;
use crate::slot::policy;
use crate::slot::registry;
use crate::slot::watch::Watch;
use crate::tree::Tree;
use crate::tree::process_tracker::ProcessTracker;
use crate::tree::stray;

/// How long a new gateway may take until it has its lock: longer than it waits for it.
const TAKES_LOCK: Duration = Duration::from_secs(6);
/// How long a supervisor has no process before a stop that can't be recorded counts as done.
const GONE_SETTLED: Duration = Duration::from_millis(200);
/// The hint where only a diagnosis helps.
const DOCTOR: &str = "`hermes doctor` examines the tree";

impl ServiceDir {
    /// The status that s6-supervise last recorded.
    pub fn record(&self) -> io::Result<Record> {
        Record::parse(&fsutil::read(&self.status())?)
    }

    /// The same, or `None` if no supervisor has recorded a status yet.
    pub fn record_if_present(&self) -> io::Result<Option<Record>> {
        fsutil::read_if_there(&self.status())?.map(|bytes| Record::parse(&bytes)).transpose()
    }

    /// The deaths that the current supervisor has recorded, oldest first.
    pub fn deaths(&self) -> io::Result<Vec<Death>> {
        match fsutil::read_if_there(&self.death_tally())? {
            Some(bytes) => parse_deaths(&bytes),
            None => Ok(Vec::new()),
        }
    }
}

/// Starts the gateway, whose slot exists, and blocks until it is ready, or has stayed up for [`SETTLED`] if
/// it never reports readiness. A death in between is an error at once; s6 keeps restarting the gateway. If
/// the supervisor dies in between, the command is repeated to its successor. Idempotent.
pub fn bring_up(tree: &Tree, gateway: &Gateway) -> Result<(), DriverError> {
    let profile = gateway.name();
    let slot = &tree.scandir.slot(profile);
    prepare(slot, gateway.stop_timeout())?;
    logger::end_former_logger(tree, profile)?;
    await_requested_end(tree, gateway)?;
    let deadline = Instant::now() + tree.timeouts.start;
    loop {
        let svscan = tree.require_svscan()?;
        registry::await_supervisors(tree, slot, svscan, Vec::new())?;
        if let CommandOutcome::Done = bring_up_once(tree, gateway, deadline)? {
            return Ok(());
        }
        check_deadline(tree.timeouts.start, deadline)?;
    }
}

/// Blocks until a gateway that was told to stop has ended, at most for its stop budget. If its service were wanted up
/// again before, this end would count as a death.
fn await_requested_end(tree: &Tree, gateway: &Gateway) -> Result<(), DriverError> {
    let slot = &tree.scandir.slot(gateway.name());
    let is_ending = |record: Option<Record>| record.is_some_and(|it| !it.want_up && !it.is_down());
    if !is_ending(slot.record_if_present()?) {
        return Ok(());
    }
    let Some(mut watch) = Watch::begin(slot)? else { return Ok(()) };
    let deadline = Instant::now() + gateway.stop_timeout().budget();
    let _waiting = Waiting::begin(Goal::End(gateway.name().clone()), deadline);
    events::until(&mut watch.events, &watch.supervisor, deadline, || {
        let has_supervisor = !watch.supervisor.iter().any(Process::has_ended);
        let waits = has_supervisor && is_ending(slot.record_if_present()?);
        Ok(if waits { Poll::Wait } else { Poll::Done(()) })
    })?;
    Ok(())
}

/// An error once `deadline` has passed, after which no further supervisor gets the command.
fn check_deadline(timeout: Duration, deadline: Instant) -> Result<(), DriverError> {
    match Instant::now() < deadline {
        true => Ok(()),
        false => {
            let last_seen = "its supervisors end before they execute the command";
            Err(DriverError::timed_out(timeout, last_seen).with_hint(DOCTOR))
        }
    }
}

/// The outcome of a command to one supervisor.
enum CommandOutcome {
    /// The service has reached the requested state.
    Done,
    /// The supervisor ended before that.
    SupervisorEnded,
}

fn bring_up_once(
    tree: &Tree,
    gateway: &Gateway,
    deadline: Instant,
) -> Result<CommandOutcome, DriverError> {
    let slot = &tree.scandir.slot(gateway.name());
    let Some(mut watch) = Watch::begin(slot)? else { return Ok(CommandOutcome::SupervisorEnded) };
    watch.await_notice(tree, slot, deadline)?;
    let start = policy::record_start(slot)?;
    if send_command(tree, slot, service::UP_FOR_GOOD)? == Sent::NoReader {
        return Ok(CommandOutcome::SupervisorEnded);
    }
    let lock = gateway.home().gateway_lock();
    let takes_lock = Instant::now() + TAKES_LOCK.min(tree.timeouts.start / 2);
    let mut settling = Settling::default();
    let mut waited_for_lock = false;
    let mut wanted_up = false;
    let mut last_seen = "";
    let waiting = Waiting::begin(Goal::Ready(gateway.name().clone()), deadline);
    let done = events::until(&mut watch.events, &watch.supervisor, deadline, || {
        if watch.supervisor.iter().any(Process::has_ended) {
            return Ok(Poll::Done(CommandOutcome::SupervisorEnded));
        }
        let record = slot.record()?;
        if let Some(death) = slot.deaths()?.last().filter(|death| start.precedes(death)) {
            // s6-supervise records the death before `finish` parks the service and ends. The record above may be
            // older than the death, from before the start, when neither `run` nor `finish` ran.
            if death.exit == Exit::Code(EXIT_CONFIG) && !slot.record()?.is_down() {
                return Ok(Poll::Wait);
            }
            let parked = policy::parked(slot)?;
            return Err(startup::died(gateway, "s6", parked.as_ref(), Some(death.exit), None));
        }
        // The supervisor has executed this command, and then another one to stop.
        if wanted_up && !record.want_up {
            return Err(DriverError::new(STOPPED_MEANWHILE));
        }
        wanted_up |= record.want_up;
        // The record may be a former supervisor's, whose gateway is not a child of this one, or name a process whose
        // death its supervisor has not noticed yet.
        let lives = |pid: &u32| match watch.supervisor.first() {
            Some(supervisor) => tree.proc.life_under(supervisor.pid, *pid) != Life::Ended,
            None => true,
        };
        let Some(pid) = record.gateway().filter(lives) else {
            last_seen = "it is down";
            return Ok(Poll::Wait);
        };
        if gateway.notifies_readiness() {
            last_seen = NOT_READY;
            waiting.saw(|| startup::readiness(gateway));
            return Ok(if record.ready { Poll::Done(CommandOutcome::Done) } else { Poll::Wait });
        }
        // Before the process takes the lock, it has not become the gateway yet. It may have lost the lock since, or
        // have failed to record that it took it.
        if Instant::now() < takes_lock && holder(&lock)? != Some(Holder { pid: Some(pid) }) {
            last_seen = NOT_SETTLED;
            waited_for_lock = true;
            return Ok(Poll::WaitUntil(takes_lock));
        }
        last_seen = NOT_SETTLED;
        if !waited_for_lock && clock::age(&tree.proc, pid).is_ok_and(|age| age >= SETTLED) {
            return Ok(Poll::Done(CommandOutcome::Done));
        }
        Ok(settling.poll(pid).map(|()| CommandOutcome::Done))
    })?;
    done.ok_or_else(|| startup::not_ready(gateway, tree.timeouts.start, last_seen))
}

/// Stops the gateway of `profile` and blocks until its service is down, `finish` has ended, and no process of
/// the gateway is left: no orphan, no process of its group, none that left the group. Processes that still
/// run after the stop budget are killed. A stray supervisor ends too. Idempotent. If no supervisor runs, a
/// later one leaves the service down.
pub fn bring_down(
    tree: &Tree,
    profile: &ProfileName,
    stop_timeout: StopTimeout,
) -> Result<(), DriverError> {
    let started = Instant::now();
    let tracker = ProcessTracker::of(tree, std::slice::from_ref(profile));
    bring_service_down(tree, profile, stop_timeout, started)?;
    tracker.end(tree, started + stop_timeout.kill_after())?;
    end_former_logger(tree, profile);
    Ok(())
}

/// Ends a logger that a killed supervisor left. The gateway is down, whatever becomes of it.
pub(super) fn end_former_logger(tree: &Tree, profile: &ProfileName) {
    if let Err(error) = logger::end_former_logger(tree, profile) {
        log::warn!("the logger of `{profile}` may still run: {}", in_one_line(&error));
    }
}

/// The part of [`bring_down`] that stops the service, and asks an orphan to end.
pub(super) fn bring_service_down(
    tree: &Tree,
    profile: &ProfileName,
    stop_timeout: StopTimeout,
    started: Instant,
) -> Result<(), DriverError> {
    let slot = tree.scandir.slot(profile);
    if slot.path().is_dir() {
        prepare(&slot, stop_timeout)?;
        while slot.supervisor()?.is_some() || keep_down(&slot)? {
            if let CommandOutcome::Done = bring_down_once(tree, profile, stop_timeout, started)? {
                break;
            }
            let timeout = stop_timeout.budget() + tree.timeouts.stop_beyond_budget;
            check_deadline(timeout, started + timeout)?;
        }
        stray::end(tree, &slot)?;
    }
    request_end_of_displaced(tree, profile, &slot)
}

/// Has the supervisor end that runs an orphan of `profile` outside of its slot: it would start the gateway again.
pub(super) fn request_end_of_displaced(
    tree: &Tree,
    profile: &ProfileName,
    slot: &ServiceDir,
) -> Result<(), DriverError> {
    let orphan = other_holder(&tree.root.profile(profile).gateway_lock(), None);
    if let Ok(Some(pid)) = orphan {
        displaced::request_end(tree, slot, pid)?;
    }
    Ok(())
}

/// Creates the `down` file of a service that has no supervisor, and returns whether one has started since:
/// it may have read the directory before the file existed.
pub(crate) fn keep_down(slot: &ServiceDir) -> io::Result<bool> {
    // A supervisor looks for the file after it takes its lock.
    slot.write(&slot.down(), b"")?;
    Ok(slot.supervisor()?.is_some())
}

fn bring_down_once(
    tree: &Tree,
    profile: &ProfileName,
    stop_timeout: StopTimeout,
    started: Instant,
) -> Result<CommandOutcome, DriverError> {
    let slot = &tree.scandir.slot(profile);
    let Some(mut watch) = Watch::begin(slot)? else { return Ok(CommandOutcome::SupervisorEnded) };
    if send_command(tree, slot, service::DOWN_FOR_GOOD)? == Sent::NoReader {
        return Ok(CommandOutcome::SupervisorEnded);
    }
    let budget = stop_timeout.budget();
    let timeout = budget + tree.timeouts.stop_beyond_budget;
    let mut killed = false;
    let mut gone_since = None;
    let mut last_seen = String::new();
    let waiting = Waiting::begin(Goal::End(profile.clone()), started + timeout);
    let done = events::until(&mut watch.events, &watch.supervisor, started + timeout, || {
        if watch.supervisor.iter().any(Process::has_ended) {
            return Ok(Poll::Done(CommandOutcome::SupervisorEnded));
        }
        // A supervisor that has just started has not written its record yet, so the record may be a former
        // one's. The supervisor executes the command by creating the `down` file first.
        let executed = slot.down().try_exists()?;
        let record = slot.record_if_present()?;
        let Some(record) = record.filter(|_| executed) else {
            last_seen = "its supervisor has not executed the command yet".to_owned();
            return Ok(Poll::Wait);
        };
        if record.stays_down() {
            return Ok(Poll::Done(CommandOutcome::Done));
        }
        if is_gone_unrecorded(tree, slot, watch.supervisor.first()) {
            // Between a death and `finish` there is a moment without a process, too.
            let settled = *gone_since.get_or_insert_with(Instant::now) + GONE_SETTLED;
            last_seen = "its process is gone, which s6 can't record".to_owned();
            return Ok(match Instant::now() >= settled {
                true => Poll::Done(CommandOutcome::Done),
                false => Poll::WaitUntil(settled),
            });
        }
        gone_since = None;
        last_seen = match record.pid {
            Some(pid) if record.finishing => format!("its finish script still runs as {pid}"),
            Some(pid) => format!("it still runs as {pid}"),
            None => "it is down, but its supervisor still wants it up".to_owned(),
        };
        waiting.saw(|| last_seen.clone());
        // s6-supervise has done this after `timeout-kill`, unless it started before that file existed.
        if !killed && started.elapsed() >= budget {
            slot.send(&[service::KILL])?;
            killed = true;
        }
        Ok(Poll::WaitUntil(started + budget))
    })?;
    done.ok_or_else(|| startup::not_ended(timeout, last_seen))
}

/// Whether the supervisor of `slot` has no process left and can't record that, since the file system of the
/// scan directory is full: its record names the last process for ever.
fn is_gone_unrecorded(tree: &Tree, slot: &ServiceDir, supervisor: Option<&Process>) -> bool {
    let Some(supervisor) = supervisor else { return false };
    tree.proc.children(supervisor.pid).is_empty() && is_full(slot)
}

/// Refuses a start, before anything is stopped, if s6-supervise could not record it.
pub(crate) fn require_room(slot: &ServiceDir) -> Result<(), DriverError> {
    match is_full(slot) {
        false => Ok(()),
        true => {
            let scandir = slot.path().parent().unwrap_or(slot.path()).display();
            let why = format!("no space is left at `{scandir}`, where s6 records what it does");
            Err(DriverError::new(why)
                .with_hint("make room there; `hermes gateway stop` needs none"))
        }
    }
}

/// Whether the file system of `slot` has no room for a file of the size of s6's records.
fn is_full(slot: &ServiceDir) -> bool {
    let probe = || {
        let mut file = tempfile::tempfile_in(slot.path().join(".."))?;
        file.write_all(&[0; 64])?;
        file.sync_all()
    };
    let full = |error: io::Error| {
        matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    };
    probe().is_err_and(full)
}

/// Sends a command to the service's supervisor. A supervisor that holds its lock but doesn't read its FIFO is
/// just starting or ending, so this retries until it reads the command or has ended.
fn send_command(tree: &Tree, slot: &ServiceDir, command: u8) -> Result<Sent, DriverError> {
    logger::resume_logger(slot);
    let deadline = Instant::now() + tree.timeouts.supervise;
    let sent = events::until(&mut [], &[], deadline, || {
        let send = || Ok(slot.send(&[command])?);
        let sent = match command {
            service::UP_FOR_GOOD => tree.shutdown.unless_begun(send),
            _ => send(),
        };
        if sent? == Sent::Delivered {
            return Ok(Poll::Done(Sent::Delivered));
        }
        let supervisor = slot.supervisor()?;
        Ok(if supervisor.is_some() { Poll::Wait } else { Poll::Done(Sent::NoReader) })
    })?;
    sent.ok_or_else(|| {
        let last_seen = format!("its supervisor does not read `{}`", slot.control().display());
        DriverError::timed_out(tree.timeouts.supervise, last_seen).with_hint(DOCTOR)
    })
}

/// Writes how long a stop may take. s6-supervise reads the file at each stop.
pub(super) fn prepare(slot: &ServiceDir, stop_timeout: StopTimeout) -> io::Result<()> {
    let text = format!("{}\n", stop_timeout.kill_after().as_millis());
    if fsutil::read_if_there(&slot.timeout_kill())?.as_deref() == Some(text.as_bytes()) {
        return Ok(());
    }
    // The former budget applies where the file can't be written, as on a full disk: `bring_down_once` kills, too.
    if let Err(error) = slot.write(&slot.timeout_kill(), text.as_bytes()) {
        log::warn!("failed to record the stop timeout: {error}");
    }
    Ok(())
}
