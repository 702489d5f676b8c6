//! The status of a gateway, from the record of its supervisor, the locks and the processes that they name.
//!
//! The record is s6-supervise's view, which may be old: on a full disk s6-supervise can't replace it, and while it is
//! suspended (SIGSTOP) it notices nothing. So a recorded process counts only while it lives as a child of its
//! supervisor.

use std::io;

use hermes_core::clock::Moment;
use hermes_core::driver::DriverError;
use hermes_core::proc::Life;
use hermes_core::process_lock::holder;
use hermes_core::restart::AN_HOUR;
use hermes_core::status::{Reason, ReasonKind, State, Status};
use hermes_core::{Gateway, Intent};
use jiff::Timestamp;

use crate::protocol::record::{Death, Record};
use crate::protocol::resume;
use crate::slot::deaths;
use crate::slot::layout::ServiceDir;
use crate::slot::logger;
use crate::slot::policy;
use crate::tree::Tree;
use crate::tree::svscan_view::SvscanView;

/// The status of one gateway. `svscan_view` tells whether its supervisors are strays.
pub(crate) fn status(
    tree: &Tree,
    svscan_view: &SvscanView<'_>,
    gateway: &Gateway,
) -> Result<Status, DriverError> {
    let slot = tree.scandir.slot(gateway.name());
    let mut status = Status {
        intent: Intent::read(gateway.home()).ok(),
        ..Status::unsupervised(gateway.name())
    };
    let supervisor = slot.supervisor()?;
    status.registered = supervisor.is_some() || slot.path().symlink_metadata().is_ok();
    if let Some(supervisor) = supervisor {
        read_supervised(&mut status, gateway, &slot)?;
        let supervisors = [Some(supervisor), slot.log().supervisor()?];
        if supervisors.into_iter().flatten().any(|holder| svscan_view.is_stray(holder)) {
            status.state = State::Stray;
        }
    }
    let holder = holder(&gateway.home().gateway_lock())?;
    let supervisor = supervisor.and_then(|supervisor| supervisor.pid);
    let lives = |pid: &u32| {
        let life = |supervisor| tree.proc.life_under(supervisor, *pid);
        supervisor.is_some_and(|supervisor| life(supervisor) != Life::Ended)
    };
    // A gateway that has just started may take its lock before s6-supervise records it.
    let supervised = holder.and_then(|holder| holder.pid).filter(lives);
    if let Some(pid) = status.pid.filter(|pid| supervised != Some(*pid))
        && supervisor.is_some()
        && !lives(&pid)
    {
        status.pid = supervised;
        if supervised.is_none() {
            (status.state, status.ready) = (State::Down, None);
            status.reason = supervisor.and_then(|supervisor| suspension(tree, supervisor));
        }
    }
    let mut status = status.beside(holder.filter(|_| supervised.is_none()));
    if let Some(since) = status.since.filter(|_| status.state.is_running() && status.pid.is_some())
        && let Some(text) = logger::obstacle(tree, gateway.name(), since)
    {
        status.reason = Some(Reason { kind: ReasonKind::Logger, text });
    }
    if status.state == State::Down
        && status.reason.is_none()
        && let Some(mut text) = policy::held(&slot)?
        && (status.is_wanted() || !text.is_empty())
    {
        if text.is_empty() {
            "it was stopped, and its intent could not be recorded".clone_into(&mut text);
        }
        status.reason = Some(Reason { kind: ReasonKind::Stopped, text });
    }
    Ok(status)
}

/// Why the supervisor `pid` notices nothing, if it is suspended.
fn suspension(tree: &Tree, pid: u32) -> Option<Reason> {
    let text = || format!("its supervisor is suspended: {}", resume::described(&tree.proc, pid));
    tree.proc.is_suspended(pid).then(|| Reason { kind: ReasonKind::Suspended, text: text() })
}

/// Fills in the status of a supervised service. It runs for every gateway, so it opens only the files that
/// matter in the recorded state.
fn read_supervised(status: &mut Status, gateway: &Gateway, slot: &ServiceDir) -> io::Result<()> {
    let record = slot.record()?;
    let deaths = slot.deaths()?;
    let runs = record.gateway().is_some();
    let notifies = runs && gateway.notifies_readiness();
    status.parked = if record.is_down() { policy::parked(slot)? } else { None };
    let waits = record.finishing && record.want_up;
    status.backoff = if waits { policy::backoff(slot)? } else { None };
    status.state = state(&record, notifies, !deaths.is_empty(), status.parked.is_some());
    status.pid = record.gateway();
    status.since = Some(record.stamp);
    status.ready = notifies.then_some(record.ready);
    status.last_exit = deaths.last().map(|death| death.exit);
    status.deaths = u32::try_from(recent_crashes(slot, deaths)?.len()).unwrap_or(u32::MAX);
    Ok(())
}

/// The times of the service's crashes in the last hour, oldest first.
pub(crate) fn recent_crashes(slot: &ServiceDir, deaths: Vec<Death>) -> io::Result<Vec<Timestamp>> {
    if deaths.is_empty() {
        return Ok(Vec::new());
    }
    let (deaths, now) = (deaths::of(slot, deaths)?, Moment::now());
    let recent = deaths.iter().filter(|one| one.is_crash() && one.is_within(AN_HOUR, &now));
    Ok(recent.map(|one| one.death.at).collect())
}

/// The state that a record means. `notifies`: the gateway reports readiness; `died`: it has died before.
fn state(record: &Record, notifies: bool, died: bool, parked: bool) -> State {
    match (record.gateway(), record.want_up) {
        (Some(_), false) => State::Stopping,
        (Some(_), true) if notifies && !record.ready => State::Starting,
        (Some(_), true) => State::Up,
        (None, true) if died => State::Backoff,
        (None, true) => State::Starting,
        (None, false) if record.finishing => State::Stopping,
        (None, false) if parked => State::Parked,
        (None, false) => State::Down,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(pid: Option<u32>, finishing: bool, want_up: bool, ready: bool) -> Record {
        Record {
            stamp: Timestamp::UNIX_EPOCH,
            ready_stamp: Timestamp::UNIX_EPOCH,
            pid,
            wait_status: 0,
            paused: false,
            finishing,
            want_up,
            ready,
        }
    }

    #[test]
    fn every_record_means_one_state() {
        let (pid, run, finish) = (Some(7), false, true);
        let cases = [
            (record(pid, run, true, true), true, false, State::Up),
            (record(pid, run, true, false), true, false, State::Starting),
            (record(pid, run, true, false), false, false, State::Up),
            (record(pid, run, false, true), true, false, State::Stopping),
            (record(pid, finish, true, false), true, false, State::Backoff),
            (record(pid, finish, false, false), true, false, State::Stopping),
            (record(None, run, true, true), true, false, State::Backoff),
            (record(None, run, false, true), true, false, State::Down),
            (record(None, run, false, true), true, true, State::Parked),
        ];
        for (record, notifies, parked, expected) in cases {
            assert_eq!(state(&record, notifies, true, parked), expected, "{record:?}");
        }
        let fresh = record(None, run, true, true);
        assert_eq!(state(&fresh, true, false, false), State::Starting, "it never died");
    }
}
