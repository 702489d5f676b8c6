//! The readiness probe, for programs that do not notify their supervisor: a separate process requests the
//! `gateway.ready_url` until one of the gateway's own processes answers with success.
//!
//! The probe must not be a child of the gateway, since a program may wait for all its children. So the
//! gateway process, before it executes the program, starts its own executable as `gateway await-ready
//! --detach`, which starts the probe and ends. The probe inherits the pipe of s6-supervise (or the address of
//! systemd's socket), and ends when the URL answers or when the gateway ends.
//!
//! The executable must call [`await_ready`] for its command `gateway await-ready [--detach] [--file FILE]
//! [--profile NAME] [--answer-within SECONDS] --health FILE --pid PID URL`.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use hermes_core::ProfileName;
use hermes_core::events::Recorder;
use hermes_core::health;
use hermes_core::probe::{Failure, Requests, Target};
use hermes_core::process::{self, Process};
use hermes_core::status::{Reason, ReasonKind};
use hermes_core::wait::{self, Poll};

use crate::error::GatewayError;
use crate::notification::Notification;

/// The timeout of a request at first. After [`AT_FIRST`] it is the longer `liveness.timeout`, if there is one: what is
/// slow for good gets as much time to be ready as it has later. A shorter one would keep it from being ready.
const TIMEOUT: Duration = Duration::from_secs(2);
/// The first pause between two requests, and the longest one at first and after [`AT_FIRST`].
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const SHORT_PAUSE: Duration = Duration::from_millis(100);
const LONG_PAUSE: Duration = Duration::from_secs(1);
const AT_FIRST: Duration = Duration::from_secs(5);
/// Failures are recorded from then on: most gateways are ready earlier.
const RECORD_AFTER: Duration = Duration::from_millis(500);

/// Starts the probe for this process, which is about to execute the gateway's program, and passes it the
/// receivers. It records in the file `health` why the gateway is not ready, and lets an answer take up to `timeout`.
/// Blocks until the probe runs.
pub(crate) fn start_probe(
    url: &str,
    timeout: Option<Duration>,
    health: &Path,
    notification: Notification,
) -> Result<(), GatewayError> {
    parse(url)?;
    let start = || {
        let profile = notification.events().map(Recorder::profile);
        let pid = std::process::id();
        let mut command = probe(url, timeout, pid, health, notification.file(), profile)?;
        let status = command.arg("--detach").stdin(notification.into_stdin()).status()?;
        match status.success() {
            true => Ok(()),
            false => Err(io::Error::other(format!("it ended with {status}"))),
        }
    };
    start().map_err(|source| GatewayError::StartProbe { url: url.to_owned(), source })
}

fn probe(
    url: &str,
    timeout: Option<Duration>,
    pid: u32,
    health: &Path,
    file: Option<&Path>,
    profile: Option<&ProfileName>,
) -> io::Result<Command> {
    let mut command = Command::new(hermes_core::program::path()?);
    command.args(["gateway", "await-ready", "--pid", &pid.to_string(), url]);
    command.arg("--health").arg(health);
    if let Some(timeout) = timeout {
        command.args(["--answer-within", &timeout.as_secs().to_string()]);
    }
    if let Some(file) = file {
        command.arg("--file").arg(file);
    }
    if let Some(profile) = profile {
        command.args(["--profile", profile.as_str()]);
    }
    Ok(command)
}

/// Runs the probe of the gateway `pid`: requests `url` until the gateway answers with success, then notifies the
/// inherited receivers, or writes `file`, and records the event in `events`. Until then the file `health` has the last
/// failure. An answer may take two seconds at first, and up to `timeout` later. With `detach`, starts the probe as another process instead and returns immediately.
///
/// Blocks until `url` answers or the gateway ends. Neither is an error.
pub fn await_ready(
    url: &str,
    timeout: Option<Duration>,
    pid: u32,
    health: &Path,
    file: Option<PathBuf>,
    detach: bool,
    events: Recorder,
) -> Result<(), GatewayError> {
    if detach {
        let probe = probe(url, timeout, pid, health, file.as_deref(), Some(events.profile()));
        let spawned = probe.and_then(|mut probe| probe.spawn());
        return spawned
            .map(drop)
            .map_err(|source| GatewayError::StartProbe { url: url.to_owned(), source });
    }
    let target = parse(url)?;
    let failed = |source| GatewayError::Watch { pid, source };
    let Some(gateway) = Process::open(pid).map_err(failed)? else { return Ok(()) };
    if !until_ready(&target, timeout.unwrap_or_default(), &gateway, health).map_err(failed)? {
        return Ok(());
    }
    let to_file = |file| Notification::to_file(file, pid);
    let notification = file.map_or_else(Notification::inherited, to_file).recorded(events);
    if notification.ready() {
        // systemd looks up the notifying process, so this one must not end too early.
        let deadline = Instant::now() + TIMEOUT;
        process::wait_until(std::slice::from_ref(&gateway), deadline, || {
            let ended = gateway.has_ended();
            Ok::<Poll<()>, GatewayError>(if ended { Poll::Done(()) } else { Poll::Wait })
        })?;
    }
    Ok(())
}

/// Parses an `http://` URL. The probe needs no TLS, because the gateway is on this machine.
fn parse(url: &str) -> Result<Target, GatewayError> {
    Target::parse(url).map_err(|source| GatewayError::ReadyUrl { url: url.to_owned(), source })
}

/// Blocks until the gateway is ready (`true`) or has ended (`false`).
fn until_ready(
    target: &Target,
    timeout: Duration,
    gateway: &Process,
    health: &Path,
) -> io::Result<bool> {
    let begun = Instant::now();
    let mut recorded = None;
    let mut pause = FIRST_PAUSE;
    while !gateway.has_ended() {
        let is_first = begun.elapsed() < AT_FIRST;
        let timeout = if is_first { TIMEOUT } else { timeout.max(TIMEOUT) };
        let Some(answer) = ask(target, timeout, gateway) else { break };
        let Err(failure) = answer else {
            // A record that stays has no effect on a gateway that is ready.
            let _ = health::clear(health);
            return Ok(true);
        };
        if begun.elapsed() >= RECORD_AFTER && recorded.as_ref() != Some(&failure) {
            let text = format!("GET {target}: {failure}");
            // Without it only the reason is unknown.
            let _ =
                health::record(health, gateway.pid, Reason { kind: ReasonKind::Starting, text });
            recorded = Some(failure);
        }
        let longest = if begun.elapsed() < AT_FIRST { SHORT_PAUSE } else { LONG_PAUSE };
        wait::readable(gateway.fd().as_slice(), Some(Instant::now() + pause))?;
        pause = (pause * 2).min(longest);
    }
    Ok(false)
}

/// Asks once; `None` if the gateway ended meanwhile.
fn ask(target: &Target, timeout: Duration, gateway: &Process) -> Option<Result<(), Failure>> {
    let mut requests = Requests::default();
    requests.begin((), target, timeout);
    let wake = gateway.fd();
    while !gateway.has_ended() {
        let own = |address| health::require_own(address, gateway.pid).map(drop);
        let ended = requests.wait(None, wake.as_slice(), |(), address| own(address));
        if let Some(((), answer)) = ended.into_iter().next() {
            return Some(answer.map(drop));
        }
    }
    None
}
