//! Bringing one service up and down, and saying so only when it was seen.
//!
//! Sources: `s6-svc.html`, `servicedir.html`. Up is `U` and down is `D`: both leave their mark in the
//! `down` file, so that a supervisor that dies undoes neither. What happened is read from the status
//! record; deaths are told by the death tally, which outlives a quick restart.

use std::io;
use std::time::{Duration, Instant};

use hermes_core::config::StopTimeout;
use hermes_core::fsutil;
use hermes_core::process_lock::{Holder, holder, other_holder};
use hermes_core::restart::{self, EXIT_CONFIG};
use hermes_core::status::{Exit, Parked};
use hermes_core::{DriverError, Gateway, ProfileName};
use jiff::{SignedDuration, Timestamp};

use crate::protocol::control::{self, Sent, service};
use crate::protocol::events::{self, Events, Poll, Process};
use crate::protocol::record::{Death, Record, parse_deaths};
use crate::slot::layout::ServiceDir;
use crate::slot::logger;
use crate::slot::policy;
use crate::slot::registry;
use crate::tree::Tree;
use crate::tree::process_tracker::ProcessTracker;
use crate::tree::stray;

/// How long a gateway that never says it is ready has to stay up to count as started.
const SETTLED: Duration = Duration::from_secs(1);

impl ServiceDir {
    /// What s6-supervise last wrote down.
    pub fn record(&self) -> io::Result<Record> {
        Record::parse(&fsutil::read(&self.status())?)
    }

    /// The same, or `None` if no supervisor has written anything down yet.
    pub fn record_if_there(&self) -> io::Result<Option<Record>> {
        fsutil::read_if_there(&self.status())?.map(|bytes| Record::parse(&bytes)).transpose()
    }

    /// The deaths that this supervisor has seen, oldest first.
    pub fn deaths(&self) -> io::Result<Vec<Death>> {
        match fsutil::read_if_there(&self.death_tally())? {
            Some(bytes) => parse_deaths(&bytes),
            None => Ok(Vec::new()),
        }
    }
}

/// Starts the gateway of `profile`, which has a slot, and blocks until it is ready, or up for a second where it never
/// says that it is. A death on the way is an error at once; s6 goes on trying. A supervisor that dies
/// on the way is replaced by s6-svscan, and told again.
pub fn bring_up(tree: &Tree, gateway: &Gateway) -> Result<(), DriverError> {
    let profile = gateway.name();
    let slot = &tree.scandir.slot(profile);
    prepare(slot, gateway.stop_timeout())?;
    logger::end_lone_logger(tree, profile)?;
    let deadline = Instant::now() + tree.timeouts.start;
    loop {
        let svscan = tree.require_svscan()?;
        registry::await_supervisors(tree, slot, svscan, Vec::new())?;
        if let Told::Done = bring_up_once(tree, gateway, deadline)? {
            return Ok(());
        }
        in_time(tree.timeouts.start, deadline)?;
    }
}

/// An error once `deadline` is over, for those who tell one supervisor after the other.
fn in_time(timeout: Duration, deadline: Instant) -> Result<(), DriverError> {
    match Instant::now() < deadline {
        true => Ok(()),
        false => {
            let saw = "its supervisors end before they have obeyed".to_owned();
            Err(DriverError::timed_out(timeout, saw)
                .with_hint("`hermes doctor` shows what is wrong"))
        }
    }
}

/// What came of telling a supervisor something.
enum Told {
    /// What it was told is so.
    Done,
    /// It ended before that was seen.
    Gone,
}

fn bring_up_once(tree: &Tree, gateway: &Gateway, deadline: Instant) -> Result<Told, DriverError> {
    let profile = gateway.name();
    let slot = &tree.scandir.slot(profile);
    let Some(mut watch) = Watch::begin(slot)? else { return Ok(Told::Gone) };
    let asked = policy::started(slot)?;
    if tell(tree, slot, service::UP_FOR_GOOD)? == Sent::NoReader {
        return Ok(Told::Gone);
    }
    let lock = gateway.home().gateway_lock();
    let mut settling: Option<(u32, Instant)> = None;
    let mut waited_for_lock = false;
    let mut wanted = false;
    let mut saw = "";
    let done = events::until(&mut watch.events, &watch.supervisor, deadline, || {
        if watch.supervisor.iter().any(Process::has_ended) {
            return Ok(Poll::Done(Told::Gone));
        }
        let record = slot.record()?;
        if let Some(death) = slot.deaths()?.last().filter(|death| death.at >= asked) {
            // The death is told before `finish` has parked the service and ended.
            if death.exit == Exit::Code(EXIT_CONFIG) && !record.is_down() {
                return Ok(Poll::Wait);
            }
            let parked = policy::parked(slot)?;
            let other = other_holder(&lock, None)?;
            let why = why_it_died(gateway, death, parked);
            let hint = match other {
                Some(_) => format!("`hermes gateway restart {profile}` ends the one that runs"),
                None => format!("`hermes gateway logs {profile}` shows what it said"),
            };
            return Err(DriverError::new(why).with_hint(hint));
        }
        // Somebody told it to stop, once it had been told to start.
        if wanted && !record.want_up {
            return Err(DriverError::new("it was told to stop meanwhile"));
        }
        wanted |= record.want_up;
        // One of a former supervisor's is nobody's child here.
        let child = |pid: &u32| match watch.supervisor.first() {
            Some(supervisor) => tree.proc.is_child(*pid, supervisor.pid),
            None => true,
        };
        let Some(pid) = record.gateway().filter(child) else {
            saw = "it is down";
            return Ok(Poll::Wait);
        };
        if gateway.notifies_readiness() {
            saw = "it runs and has not said that it is ready";
            return Ok(if record.ready { Poll::Done(Told::Done) } else { Poll::Wait });
        }
        // Until it has the lock it is only about to become the gateway.
        if holder(&lock)? != Some(Holder { pid: Some(pid) }) {
            saw = "it runs and does not hold its lock";
            waited_for_lock = true;
            return Ok(Poll::Wait);
        }
        saw = "it has not been up for a second";
        let since = match settling {
            Some((settling, since)) if settling == pid => since,
            _ => settling.insert((pid, Instant::now())).1,
        };
        let age = Timestamp::now().duration_since(record.stamp);
        let settled = since.elapsed() >= SETTLED
            || !waited_for_lock && age >= SignedDuration::try_from(SETTLED).unwrap_or_default();
        Ok(if settled { Poll::Done(Told::Done) } else { Poll::WaitUntil(since + SETTLED) })
    })?;
    done.ok_or_else(|| {
        let hint =
            format!("it goes on starting; `hermes gateway logs {profile}` shows what it does");
        DriverError::timed_out(tree.timeouts.start, saw).with_hint(&hint)
    })
}

/// Stops the gateway of `profile` and blocks until its service is down, `finish` included, and nothing
/// of it is left: no orphan, no process of its group, none that left that. What is not gone after the
/// stop budget is killed. A supervisor that no s6-svscan looks after ends with it. Idempotent; a slot
/// without supervisor stays down when it gets one.
pub fn bring_down(
    tree: &Tree,
    profile: &ProfileName,
    stop_timeout: StopTimeout,
) -> Result<(), DriverError> {
    let slot = tree.scandir.slot(profile);
    let started = Instant::now();
    let tracker = ProcessTracker::of(tree, std::slice::from_ref(profile));
    if slot.path().symlink_metadata().is_ok() {
        prepare(&slot, stop_timeout)?;
        while slot.supervisor()?.is_some() || keep_down(&slot)? {
            if let Told::Done = bring_down_once(tree, &slot, stop_timeout, started)? {
                break;
            }
            let timeout = stop_timeout.budget() + tree.timeouts.stop_beyond_budget;
            in_time(timeout, started + timeout)?;
        }
        stray::end(tree, &slot)?;
    }
    logger::end_lone_logger(tree, profile)?;
    tracker.end(tree, started + stop_timeout.kill_after())
}

/// Keeps a service down that has no supervisor now, and answers whether one came before that was so.
pub(crate) fn keep_down(slot: &ServiceDir) -> io::Result<bool> {
    // A supervisor looks for the file after it has its lock.
    slot.write(&slot.down(), b"")?;
    Ok(slot.supervisor()?.is_some())
}

fn bring_down_once(
    tree: &Tree,
    slot: &ServiceDir,
    stop_timeout: StopTimeout,
    started: Instant,
) -> Result<Told, DriverError> {
    let Some(mut watch) = Watch::begin(slot)? else { return Ok(Told::Gone) };
    if tell(tree, slot, service::DOWN_FOR_GOOD)? == Sent::NoReader {
        return Ok(Told::Gone);
    }
    let budget = stop_timeout.budget();
    let timeout = budget + tree.timeouts.stop_beyond_budget;
    let mut killed = false;
    let mut saw = String::new();
    let done = events::until(&mut watch.events, &watch.supervisor, started + timeout, || {
        if watch.supervisor.iter().any(Process::has_ended) {
            return Ok(Poll::Done(Told::Gone));
        }
        // A supervisor that has just begun has not written its record yet, and the one that is there
        // may be a former one's: it has obeyed when the file is there, which it makes before anything else.
        let obeyed = slot.down().try_exists()?;
        let record = slot.record_if_there()?;
        let Some(record) = record.filter(|_| obeyed) else {
            saw = "its supervisor has not taken the command yet".to_owned();
            return Ok(Poll::Wait);
        };
        if record.is_down() && !record.want_up {
            return Ok(Poll::Done(Told::Done));
        }
        saw = match record.pid {
            Some(pid) if record.finishing => format!("its finish script still runs as {pid}"),
            Some(pid) => format!("it still runs as {pid}"),
            None => "it is down and still wanted up".to_owned(),
        };
        // `timeout-kill` has done this before, unless the supervisor is older than that file.
        if !killed && started.elapsed() >= budget {
            control::send(&slot.control(), &[service::KILL])?;
            killed = true;
        }
        Ok(Poll::WaitUntil(started + budget))
    })?;
    done.ok_or_else(|| {
        let hint = "a process that the kernel can't kill waits for a disk or a network file system";
        DriverError::timed_out(timeout, saw).with_hint(hint)
    })
}

/// A service that is being waited for.
struct Watch {
    events: [Events; 1],
    supervisor: Vec<Process>,
}

impl Watch {
    /// Of a service that has a supervisor; `None` if it has none.
    fn begin(slot: &ServiceDir) -> Result<Option<Self>, DriverError> {
        let events = [Events::subscribe(&slot.event())?];
        let Some(holder) = slot.supervisor()? else { return Ok(None) };
        let process = holder.pid.map(Process::open).transpose()?.flatten();
        Ok(Some(Self { events, supervisor: process.into_iter().collect() }))
    }
}

/// Sends a command to the service's supervisor. One that has its lock and doesn't read its FIFO has only
/// just begun (or is about to end), and is asked again until it does one or the other.
fn tell(tree: &Tree, slot: &ServiceDir, command: u8) -> Result<Sent, DriverError> {
    let deadline = Instant::now() + tree.timeouts.supervise;
    let sent = events::until(&mut [], &[], deadline, || {
        let send = || Ok(control::send(&slot.control(), &[command])?);
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
        let saw = format!("its supervisor does not read `{}`", slot.control().display());
        DriverError::timed_out(tree.timeouts.supervise, saw)
            .with_hint("`hermes doctor` shows what is wrong")
    })
}

/// Tells s6-supervise how long a stop may take; it reads the file at each one.
fn prepare(slot: &ServiceDir, stop_timeout: StopTimeout) -> io::Result<()> {
    let text = format!("{}\n", stop_timeout.kill_after().as_millis());
    if fsutil::read_if_there(&slot.timeout_kill())?.as_deref() == Some(text.as_bytes()) {
        return Ok(());
    }
    slot.write(&slot.timeout_kill(), text.as_bytes())
}

fn why_it_died(gateway: &Gateway, death: &Death, parked: Option<Parked>) -> String {
    match (parked, restart::fault(&gateway.home().fault())) {
        (Some(parked), _) => format!("it is parked: {}", parked.reason),
        (None, Some(fault)) => format!("it can't start, and s6 goes on trying: {fault}"),
        (None, None) => format!("it died ({}) before it was ready; s6 goes on trying", death.exit),
    }
}
