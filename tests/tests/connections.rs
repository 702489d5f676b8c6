//! Clients that never finish their requests keep nobody out of the dashboard and the built-in gateway.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use hermes_tests::{Dashboard, Svscan, pid, request};
use rustix::process::{Resource, getrlimit, setrlimit};

/// More than the servers have descriptors for.
const IDLE: usize = 1_100;
/// The longest time for an answer while others are idle: less than the servers give those for their headers.
const AT_ONCE: Duration = Duration::from_secs(9);
/// Within this time a connection without a request is closed.
const CLOSED: Duration = Duration::from_secs(30);

/// So many connections to this port that begin a request.
fn idle(port: u16, count: usize) -> Vec<TcpStream> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, rustix::process::Rlimit { current: limit.maximum, ..limit })
        .expect("a limit up to the maximum");
    let begin = |number: usize| {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
        // The end of its headers never comes, and of some not even the beginning.
        let begun = ["", "GET", "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n"][number % 3];
        // The server may have closed it already.
        let _ = stream.write_all(begun.as_bytes());
        stream
    };
    (0..count).map(begin).collect()
}

/// The number of descriptors of a process.
fn descriptors(pid: u64) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).expect("it runs").count()
}

/// Whether the server closes the connection in time.
fn is_closed(stream: &mut TcpStream) -> bool {
    stream.set_read_timeout(Some(CLOSED)).expect("a timeout");
    match stream.read_to_end(&mut Vec::new()) {
        Ok(_) => true,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

#[test]
fn idle_connections_keep_nobody_from_the_dashboard() {
    let tree = Svscan::start();
    tree.env.profile_running("coder", "exec sleep 600");
    let dashboard = Dashboard::start(&tree.env);
    let mut events = dashboard.events("/api/v1/events");
    events.until(|name, _| name == "snapshot");
    let mut idle = idle(dashboard.port, IDLE);
    let begun = Instant::now();
    assert_eq!(request("GET", &dashboard.url("/"), &[], None).status, 200);
    assert_eq!(dashboard.ask("POST", "/api/v1/gateways/coder/start", None).status, 200);
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    let open = descriptors(dashboard.pid());
    assert!(open < 600, "{open} descriptors");
    // A stream of a client with the token stays.
    events.until(|_, data| data["profile"] == "coder" && data["state"] == "up");
    let closed = idle.iter_mut().rev().take(5).all(is_closed);
    assert!(closed, "the newest are closed, too");
}

#[test]
fn a_body_that_does_not_end_is_refused() {
    let tree = Svscan::start();
    let dashboard = Dashboard::start(&tree.env);
    let mut stream = TcpStream::connect(("127.0.0.1", dashboard.port)).expect("it listens");
    let token = &dashboard.token;
    let head = "POST /api/v1/profiles HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n";
    write!(stream, "{head}Authorization: Bearer {token}\r\n\r\n{{").expect("it listens");
    stream.set_read_timeout(Some(CLOSED)).expect("a timeout");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer and the end");
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
}

#[test]
fn idle_connections_keep_nobody_from_the_built_in_gateway() {
    let tree = Svscan::start();
    let port = tree.env.profile_serving("coder");
    tree.env.hermes(["gateway", "start", "coder"]).ok();
    let gateway = pid(&tree.status("coder"));
    let mut idle = idle(port, IDLE);
    let begun = Instant::now();
    let health = format!("http://127.0.0.1:{port}/health");
    assert_eq!(request("GET", &health, &[], None).json()["status"], "ok");
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    let open = descriptors(gateway);
    assert!(open < 600, "{open} descriptors");
    assert!(idle.iter_mut().rev().take(5).all(is_closed), "the newest are closed, too");
    tree.env.hermes(["gateway", "stop", "coder"]).ok();
}
