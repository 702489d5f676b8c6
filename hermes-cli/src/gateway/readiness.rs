//! Readiness of a program that says nothing of it itself: somebody asks its `gateway.ready_url`.
//!
//! The asker must not be the gateway's child, which may wait for all children it has, so it is started
//! twice over: the first process starts the second and ends. It holds the pipe that s6-supervise reads
//! readiness from (or the name of systemd's socket), and ends with the gateway, with the answer, or at a deadline.

use std::env;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use axum::http::Uri;
use hermes_core::process::{self, Process};
use hermes_core::wait::Poll;

use super::notification::Notification;
use crate::error::{CliError, exit};

/// After this nobody waits for an answer any more.
const DEADLINE: Duration = Duration::from_secs(600);
/// How long one question may take.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Starts the asker for this process, which is about to become the gateway. A pipe goes to the asker.
pub(super) fn ask_later(url: &str, notification: Notification) -> Result<(), CliError> {
    let failed = |error: io::Error| {
        CliError::new(format!("failed to start asking `{url}` for readiness")).because(error)
    };
    parse(url)?;
    let mut asker = asker(url, std::process::id(), notification.file()).map_err(failed)?;
    let status = asker.arg("--detach").stdin(notification.into_pipe()).status().map_err(failed)?;
    match status.success() {
        true => Ok(()),
        false => Err(failed(io::Error::other("it ended at once"))),
    }
}

fn asker(url: &str, pid: u32, file: Option<&Path>) -> io::Result<Command> {
    let mut command = Command::new(env::current_exe()?);
    command.args(["gateway", "await-ready", "--pid", &pid.to_string(), url]);
    if let Some(file) = file {
        command.arg("--file").arg(file);
    }
    Ok(command)
}

/// Runs as the asker: with `detach` it starts the one that asks, and ends. It tells the gateway's
/// supervisor, or in `file`.
pub(crate) fn await_ready(
    url: &str,
    pid: u32,
    file: Option<PathBuf>,
    detach: bool,
) -> Result<u8, CliError> {
    let failed = |error: io::Error| CliError::new("failed to ask for readiness").because(error);
    if detach {
        let mut asker = asker(url, pid, file.as_deref()).map_err(failed)?;
        asker.spawn().map_err(failed)?;
        return Ok(exit::SUCCESS);
    }
    let uri = parse(url)?;
    let Some(gateway) = Process::open(pid).map_err(failed)? else {
        return Ok(exit::SUCCESS);
    };
    let watched = std::slice::from_ref(&gateway);
    let ready = process::wait_until(watched, Instant::now() + DEADLINE, || {
        Ok::<_, CliError>(match () {
            () if gateway.has_ended() => Poll::Done(false),
            () if is_ready(&uri).unwrap_or_default() => Poll::Done(true),
            () => Poll::Wait,
        })
    })?;
    let in_file = |file| Notification::in_file(file, pid);
    let notification = file.map_or_else(Notification::inherited, in_file);
    if ready == Some(true) && notification.ready() {
        // systemd looks up who told it, and can't where that one is gone.
        let deadline = Instant::now() + TIMEOUT;
        process::wait_until(watched, deadline, || {
            Ok::<Poll<()>, CliError>(if gateway.has_ended() { Poll::Done(()) } else { Poll::Wait })
        })?;
    }
    Ok(exit::SUCCESS)
}

/// Only plain HTTP is spoken: the gateway is on this machine.
fn parse(url: &str) -> Result<Uri, CliError> {
    let uri = url.parse::<Uri>().ok();
    let plain = uri.filter(|uri| uri.scheme_str() == Some("http") && uri.host().is_some());
    plain.ok_or_else(|| {
        CliError::new(format!("`gateway.ready_url` is `{url}`, which can't be asked"))
            .with_hint("it must be an http:// address, such as http://127.0.0.1:8642/health")
            .with_code(exit::CONFIG)
    })
}

/// Whether the address answers with a status of success.
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
    // "HTTP/1.1 200": the status is all that counts.
    let mut status = [0; 12];
    stream.read_exact(&mut status)?;
    Ok(status.starts_with(b"HTTP/1.") && status[9] == b'2')
}
