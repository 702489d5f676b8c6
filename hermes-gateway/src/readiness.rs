//! The readiness probe, for programs that do not notify their supervisor: a separate process requests the
//! `gateway.ready_url` until it answers with success.
//!
//! The probe must not be a child of the gateway, since a program may wait for all its children. So the
//! gateway process, before it executes the program, starts its own executable as `gateway await-ready
//! --detach`, which starts the probe and ends. The probe inherits the pipe of s6-supervise (or the address of
//! systemd's socket), and ends when the URL answers, when the gateway ends, or at a deadline.
//!
//! The executable must call [`await_ready`] for its command `gateway await-ready [--detach] [--file FILE]
//! --pid PID URL`.

use std::env;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use axum::http::Uri;
use hermes_core::process::{self, Process};
use hermes_core::wait::Poll;

use crate::error::GatewayError;
use crate::notification::Notification;

/// How long the probe runs. No supervisor waits longer for readiness.
const DEADLINE: Duration = Duration::from_secs(600);
/// The timeout of a request.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Starts the probe for this process, which is about to execute the gateway's program, and passes it the
/// receivers. Blocks until the probe runs.
pub(crate) fn start_probe(url: &str, notification: Notification) -> Result<(), GatewayError> {
    parse(url)?;
    let start = || {
        let mut command = probe(url, std::process::id(), notification.file())?;
        let status = command.arg("--detach").stdin(notification.into_stdin()).status()?;
        match status.success() {
            true => Ok(()),
            false => Err(io::Error::other(format!("it ended with {status}"))),
        }
    };
    start().map_err(|source| GatewayError::StartProbe { url: url.to_owned(), source })
}

fn probe(url: &str, pid: u32, file: Option<&Path>) -> io::Result<Command> {
    let mut command = Command::new(env::current_exe()?);
    command.args(["gateway", "await-ready", "--pid", &pid.to_string(), url]);
    if let Some(file) = file {
        command.arg("--file").arg(file);
    }
    Ok(command)
}

/// Runs the probe of the gateway `pid`: requests `url` until it answers with success, then notifies the
/// inherited receivers, or writes `file`. With `detach`, starts the probe as another process instead and
/// returns immediately.
///
/// Blocks until `url` answers or the gateway ends, at most ten minutes. None of these is an error.
pub fn await_ready(
    url: &str,
    pid: u32,
    file: Option<PathBuf>,
    detach: bool,
) -> Result<(), GatewayError> {
    if detach {
        let spawned = probe(url, pid, file.as_deref()).and_then(|mut probe| probe.spawn());
        return spawned
            .map(drop)
            .map_err(|source| GatewayError::StartProbe { url: url.to_owned(), source });
    }
    let uri = parse(url)?;
    let gateway = Process::open(pid).map_err(|source| GatewayError::Watch { pid, source })?;
    let Some(gateway) = gateway else { return Ok(()) };
    let watched = std::slice::from_ref(&gateway);
    let ready = process::wait_until(watched, Instant::now() + DEADLINE, || {
        Ok::<_, GatewayError>(match () {
            () if gateway.has_ended() => Poll::Done(false),
            () if is_ready(&uri).unwrap_or_default() => Poll::Done(true),
            () => Poll::Wait,
        })
    })?;
    let to_file = |file| Notification::to_file(file, pid);
    let notification = file.map_or_else(Notification::inherited, to_file);
    if ready == Some(true) && notification.ready() {
        // systemd looks up the notifying process, so this one must not end too early.
        let deadline = Instant::now() + TIMEOUT;
        process::wait_until(watched, deadline, || {
            let ended = gateway.has_ended();
            Ok::<Poll<()>, GatewayError>(if ended { Poll::Done(()) } else { Poll::Wait })
        })?;
    }
    Ok(())
}

/// Parses an `http://` URL. The probe needs no TLS, because the gateway is on this machine.
fn parse(url: &str) -> Result<Uri, GatewayError> {
    let uri = url.parse::<Uri>().ok();
    let http = uri.filter(|uri| uri.scheme_str() == Some("http") && uri.host().is_some());
    http.ok_or_else(|| GatewayError::ReadyUrl { url: url.to_owned() })
}

/// Whether a request of `uri` succeeds with a status of 2xx.
fn is_ready(uri: &Uri) -> io::Result<bool> {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let port = uri.port_u16().unwrap_or(80);
    let address = (host, port).to_socket_addrs()?.next();
    let address = address.ok_or(io::ErrorKind::NotFound)?;
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {host}:{port}\r\n\r\n")?;
    // The beginning of the response, such as "HTTP/1.1 200".
    let mut status = [0; 12];
    stream.read_exact(&mut status)?;
    Ok(status.starts_with(b"HTTP/1.") && status[9] == b'2')
}
