//! `/v1/models` of the Python agent's API server, which names the profile that answers: for whom a gateway works.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use hermes_core::agent::{Locks, Served};
use hermes_core::config::{GatewayKind, Topology};
use hermes_core::home::ProfileHome;
use hermes_core::{Gateway, ProfileName, dotenv, hosts};
use serde_json::Value;

use crate::error::CliError;

const KEY: &str = "API_SERVER_KEY";
/// The largest answer that is read.
const MAX_ANSWER: u64 = 1 << 20;

/// The variables of a profile's `.env`.
pub(super) fn in_dotenv(home: &ProfileHome) -> Result<BTreeMap<String, String>, CliError> {
    let variables = dotenv::load(&home.dotenv()).and_then(|file| file.variables(&[], |_| None));
    Ok(variables.map_err(CliError::of)?.set.into_iter().collect())
}

/// The model that the API server of a gateway names, and the address that answered; `None` without an API server. Each
/// step of an answer takes at most `timeout`.
pub(super) fn model(
    gateway: &Gateway,
    timeout: Duration,
) -> Result<Option<(SocketAddr, String)>, String> {
    named_at(gateway, "/v1/models", timeout)
}

/// Which other profile the gateway serves although its `gateway.topology` is `isolated`: one that it has recorded, or one
/// that its API server answers for. A server that does not answer serves nobody.
pub(super) fn other_served(
    gateway: &Gateway,
    profiles: &[ProfileName],
    timeout: Duration,
) -> Option<String> {
    let config = &gateway.loaded().ok()?.gateway;
    if config.kind != GatewayKind::HermesAgent || config.topology != Topology::Isolated {
        return None;
    }
    if let Served::Others(others) = Served::of(&Locks::default(), gateway.home())
        && let Some(other) = others.first()
    {
        return Some(format!("it serves `{other}`, too"));
    }
    let is_other = |name: &&ProfileName| *name != gateway.name();
    let (_, named) = model(gateway, timeout).ok()??;
    if profiles.iter().filter(is_other).any(|name| name.as_str() == named) {
        return Some(format!("GET /v1/models names `{named}`"));
    }
    // The gateway of `default` alone can serve others. One that does not ignores the prefix.
    let other = profiles.iter().find(is_other).filter(|_| gateway.name().is_default())?;
    let path = format!("/p/{other}/v1/models");
    let (_, named) = named_at(gateway, &path, timeout).ok()??;
    (named == other.as_str()).then(|| format!("GET {path} names `{named}`"))
}

fn named_at(
    gateway: &Gateway,
    path: &str,
    timeout: Duration,
) -> Result<Option<(SocketAddr, String)>, String> {
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
    let failed = |error: io::Error| format!("GET {path} at {host} port {port}: {error}");
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in hosts::addresses(host, port).map_err(failed)? {
        match ask(address, path, key, timeout) {
            Ok(name) => return Ok(Some((address, name))),
            Err(error) => last = error,
        }
    }
    Err(failed(last))
}

fn ask(address: SocketAddr, path: &str, key: &str, timeout: Duration) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    let request = format!(
        "GET {path} HTTP/1.0\r\nHost: {address}\r\nAuthorization: Bearer {key}\r\nConnection: close\r\n\r\n"
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
