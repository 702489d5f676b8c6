//! Running `hermes` and stating what came of it.

use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

use crate::Stream;

/// A `hermes` command line that is about to run.
#[derive(Debug)]
#[must_use = "nothing runs until its outcome is stated"]
pub struct Hermes {
    command: Command,
}

/// A `hermes` command that runs.
#[derive(Debug)]
#[must_use = "its outcome is to be stated"]
pub struct Running {
    line: String,
    child: Child,
}

impl Running {
    /// Blocks until it has ended.
    pub fn wait(self) -> Outcome {
        Outcome::new(self.line, self.child.wait_with_output().expect("its output"))
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child of ours").is_some()
    }
}

/// What came of it. Whatever is stated wrongly shows all of it.
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
    /// Any command whose outcome is to be stated.
    pub fn new(command: Command) -> Self {
        Self { command }
    }

    /// With one more variable in its environment.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Without a variable in its environment.
    pub fn env_remove(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// Runs it to its end.
    pub fn run(mut self) -> Outcome {
        let output = self.command.stdin(Stdio::null()).output().expect("hermes runs");
        Outcome::new(format!("{:?}", self.command), output)
    }

    /// Starts it and goes on.
    pub fn spawn(mut self) -> Running {
        let line = format!("{:?}", self.command);
        self.command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Running { line, child: self.command.spawn().expect("hermes runs") }
    }

    /// Starts it, to be listened to while it runs.
    pub fn stream(self) -> Stream {
        Stream::start(self.command)
    }

    /// Starts it with a terminal for its stdout.
    pub fn on_terminal(self) -> Stream {
        Stream::on_terminal(self.command)
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
            .unwrap_or_else(|error| panic!("no JSON: {error}\n{self}"))
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { line, code, stdout, stderr } = self;
        write!(f, "$ {line}\nexit {code:?}\n--- stdout\n{stdout}\n--- stderr\n{stderr}")
    }
}
