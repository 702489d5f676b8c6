//! A minimal HTTP request for a gateway's health: one request, one answer, then the connection closes.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

const TIMEOUT: Duration = Duration::from_secs(5);
/// More than any health report.
const MAX_ANSWER: u64 = 64 * 1024;

/// Fetches JSON from a port of this machine.
pub(crate) fn get_json(port: u16, path: &str) -> Result<Value> {
    fetch(port, path)
        .and_then(|answer| body(&answer))
        .with_context(|| format!("failed to fetch http://127.0.0.1:{port}{path}"))
}

/// Whether a port of this machine refuses connections.
pub(crate) fn is_refused(port: u16) -> bool {
    connect(port).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

fn connect(port: u16) -> std::io::Result<TcpStream> {
    TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), TIMEOUT)
}

fn fetch(port: u16, path: &str) -> Result<String> {
    let mut stream = connect(port)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.take(MAX_ANSWER).read_to_string(&mut answer)?;
    Ok(answer)
}

fn body(answer: &str) -> Result<Value> {
    let (head, body) =
        answer.split_once("\r\n\r\n").context("the answer has no end of its headers")?;
    let status = head.lines().next().unwrap_or_default();
    ensure!(status.starts_with("HTTP/1.1 200"), "the answer is `{status}`");
    serde_json::from_str(body).with_context(|| format!("the answer is not JSON: {body}"))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_listener_answers_and_a_closed_port_refuses() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 512];
            let n = stream.read(&mut request).unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"pid\":7}").unwrap();
            String::from_utf8_lossy(&request[..n]).into_owned()
        });
        assert_eq!(get_json(port, "/health").unwrap()["pid"], 7);
        assert!(server.join().unwrap().starts_with("GET /health HTTP/1.1\r\n"));
        // A process that another test starts may hold a copy of the listener until its exec.
        let end = Instant::now() + TIMEOUT;
        while !is_refused(port) {
            assert!(Instant::now() < end, "port {port} still answers");
        }
    }

    #[test]
    fn only_a_complete_answer_with_status_200_is_accepted() {
        for answer in [
            "",
            "HTTP/1.1 200 OK\r\n",
            "HTTP/1.1 404 Not Found\r\n\r\n{}",
            "HTTP/1.1 200 OK\r\n\r\n<p>",
        ] {
            assert!(body(answer).is_err(), "{answer:?}");
        }
    }
}
