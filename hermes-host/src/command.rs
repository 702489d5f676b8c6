//! Runs a service manager's client program (`systemctl`, `journalctl`, `launchctl`) with a deadline.
//!
//! Only output that is made for programs is parsed; messages are only passed on to the user.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use hermes_core::DriverError;
use hermes_core::wait::{self, Poll};
use hermes_core::waiting;

use crate::privilege::as_root;

/// The system's program directories, searched before `PATH`.
const DIRECTORIES: [&str; 4] = ["/usr/bin", "/bin", "/usr/sbin", "/sbin"];

/// A client program, and the environment of every call.
#[derive(Debug, Clone)]
pub struct Tool {
    name: &'static str,
    program: Option<PathBuf>,
    env: Vec<(&'static str, Option<OsString>)>,
}

/// What a program printed, and how it ended.
#[derive(Debug)]
pub struct ToolOutput {
    /// Its data.
    pub stdout: String,
    /// Its messages.
    pub stderr: String,
    /// How it ended; `None` if it was killed at the deadline.
    pub status: Option<ExitStatus>,
}

impl ToolOutput {
    /// Whether it exited with 0.
    pub fn is_success(&self) -> bool {
        self.status.is_some_and(|status| status.success())
    }
}

impl Tool {
    /// The program called `name`, in the system's directories or on `path`.
    pub fn find(name: &'static str, path: &OsStr) -> Self {
        let system = DIRECTORIES.iter().map(PathBuf::from);
        let mut places = system.chain(std::env::split_paths(path)).map(|dir| dir.join(name));
        let program = places.find(|program| program.is_absolute() && program.is_file());
        Self { name, program, env: Vec::new() }
    }

    /// The program at `path`.
    pub fn at(name: &'static str, path: &Path) -> Self {
        Self { name, program: Some(path.to_owned()), env: Vec::new() }
    }

    /// Sets an environment variable for every call.
    pub fn env(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.env.push((name, Some(value.into())));
        self
    }

    /// Removes an environment variable for every call.
    pub fn env_remove(mut self, name: &'static str) -> Self {
        self.env.push((name, None));
        self
    }

    /// The path of the program; an error if it was not found.
    pub fn path(&self) -> Result<&Path, DriverError> {
        self.program.as_deref().ok_or_else(|| {
            let evidence = format!("program `{}` not found", self.name);
            DriverError::unreachable(evidence)
                .with_hint("install the client programs of the service manager")
        })
    }

    fn command(&self, args: &[&str]) -> Result<Command, DriverError> {
        let mut command = Command::new(self.path()?);
        command.args(args).stdin(Stdio::null());
        for (name, value) in &self.env {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        Ok(command)
    }

    /// Starts the program with its stdout in a pipe.
    pub(crate) fn start(&self, args: &[&str]) -> Result<Child, DriverError> {
        let mut command = self.command(args)?;
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        Ok(as_root(|| command.spawn())?)
    }

    /// Runs the program. Blocks until it ends; kills it after `timeout`.
    pub fn run(&self, args: &[&str], timeout: Duration) -> Result<ToolOutput, DriverError> {
        let deadline = Instant::now() + timeout;
        let mut command = self.command(args)?;
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = as_root(|| {
            let mut child = command.spawn()?;
            let output = read_output(&mut child, deadline).and_then(|(stdout, stderr)| {
                let status = await_end(&mut child, deadline)?;
                Ok(ToolOutput { stdout, stderr, status })
            });
            if output.is_err() {
                // The program must not outlive this call.
                let _ = child.kill().and_then(|()| child.wait());
            }
            output
        });
        Ok(output?)
    }

    /// The program's stdout, however it ends, since the reaper of a process 1 may take its exit status. Blocks until it
    /// ends; kills it after `timeout`, and returns `None`.
    pub(crate) fn answer(
        &self,
        args: &[&str],
        timeout: Duration,
    ) -> Result<Option<String>, DriverError> {
        let deadline = Instant::now() + timeout;
        let mut child = self.start(args)?;
        let output = read_output(&mut child, deadline);
        let is_complete = output.is_ok() && Instant::now() < deadline && !waiting::is_cut_off();
        if !is_complete {
            let _ = child.kill();
        }
        let _ = child.wait();
        let (stdout, _) = output?;
        Ok(is_complete.then_some(stdout))
    }

    /// [`run`](Self::run), and its stdout; a failure of the program is an error.
    pub fn data(&self, args: &[&str], timeout: Duration) -> Result<String, DriverError> {
        let output = self.run(args, timeout)?;
        match output.status {
            Some(status) if status.success() => Ok(output.stdout),
            Some(_) => Err(DriverError::new(self.error_message(&output))),
            None => {
                let last_seen = format!("`{}` has not answered", self.name);
                Err(DriverError::timed_out(timeout, last_seen)
                    .with_hint("`hermes doctor` checks the service manager"))
            }
        }
    }

    /// The program's error message, or its exit status if it printed none.
    pub(crate) fn error_message(&self, output: &ToolOutput) -> String {
        let message = output.stderr.trim();
        match output.status {
            _ if !message.is_empty() => format!("{}: {message}", self.name),
            Some(status) => format!("{}: {status}", self.name),
            None => format!("{} has not answered", self.name),
        }
    }
}

/// Reads stdout and stderr until the program closes both, or until `deadline`.
fn read_output(child: &mut Child, deadline: Instant) -> io::Result<(String, String)> {
    let (mut stdout, mut stderr) = (child.stdout.take(), child.stderr.take());
    let (mut data, mut messages) = (Vec::new(), Vec::new());
    while stdout.is_some() || stderr.is_some() {
        if Instant::now() >= deadline || waiting::is_cut_off() {
            break;
        }
        let (out, err) = (stdout.as_ref().map(AsFd::as_fd), stderr.as_ref().map(AsFd::as_fd));
        let has_out = out.is_some();
        let fds: Vec<_> = out.into_iter().chain(err).collect();
        let readable = wait::readable(&fds, Some(waiting::next_look(deadline)))?;
        let err_readable = readable.get(usize::from(has_out)).copied().unwrap_or_default();
        if has_out && readable[0] && !read_chunk(&mut stdout, &mut data)? {
            stdout = None;
        }
        if err_readable && !read_chunk(&mut stderr, &mut messages)? {
            stderr = None;
        }
    }
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok((text(data), text(messages)))
}

/// Reads the available bytes; `false` at the end of the file.
fn read_chunk(pipe: &mut Option<impl Read>, into: &mut Vec<u8>) -> io::Result<bool> {
    let mut buffer = [0; 64 * 1024];
    let Some(pipe) = pipe else { return Ok(false) };
    match pipe.read(&mut buffer) {
        Ok(0) => Ok(false),
        Ok(read) => {
            into.extend_from_slice(&buffer[..read]);
            Ok(true)
        }
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(true),
        Err(error) => Err(error),
    }
}

/// Waits for the child's end; kills it at `deadline` and returns `None`.
fn await_end(child: &mut Child, deadline: Instant) -> io::Result<Option<ExitStatus>> {
    let ended = wait::until(deadline, || {
        Ok::<_, io::Error>(child.try_wait()?.map_or(Poll::Wait, Poll::Done))
    })?;
    if ended.is_none() {
        child.kill()?;
        child.wait()?;
    }
    Ok(ended)
}

#[cfg(test)]
mod tests {
    use hermes_core::driver::Class;

    use super::*;

    const SOON: Duration = Duration::from_secs(60);

    fn shell(script: &str, timeout: Duration) -> ToolOutput {
        let sh = Tool::find("sh", OsStr::new("")).env("WORD", "given").env_remove("HOME");
        sh.run(&["-c", script], timeout).unwrap()
    }

    #[test]
    fn output_messages_and_exit_status_are_separate() {
        let output = shell("echo $WORD$HOME; echo why >&2; exit 3", SOON);
        assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("given\n", "why\n"));
        assert_eq!(output.status.and_then(|status| status.code()), Some(3));
        let sh = Tool::find("sh", OsStr::new(""));
        let error = sh.data(&["-c", "echo no >&2; exit 1"], SOON).unwrap_err();
        assert_eq!(hermes_core::error_chain::in_one_line(&error), "sh: no");
    }

    #[test]
    fn both_pipes_are_drained() {
        let output = shell("head -c 300000 /dev/zero >&2; head -c 300000 /dev/zero", SOON);
        assert_eq!((output.stdout.len(), output.stderr.len()), (300_000, 300_000));
        assert!(output.is_success());
    }

    #[test]
    fn a_program_is_killed_at_the_deadline() {
        let output = shell("echo $$; exec sleep 600", Duration::from_secs(2));
        assert!(output.status.is_none() && !output.stdout.is_empty());
        let process = Path::new("/proc").join(output.stdout.trim());
        assert!(!process.exists(), "the child was reaped");
    }

    #[test]
    fn a_missing_program_is_unreachable() {
        let tool = Tool::find("hermes-no-such-program", OsStr::new("/usr/bin"));
        let error = tool.run(&[], SOON).unwrap_err();
        assert!(*error.class() == Class::Unreachable, "{error:?}");
    }
}
