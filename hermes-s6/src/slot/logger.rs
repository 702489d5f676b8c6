//! Ends loggers that do not end by themselves.
//!
//! A logger ends when its pipe is closed. A process that outlives its gateway may hold the pipe open. And a
//! logger whose supervisor was killed, or whose slot was removed, runs on while s6-svscan holds its pipe. It
//! keeps the lock of the log directory (`s6-log.html`), so its successor fails to take the lock once a second,
//! and nobody reads what the gateway writes.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use hermes_core::process_lock::{Holder, locker};
use hermes_core::{DriverError, ProfileName};
use jiff::{SignedDuration, Timestamp};
use rustix::io::Errno;
use rustix::process::Signal;

use crate::protocol::control::{ControlError, Sent, service};
use crate::protocol::events::{self, Poll, Process};
use crate::protocol::resume;
use crate::slot::displaced::{self, SUPERVISE};
use crate::slot::layout::ServiceDir;
use crate::tree::Tree;

/// How long a logger may outlive its service before it is ended, since a process that outlived the gateway
/// may hold its pipe open. Half the timeout if that is shorter.
pub(crate) const LOGGER_GRACE: Duration = Duration::from_secs(2);

/// Resumes the logger of `slot` if it is suspended, before its gateway starts or stops: a gateway blocks on a pipe that
/// nobody reads. If that fails, only the log is late. Does not wait.
pub(crate) fn resume_logger(slot: &ServiceDir) {
    let _ = slot.log().send(&[service::CONTINUE]);
}

/// Ends the logger of `slot` although its pipe is open. Does not wait. With `-p`, s6-log ignores SIGTERM,
/// so this sends SIGHUP.
pub(crate) fn end_logger(slot: &ServiceDir) -> Result<Sent, ControlError> {
    slot.log().send(&[service::EXIT, service::HANGUP, service::CONTINUE])
}

/// Kills the logger of `slot`, which [`end_logger`] did not end: it is blocked by its output. Does not wait.
pub(crate) fn kill_logger(slot: &ServiceDir) -> Result<Sent, ControlError> {
    slot.log().send(&[service::EXIT, service::KILL])
}

/// Ends a logger that has the log directory of `profile` and is not that of its slot, and blocks until it has
/// ended. No line of a lone logger is lost: unread lines stay in the pipe for its successor. Idempotent. Only
/// warns of another tree's logger, or of another program.
pub(crate) fn end_former_logger(tree: &Tree, profile: &ProfileName) -> Result<(), DriverError> {
    let log = tree.scandir.slot(profile).log();
    let timeout = tree.timeouts.supervise;
    let mut asked = None;
    let mut last_seen = String::new();
    let done = events::until(&mut [], &[], Instant::now() + timeout, || {
        let Some(logger) = former_logger(tree, profile)? else { return Ok(Poll::Done(())) };
        let title = tree.proc.title(logger.pid);
        if asked.replace(logger.pid) != Some(logger.pid) {
            let lone =
                !tree.proc.parent(logger.pid).is_ok_and(|pid| tree.proc.runs(pid, SUPERVISE));
            let ours = displaced::request_end(tree, &log, logger.pid)? || lone;
            if !ours || !tree.proc.runs(logger.pid, "s6-log") {
                log::warn!("{title} has the log directory of `{profile}`, and is not its logger");
                return Ok(Poll::Done(()));
            }
            // With `-p`, s6-log ignores SIGTERM.
            logger.signal(Signal::HUP)?;
        }
        last_seen = format!("{title} still has its log directory");
        Ok(Poll::Wait)
    })?;
    done.ok_or_else(|| {
        DriverError::timed_out(timeout, last_seen).with_hint("a full disk may block it")
    })
}

/// How long after the gateway's start its logger must have the log directory.
const LOGGER_STARTS: SignedDuration = SignedDuration::from_secs(2);

/// Why the output of the gateway of `profile`, which runs since `since`, can't be logged. A logger that can't write
/// reads no more, and the gateway blocks once their pipe is full. Does not wait; `None` also where this user may
/// not look.
pub(crate) fn obstacle(tree: &Tree, profile: &ProfileName, since: Timestamp) -> Option<String> {
    let directory = tree.root.gateway_logs(profile);
    let shown = directory.display();
    let room = match rustix::fs::statvfs(&directory) {
        Ok(room) => room,
        Err(Errno::ACCESS) => return None,
        Err(errno) => return Some(format!("its log directory `{shown}` can't be opened: {errno}")),
    };
    if room.f_bavail == 0 || room.f_files > 0 && room.f_favail == 0 {
        return Some(format!("no space is left for its log in `{shown}`"));
    }
    match locker(&directory.join("lock")) {
        Ok(Some(Holder { pid: Some(pid) })) if tree.proc.is_suspended(pid) => {
            Some(format!("its logger is suspended: {}", resume::described(&tree.proc, pid)))
        }
        Ok(None) if Timestamp::now().duration_since(since) >= LOGGER_STARTS => Some(format!(
            "its logger does not run: no process has the lock of its log directory `{shown}`"
        )),
        _ => None,
    }
}

/// Whether another process has the log directory of `profile` than a child of `supervisor`, which runs the loggers of its
/// slot. A lock that can't be read says nothing about its logger. Does not wait.
pub(crate) fn is_orphaned(tree: &Tree, profile: &ProfileName, supervisor: Option<Holder>) -> bool {
    let holder = locker(&log_lock(tree, profile)).ok().flatten().and_then(|holder| holder.pid);
    holder.is_some_and(|pid| is_other(tree, pid, supervisor))
}

/// Whether the process `logger` is not run by `supervisor`.
fn is_other(tree: &Tree, logger: u32, supervisor: Option<Holder>) -> bool {
    let supervisor = supervisor.and_then(|supervisor| supervisor.pid);
    !supervisor.is_some_and(|supervisor| tree.proc.is_child(logger, supervisor))
}

/// The logger of `profile`, if it is suspended and the supervisor of its slot runs it. Does not wait.
pub(crate) fn suspended_logger(tree: &Tree, profile: &ProfileName) -> io::Result<Option<u32>> {
    let holder = locker(&log_lock(tree, profile))?.and_then(|holder| holder.pid);
    let Some(pid) = holder.filter(|pid| tree.proc.is_suspended(*pid)) else { return Ok(None) };
    let supervisor = tree.scandir.slot(profile).log().supervisor()?;
    Ok((!is_other(tree, pid, supervisor)).then_some(pid))
}

fn log_lock(tree: &Tree, profile: &ProfileName) -> PathBuf {
    tree.root.gateway_logs(profile).join("lock")
}

/// The process that has the log directory of `profile` and is not run by the logger's supervisor of its slot.
/// Does not wait.
pub(crate) fn former_logger(tree: &Tree, profile: &ProfileName) -> io::Result<Option<Process>> {
    let holder = Process::holding(&log_lock(tree, profile))?;
    let supervisor = tree.scandir.slot(profile).log().supervisor()?;
    Ok(holder.filter(|logger| is_other(tree, logger.pid, supervisor)))
}
