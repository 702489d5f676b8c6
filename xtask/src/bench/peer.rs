//! The Python implementation: its commands, and its functions through `peer.py`.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::scene::{Home, Scene};
use crate::agent;

/// Where it is installed.
pub(super) struct Peer {
    bin: PathBuf,
}

impl Peer {
    /// Installs it if need be.
    pub(super) fn install(no_install: bool) -> Result<Self> {
        agent::ensure(no_install)?;
        Ok(Self { bin: agent::place()?.join("bin") })
    }

    /// Its command about a home, as the README has it run.
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

    /// A process that calls its functions about the tree of `home`; `scripts` are those of its slots.
    pub(super) fn functions(
        &self,
        scene: &Scene,
        home: &Home,
        scripts: &Path,
    ) -> Result<Functions> {
        let program = scene.path().join("peer.py");
        fs::write(&program, include_str!("peer.py"))?;
        let mut command = home.command(&self.bin.join("python"));
        command.arg(program).args([&home.path, &home.scandir]).arg(scripts).arg(s6_programs()?);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().context("failed to run peer.py")?;
        let (asked, said) = child.stdin.take().zip(child.stdout.take()).context("pipes")?;
        let mut functions = Functions { child, asked: Some(asked), said: BufReader::new(said) };
        let ready = functions.answer()?;
        ensure!(ready == "ready", "peer.py says `{ready}`");
        Ok(functions)
    }
}

/// The directory of s6's programs.
fn s6_programs() -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut directories = std::env::split_paths(&path);
    directories.find(|dir| dir.join("s6-svc").exists()).context("no s6-svc on PATH")
}

/// A running `peer.py`. Dropping it ends it.
pub(super) struct Functions {
    child: Child,
    asked: Option<ChildStdin>,
    said: BufReader<ChildStdout>,
}

impl Functions {
    /// Calls one of its functions and answers how many milliseconds it took.
    pub(super) fn call(&mut self, request: &str) -> Result<f64> {
        let asked = self.asked.as_mut().context("it has ended")?;
        writeln!(asked, "{request}").context("peer.py has ended")?;
        let answer = self.answer()?;
        answer.parse().with_context(|| format!("peer.py says `{answer}` to `{request}`"))
    }

    fn answer(&mut self) -> Result<String> {
        let mut line = String::new();
        self.said.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for Functions {
    fn drop(&mut self) {
        // It ends with its input.
        self.asked = None;
        let _ = self.child.wait();
    }
}
