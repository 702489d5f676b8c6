//! Proves that a gateway is the one that was to be started: which process answers on its port, and for which profile.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use hermes_core::listeners::{self, Owner};
use hermes_core::{Gateway, Proc, State, Status};
use serde_json::Value;

use super::former::in_dotenv;

const KEY: &str = "API_SERVER_KEY";
/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The largest answer that is read.
const MAX_ANSWER: u64 = 1 << 20;

/// The model that the API server of a gateway names, and the address that answered; `None` without an API server.
pub(super) fn model(gateway: &Gateway) -> Result<Option<(SocketAddr, String)>, String> {
    let config = gateway.config();
    let Some(port) = gateway.port().ok().flatten().filter(|_| config.notifies_readiness()) else {
        return Ok(None);
    };
    let dotenv = in_dotenv(gateway.home()).map_err(|error| error.in_one_line())?;
    let key = dotenv.get(KEY).or(config.env.get(KEY)).map_or("", String::as_str);
    let host = match config.host.as_str() {
        "0.0.0.0" => "127.0.0.1",
        "::" => "::1",
        host => host,
    };
    let failed = |error: io::Error| format!("GET /v1/models at {host} port {port}: {error}");
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in (host, port).to_socket_addrs().map_err(failed)? {
        match ask(address, key) {
            Ok(name) => return Ok(Some((address, name))),
            Err(error) => last = error,
        }
    }
    Err(failed(last))
}

fn ask(address: SocketAddr, key: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let request = format!(
        "GET /v1/models HTTP/1.0\r\nHost: {address}\r\nAuthorization: Bearer {key}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).unwrap_or("nothing");
    let body: Option<Value> = serde_json::from_str(body).ok();
    let name = body.and_then(|body| body["data"][0]["id"].as_str().map(str::to_owned));
    name.filter(|_| status == "200")
        .ok_or_else(|| io::Error::other(format!("answered {status}, and named no model")))
}

/// Fails with the reason unless the supervised gateway is up, and its own process serves what the former one did.
pub(super) fn supervised(
    gateway: &Gateway,
    status: &Status,
    former: Option<&str>,
) -> Result<(), String> {
    let pid = match (status.state, status.pid) {
        (State::Up, Some(pid)) => pid,
        (state, _) => return Err(format!("it is {state} after its start")),
    };
    let Some((address, name)) = model(gateway)? else { return Ok(()) };
    match listeners::owner(&Proc::default(), address, pid) {
        Owner::Gateway(_) => {}
        Owner::Other(other) => {
            return Err(format!("process {other} answers at {address}, and not process {pid}"));
        }
        Owner::Unseen => return Err(format!("no process of its own answers at {address}")),
    }
    match former.filter(|former| *former != name) {
        Some(former) => Err(format!("it serves `{name}`, and served `{former}` before")),
        None => Ok(()),
    }
}
