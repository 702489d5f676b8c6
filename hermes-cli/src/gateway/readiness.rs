//! Readiness of a program that says nothing of it itself: somebody asks its `gateway.ready_url`.
//!
//! The asker must not be the gateway's child, which may wait for all children it has, so it is started
//! twice over: the first process starts the second and ends. It holds the pipe that s6-supervise reads
//! readiness from (or the name of systemd's socket), and ends with the gateway, with the answer, or at a deadline.

use std::env;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use axum::http::Uri;
use hermes_s6::wait::{self, Look, Process};

use super::notification::Notification;
use crate::error::{CliError, exit};

/// After this nobody waits for an answer any more.
const DEADLINE: Duration = Duration::from_secs(600);
/// How long one question may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// Starts the asker for this process, which is about to become the gateway. `pipe` goes to the asker.
pub(super) fn ask_later(url: &str, pipe: Stdio) -> Result<(), CliError> {
    let failed = |error: io::Error| {
        CliError::new(format!("failed to start asking `{url}` for readiness")).because(error)
    };
    parse(url)?;
    let pid = std::process::id().to_string();
    let status = Command::new(env::current_exe().map_err(failed)?)
        .args(["gateway", "await-ready", "--detach", "--pid", &pid, url])
        .stdin(pipe)
        .status()
        .map_err(failed)?;
    match status.success() {
        true => Ok(()),
        false => Err(failed(io::Error::other("it ended at once"))),
    }
}

/// Runs as the asker: with `detach` it starts the one that asks, and ends.
pub(crate) fn await_ready(url: &str, pid: u32, detach: bool) -> Result<u8, CliError> {
    let failed = |error: io::Error| CliError::new("failed to ask for readiness").because(error);
    if detach {
        Command::new(env::current_exe().map_err(failed)?)
            .args(["gateway", "await-ready", "--pid", &pid.to_string(), url])
            .spawn()
            .map_err(failed)?;
        return Ok(exit::SUCCESS);
    }
    let uri = parse(url)?;
    let Some(gateway) = Process::open(pid).map_err(failed)? else {
        return Ok(exit::SUCCESS);
    };
    let watched = std::slice::from_ref(&gateway);
    let ready = wait::until(&mut [], watched, Instant::now() + DEADLINE, || {
        Ok::<_, CliError>(match () {
            () if gateway.has_ended() => Look::Done(false),
            () if is_ready(&uri).unwrap_or_default() => Look::Done(true),
            () => Look::Wait,
        })
    })?;
    if ready == Some(true) && Notification::inherited().ready() {
        // systemd looks up who told it, and can't where that one is gone.
        let deadline = Instant::now() + PATIENCE;
        wait::until(&mut [], watched, deadline, || {
            Ok::<Look<()>, CliError>(if gateway.has_ended() { Look::Done(()) } else { Look::Wait })
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
            .hint("it must be an http:// address, such as http://127.0.0.1:8642/health")
            .with_code(exit::CONFIG)
    })
}

/// Whether the address answers with a status of success.
fn is_ready(uri: &Uri) -> io::Result<bool> {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let port = uri.port_u16().unwrap_or(80);
    let address = (host, port).to_socket_addrs()?.next();
    let address = address.ok_or(io::ErrorKind::NotFound)?;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {host}:{port}\r\n\r\n")?;
    // "HTTP/1.1 200": the status is all that counts.
    let mut status = [0; 12];
    stream.read_exact(&mut status)?;
    Ok(status.starts_with(b"HTTP/1.") && status[9] == b'2')
}
