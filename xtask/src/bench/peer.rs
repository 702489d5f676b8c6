//! The Python implementation: its commands, and its functions by way of `peer.py`.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::testbed::{Home, Testbed};
use crate::agent;

/// The installed Python implementation.
pub(super) struct Peer {
    bin: PathBuf,
}

impl Peer {
    /// Installs it unless it is installed.
    pub(super) fn install(no_install: bool) -> Result<Self> {
        Ok(Self { bin: agent::ensure(no_install)?.join("bin") })
    }

    /// Its command on a home, with the environment that README.md recommends.
    pub(super) fn command(&self, home: &Home, args: &[&str]) -> Command {
        let mut command = home.command(&self.bin.join("hermes"));
        command
            .args(args)
            .env("HERMES_S6_SUPERVISED_CHILD", "1")
            .env("HERMES_GATEWAY_MAX_STARTS", "0")
            .env("PYTHONUNBUFFERED", "1")
            .env("TIRITH_ENABLED", "false");
        command
    }

    /// Starts a process that calls its functions on the tree of `home`, with `scripts` for its service directories.
    pub(super) fn functions(
        &self,
        testbed: &Testbed,
        home: &Home,
        scripts: &Path,
    ) -> Result<Functions> {
        let program = testbed.path().join("peer.py");
        fs::write(&program, include_str!("peer.py"))?;
        let mut command = home.command(&self.bin.join("python"));
        command.arg(program).args([&home.path, &home.scandir]).arg(scripts).arg(s6_programs()?);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().context("failed to run peer.py")?;
        let (requests, answers) =
            child.stdin.take().zip(child.stdout.take()).context("both are pipes")?;
        let mut functions =
            Functions { child, requests: Some(requests), answers: BufReader::new(answers) };
        let ready = functions.answer()?;
        ensure!(ready == "ready", "peer.py printed `{ready}` instead of `ready`");
        Ok(functions)
    }
}

/// The directory of s6's programs.
fn s6_programs() -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut directories = std::env::split_paths(&path);
    directories.find(|dir| dir.join("s6-svc").exists()).context("no s6-svc on PATH")
}

/// A running `peer.py`, stopped on drop.
pub(super) struct Functions {
    child: Child,
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Functions {
    /// Calls one of its functions and returns how many milliseconds it took.
    pub(super) fn call(&mut self, request: &str) -> Result<f64> {
        let requests = self.requests.as_mut().context("peer.py has ended")?;
        writeln!(requests, "{request}").context("peer.py has ended")?;
        let answer = self.answer()?;
        answer.parse().with_context(|| format!("peer.py answered `{answer}` to `{request}`"))
    }

    fn answer(&mut self) -> Result<String> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for Functions {
    fn drop(&mut self) {
        // It exits at the end of its input.
        self.requests = None;
        let _ = self.child.wait();
    }
}
