//! A running dashboard, and requests to it.

use std::fs;
use std::io::{self, BufRead, BufReader};

use rustix::process::Signal;
use serde_json::Value;
use ureq::BodyReader;

use crate::http::{self, Answer};
use crate::{Hermes, Stream, TestEnv, free_port};

/// `hermes dashboard` in a test environment. Dropping this value ends it.
#[derive(Debug)]
pub struct Dashboard {
    /// The port that it listens on.
    pub port: u16,
    /// The token.
    pub token: String,
    stream: Stream,
}

impl Dashboard {
    /// A dashboard that listens on a free port.
    #[track_caller]
    pub fn start(env: &TestEnv) -> Self {
        Self::start_on(env, free_port())
    }

    /// A dashboard that listens on this port.
    #[track_caller]
    pub fn start_on(env: &TestEnv, port: u16) -> Self {
        Self::start_with(env, port, &[])
    }

    /// A dashboard that listens on this port, with more options.
    #[track_caller]
    pub fn start_with(env: &TestEnv, port: u16, options: &[&str]) -> Self {
        Self::start_in(env.hermes(["dashboard"].iter().chain(options).copied()), env, port)
    }

    /// Likewise, of a command without a port.
    #[track_caller]
    pub fn start_in(command: Hermes, env: &TestEnv, port: u16) -> Self {
        let stream = command.args(["--port", &port.to_string()]).stream();
        stream.await_message("the dashboard is at http://127.0.0.1:");
        let token = fs::read_to_string(env.home().join("dashboard.token")).expect("a token");
        Self { port, token: token.trim().to_owned(), stream }
    }

    /// The URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Sends a request with the token.
    #[track_caller]
    pub fn ask(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let authorization = format!("Bearer {}", self.token);
        let body = body.map(|body| body.to_string());
        let headers = [("authorization", authorization.as_str())];
        http::request(method, &self.url(path), &headers, body.as_deref())
    }

    /// Opens an event stream.
    #[track_caller]
    pub fn events(&self, path: &str) -> Events {
        let authorization = format!("Bearer {}", self.token);
        let headers = [("authorization", authorization.as_str())];
        let response = http::begin("GET", &self.url(path), &headers, None).expect("an answer");
        assert_eq!(response.status(), 200);
        Events { lines: BufReader::new(response.into_body().into_reader()) }
    }

    /// Its process.
    pub fn pid(&self) -> u64 {
        self.stream.pid()
    }

    /// Its stdout and stderr so far.
    pub fn output(&self) -> String {
        self.stream.stdout() + &self.stream.stderr()
    }

    /// Ends it with a signal; returns its exit code.
    #[track_caller]
    pub fn end(self, signal: Signal) -> Option<i32> {
        self.stream.signal(signal);
        self.stream.ended().2
    }
}

/// An event stream.
pub struct Events {
    lines: BufReader<BodyReader<'static>>,
}

impl Events {
    /// The next event, its name and its data. Blocks.
    ///
    /// # Panics
    ///
    /// If there is none in time, or the stream has ended.
    #[track_caller]
    pub fn next_event(&mut self) -> (String, Value) {
        let mut name = String::new();
        loop {
            let mut line = String::new();
            let read = self.lines.read_line(&mut line).expect("an event in time");
            assert_ne!(read, 0, "the stream has ended");
            let line = line.trim_end();
            if let Some(event) = line.strip_prefix("event: ") {
                event.clone_into(&mut name);
            } else if let Some(data) = line.strip_prefix("data: ") {
                return (name, serde_json::from_str(data).expect("JSON"));
            }
        }
    }

    /// Blocks until the stream ends.
    #[track_caller]
    pub fn await_end(mut self) {
        io::copy(&mut self.lines, &mut io::sink()).expect("the end in time");
    }

    /// Blocks until an event satisfies `fits`; returns its data.
    #[track_caller]
    pub fn until(&mut self, fits: impl Fn(&str, &Value) -> bool) -> Value {
        loop {
            let (name, data) = self.next_event();
            if fits(&name, &data) {
                return data;
            }
        }
    }
}
