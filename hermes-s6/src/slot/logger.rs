//! Ending loggers whose end would not come by itself.
//!
//! A logger ends at the end of its pipe. Some process that outlived its gateway may hold that open. And a
//! logger whose own supervisor was killed lives on as long as s6-svscan holds its pipe, and keeps the log
//! directory's lock (`s6-log.html`), for which its successor then asks once a second.

use std::io;
use std::time::{Duration, Instant};

use hermes_core::process_lock;
use hermes_core::{DriverError, ProfileName};
use rustix::process::Signal;

use crate::protocol::control::{self, ControlError, Sent, service};
use crate::protocol::events::{self, Poll, Process};
use crate::slot::layout::ServiceDir;
use crate::tree::Tree;

/// How long a logger may outlive its service before it is told to end: some process that outlived
/// the gateway holds its pipe. Less where there is less time in all.
pub(crate) const LOGGER_GRACE: Duration = Duration::from_secs(2);

/// Tells the logger of `slot` to end although its pipe is open: s6-log, told to protect its lines,
/// takes no SIGTERM.
pub(crate) fn end_logger(slot: &ServiceDir) -> Result<Sent, ControlError> {
    control::send(&slot.log().control(), &[service::EXIT, service::HANGUP])
}

/// Ends the logger of `profile` that has no supervisor, if there is one, and blocks until it is gone. It
/// loses no line: what it has not read stays in the pipe for its successor. Idempotent.
pub(crate) fn end_lone_logger(tree: &Tree, profile: &ProfileName) -> Result<(), DriverError> {
    let Some(logger) = lone_logger(tree, profile)? else { return Ok(()) };
    // s6-log, told to protect its lines, takes no SIGTERM.
    logger.signal(Signal::HUP)?;
    let timeout = tree.timeouts.supervise;
    let done =
        events::until(&mut [], std::slice::from_ref(&logger), Instant::now() + timeout, || {
            Ok(if logger.has_ended() { Poll::Done(()) } else { Poll::Wait })
        })?;
    done.ok_or_else(|| {
        let saw = format!("{} still logs, and nobody supervises it", tree.proc.title(logger.pid));
        DriverError::timed_out(timeout, saw).with_hint("it may wait for a full disk")
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
