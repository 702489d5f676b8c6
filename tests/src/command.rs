//! Runs `hermes` and checks the outcome.

use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

use crate::{SOON, Stream, answered};

/// A `hermes` command line, not yet started.
#[derive(Debug)]
#[must_use = "it is not started yet"]
pub struct Hermes {
    command: Command,
}

/// A running `hermes` command.
#[derive(Debug)]
#[must_use = "its outcome must be checked"]
pub struct Running {
    line: String,
    child: Child,
}

impl Running {
    /// Blocks until it has ended.
    pub fn wait(self) -> Outcome {
        Outcome::new(self.line, self.child.wait_with_output().expect("its output"))
    }

    /// Its process.
    pub fn pid(&self) -> u64 {
        self.child.id().into()
    }

    /// Blocks until it has ended, and kills it if it does not end soon.
    ///
    /// # Panics
    ///
    /// If it does not end.
    #[track_caller]
    pub fn ends(mut self) -> Outcome {
        if answered(SOON, || self.has_ended().then_some(())).is_none() {
            let _ = self.child.kill();
            panic!("it does not end: {}", self.wait());
        }
        self.wait()
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child of ours").is_some()
    }
}

/// The outcome of a command. Failed assertions print all of it.
#[derive(Debug)]
pub struct Outcome {
    line: String,
    code: Option<i32>,
    /// Its data.
    pub stdout: String,
    /// Its messages.
    pub stderr: String,
}

impl Hermes {
    /// Wraps any command.
    pub fn new(command: Command) -> Self {
        Self { command }
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Adds arguments.
    pub fn args<'a>(mut self, args: impl IntoIterator<Item = &'a str>) -> Self {
        self.command.args(args);
        self
    }

    /// Removes an environment variable.
    pub fn env_remove(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// Runs it to its end.
    pub fn run(mut self) -> Outcome {
        let output = self.command.stdin(Stdio::null()).output().expect("hermes runs");
        Outcome::new(format!("{:?}", self.command), output)
    }

    /// Starts it and does not wait.
    pub fn spawn(mut self) -> Running {
        let line = format!("{:?}", self.command);
        self.command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Running { line, child: self.command.spawn().expect("hermes runs") }
    }

    /// Starts it and reads its output while it runs.
    pub fn stream(self) -> Stream {
        Stream::start(self.command)
    }

    /// Starts it with a terminal for its stdout.
    pub fn on_terminal(self) -> Stream {
        Stream::on_terminal(self.command, 0)
    }

    /// Starts it with a terminal of so many columns as stdout.
    pub fn on_terminal_of(self, columns: u16) -> Stream {
        Stream::on_terminal(self.command, columns)
    }

    /// Starts it with a terminal of so many columns as stderr.
    pub fn messages_on_terminal_of(self, columns: u16) -> Stream {
        Stream::messages_on_terminal(self.command, columns)
    }

    /// Runs it; it must exit with 0.
    #[track_caller]
    pub fn ok(self) -> Outcome {
        self.fails_with(0)
    }

    /// Runs it; it must exit with `code`.
    #[track_caller]
    pub fn fails_with(self, code: i32) -> Outcome {
        let outcome = self.run();
        assert_eq!(outcome.code, Some(code), "{outcome}");
        assert!(!outcome.stderr.contains("panicked"), "{outcome}");
        outcome
    }

    /// Runs it; it must exit with 0 and print JSON.
    #[track_caller]
    pub fn json(self) -> Value {
        self.ok().json()
    }
}

impl Outcome {
    /// The outcome without the warnings of events that were not recorded, which depends on the room in the last block of
    /// their file.
    pub fn without_lost_events(mut self) -> Self {
        let is_lost = |line: &&str| line.starts_with("warning: failed to record the event");
        let lines = self.stderr.lines().filter(|line| !is_lost(line));
        self.stderr = lines.map(|line| format!("{line}\n")).collect();
        self
    }

    fn new(line: String, output: Output) -> Self {
        Self {
            line,
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("UTF-8 on stdout"),
            stderr: String::from_utf8(output.stderr).expect("UTF-8 on stderr"),
        }
    }

    /// Its exit code; `None` if a signal ended it.
    pub fn code(&self) -> Option<i32> {
        self.code
    }

    /// Its data as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("invalid JSON: {error}\n{self}"))
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { line, code, stdout, stderr } = self;
        write!(f, "$ {line}\nexit {code:?}\n--- stdout\n{stdout}\n--- stderr\n{stderr}")
    }
}
