//! Probes of a container over HTTP, as the kubelet asks them.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::events::{Event, Probe};

/// The shortest pause between two questions.
const SHORTEST: Duration = Duration::from_millis(20);

/// Where, how and how often to ask.
#[derive(Debug, Clone)]
struct Question {
    address: SocketAddr,
    path: String,
    delay: Duration,
    period: Duration,
    timeout: Duration,
}

/// How a probe decides: after so many equal answers in a row.
#[derive(Debug)]
pub(super) struct Prober {
    failures: u64,
    successes: u64,
    in_a_row: (bool, u64),
    /// Dropping it ends the questions.
    _ask: Sender<()>,
}

impl Prober {
    /// Begins to ask, if `container` has such a probe. The answers go to `events`.
    pub(super) fn start(
        probe: Probe,
        container: &Value,
        address: Ipv4Addr,
        (run, faster): (u64, u32),
        events: &Sender<Event>,
    ) -> Option<Self> {
        let spec = container.get(probe.key())?;
        let seconds = |key: &str| Duration::from_secs(spec[key].as_u64().unwrap_or_default());
        let question = Question {
            address: (address, port(container, &spec["httpGet"]["port"])?).into(),
            path: spec["httpGet"]["path"].as_str().unwrap_or("/").to_owned(),
            delay: seconds("initialDelaySeconds") / faster,
            period: (seconds("periodSeconds") / faster).max(SHORTEST),
            timeout: seconds("timeoutSeconds"),
        };
        let (ask, asked) = mpsc::channel();
        let events = events.clone();
        thread::spawn(move || {
            let mut pause = question.delay;
            while asked.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                if events.send(Event::Probed(probe, run, is_well(&question).is_some())).is_err() {
                    return;
                }
                pause = question.period;
            }
        });
        Some(Self {
            failures: spec["failureThreshold"].as_u64().unwrap_or(3),
            successes: spec["successThreshold"].as_u64().unwrap_or(1),
            in_a_row: (true, 0),
            _ask: ask,
        })
    }

    /// Counts an answer; what it decides, if it does.
    pub(super) fn count(&mut self, is_well: bool) -> Option<bool> {
        let (before, count) = self.in_a_row;
        let count = if before == is_well { count + 1 } else { 1 };
        self.in_a_row = (is_well, count);
        let enough = if is_well { self.successes } else { self.failures };
        (count >= enough).then_some(is_well)
    }
}

/// The number of a port that may be a name.
fn port(container: &Value, port: &Value) -> Option<u16> {
    let mut ports = container["ports"].as_array().into_iter().flatten();
    let number = match port.as_str() {
        Some(name) => ports.find(|one| one["name"] == name)?["containerPort"].as_u64(),
        None => port.as_u64(),
    };
    number?.try_into().ok()
}

/// Asks once; `None` unless the answer is from 200 to 399.
fn is_well(question: &Question) -> Option<()> {
    let timeout = Some(question.timeout);
    let mut stream = TcpStream::connect_timeout(&question.address, question.timeout).ok()?;
    stream.set_read_timeout(timeout).ok()?;
    stream.set_write_timeout(timeout).ok()?;
    let (path, host) = (&question.path, question.address);
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: kube-probe/1.33\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).ok()?;
    // "HTTP/1.1 200"
    let mut line = [0; 12];
    stream.read_exact(&mut line).ok()?;
    let code: u16 = std::str::from_utf8(&line[9..]).ok()?.parse().ok()?;
    (200..400).contains(&code).then_some(())
}
