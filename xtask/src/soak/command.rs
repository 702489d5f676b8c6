//! A command that runs on the tree, to its end or until it is killed.

use std::fs::File;
use std::io::{Read, Seek};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use super::model::Command;
use super::tree::{POLL, TIMEOUT, Tree};
use crate::wait;

/// A command that runs.
pub(super) struct Running {
    pub(super) line: String,
    child: Child,
    output: File,
    begun: Instant,
}

/// What became of a command.
pub(super) struct Outcome {
    pub(super) line: String,
    pub(super) status: ExitStatus,
    pub(super) killed: bool,
    pub(super) output: String,
}

impl Tree {
    /// Starts a command.
    pub(super) fn run(&self, args: &[&str]) -> Result<Running> {
        let output = tempfile::tempfile()?;
        let mut command = self.command(args);
        command.stdout(output.try_clone()?).stderr(output.try_clone()?);
        let line = format!("hermes {}", args.join(" "));
        let child = command.spawn().with_context(|| format!("failed to run `{line}`"))?;
        Ok(Running { line, child, output, begun: Instant::now() })
    }
}

impl Running {
    /// Blocks until the command has ended, and kills it at `kill_after` from its start. One that hangs is an error.
    pub(super) fn finish(mut self, kill_after: Option<Duration>) -> Result<Outcome> {
        let mut killed = false;
        let mut status = None;
        wait::until(TIMEOUT, POLL, &format!("`{}` has ended", self.line), || {
            status = self.child.try_wait()?;
            if status.is_none()
                && !killed
                && kill_after.is_some_and(|it| self.begun.elapsed() >= it)
            {
                self.child.kill()?;
                killed = true;
            }
            Ok(status.is_some())
        })
        .inspect_err(|_| drop(self.child.kill()))?;
        let Some(status) = status else { bail!("`{}` has no exit status", self.line) };
        self.output.rewind()?;
        let mut output = Vec::new();
        self.output.read_to_end(&mut output)?;
        let output = String::from_utf8_lossy(&output).into_owned();
        let killed = status.signal() == Some(Signal::KILL.as_raw());
        Ok(Outcome { line: self.line, status, killed, output })
    }
}

/// The arguments of a command.
pub(super) fn line(command: Command, port: &str) -> String {
    match command {
        Command::Create { name, start, .. } => {
            let start = if start { " --start" } else { "" };
            format!("profile create {name} --port {port}{start}")
        }
        Command::Delete(name) => format!("profile delete {name} -y"),
        Command::Rename(from, to) => format!("profile rename {from} {to}"),
        Command::Start(name) => format!("gateway start {name}"),
        Command::Stop(name) => format!("gateway stop {name}"),
        Command::Restart(name) => format!("gateway restart {name}"),
        Command::Register(name) => format!("gateway register {name}"),
        Command::Unregister(name) => format!("gateway unregister {name}"),
        Command::Port(name) => format!("profile port {name} {port}"),
        Command::Boot => "boot".to_owned(),
    }
}
