//! Ends loggers that do not end by themselves.
//!
//! A logger ends when its pipe is closed. A process that outlives its gateway may hold the pipe open. And a
//! logger whose supervisor was killed runs on while s6-svscan holds its pipe. It keeps the lock of the log
//! directory (`s6-log.html`), so its successor fails to take the lock once a second.

use std::io;
use std::time::{Duration, Instant};

use hermes_core::process_lock;
use hermes_core::{DriverError, ProfileName};
use rustix::process::Signal;

use crate::protocol::control::{self, ControlError, Sent, service};
use crate::protocol::events::{self, Poll, Process};
use crate::slot::layout::ServiceDir;
use crate::tree::Tree;

/// How long a logger may outlive its service before it is ended, since a process that outlived the gateway
/// may hold its pipe open. Half the timeout if that is shorter.
pub(crate) const LOGGER_GRACE: Duration = Duration::from_secs(2);

/// Ends the logger of `slot` although its pipe is open. Does not wait. With `-p`, s6-log ignores SIGTERM,
/// so this sends SIGHUP.
pub(crate) fn end_logger(slot: &ServiceDir) -> Result<Sent, ControlError> {
    control::send(&slot.log().control(), &[service::EXIT, service::HANGUP])
}

/// Ends the logger of `profile` if it has no supervisor, and blocks until it has ended. No line is lost:
/// unread lines stay in the pipe for its successor. Idempotent.
pub(crate) fn end_lone_logger(tree: &Tree, profile: &ProfileName) -> Result<(), DriverError> {
    let Some(logger) = lone_logger(tree, profile)? else { return Ok(()) };
    // With `-p`, s6-log ignores SIGTERM.
    logger.signal(Signal::HUP)?;
    let timeout = tree.timeouts.supervise;
    let done =
        events::until(&mut [], std::slice::from_ref(&logger), Instant::now() + timeout, || {
            Ok(if logger.has_ended() { Poll::Done(()) } else { Poll::Wait })
        })?;
    done.ok_or_else(|| {
        let last_seen = format!("{} still runs without a supervisor", tree.proc.title(logger.pid));
        DriverError::timed_out(timeout, last_seen).with_hint("a full disk may block it")
    })
}

fn lone_logger(tree: &Tree, profile: &ProfileName) -> io::Result<Option<Process>> {
    let lock = tree.root.gateway_logs(profile).join("lock");
    let holder = || Ok::<_, io::Error>(process_lock::holder(&lock)?.and_then(|holder| holder.pid));
    let Some(process) = holder()?.map(Process::open).transpose()?.flatten() else {
        return Ok(None);
    };
    // Now that the process is open, its number can't be reused.
    let parent = tree.proc.parent(process.pid).and_then(|parent| tree.proc.arguments(parent));
    let supervised = parent.is_ok_and(|words| words[0].ends_with("s6-supervise"));
    Ok(Some(process)
        .filter(|_| !supervised)
        .filter(|logger| holder().is_ok_and(|pid| pid == Some(logger.pid))))
}
