//! Running a service manager's own program, with a deadline: what it says, and what it says of a failure.
//!
//! Its data is only read where it is made for programs, its messages only to be passed on.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use hermes_core::DriverError;
use hermes_core::wait::{self, Poll};

use crate::privilege::raised;

/// Where programs of the system are, whatever `PATH` is.
const DIRECTORIES: [&str; 4] = ["/usr/bin", "/bin", "/usr/sbin", "/sbin"];

/// A program of the system, with what every call of it has in common.
#[derive(Debug, Clone)]
pub struct Tool {
    name: &'static str,
    program: Option<PathBuf>,
    env: Vec<(&'static str, Option<OsString>)>,
}

/// What a program said, whatever it exited with.
#[derive(Debug)]
pub struct Said {
    /// Its data.
    pub stdout: String,
    /// Its messages.
    pub stderr: String,
    /// How it ended; `None` if it had not at the deadline and was killed.
    pub status: Option<ExitStatus>,
}

impl Said {
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

    /// With a variable for every call.
    pub fn env(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.env.push((name, Some(value.into())));
        self
    }

    /// Without a variable, for every call.
    pub fn env_remove(mut self, name: &'static str) -> Self {
        self.env.push((name, None));
        self
    }

    fn command(&self, args: &[&str]) -> Result<Command, DriverError> {
        let Some(program) = &self.program else {
            let saw = format!("there is no program `{}`", self.name);
            return Err(DriverError::unreachable(saw)
                .with_hint("install the service manager's own programs"));
        };
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::null());
        for (name, value) in &self.env {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        Ok(command)
    }

    /// Starts it with its output in a pipe.
    pub(crate) fn start(&self, args: &[&str]) -> Result<Child, DriverError> {
        let mut command = self.command(args)?;
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        Ok(raised(|| command.spawn())?)
    }

    /// Runs it. Blocks until it has ended, at most `timeout`; then it is killed.
    pub fn run(&self, args: &[&str], timeout: Duration) -> Result<Said, DriverError> {
        let deadline = Instant::now() + timeout;
        let mut command = self.command(args)?;
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let said = raised(|| {
            let mut child = command.spawn()?;
            let listened = listen(&mut child, deadline).and_then(|(stdout, stderr)| {
                let status = end(&mut child, deadline)?;
                Ok(Said { stdout, stderr, status })
            });
            if listened.is_err() {
                // It is not to outlive who started it.
                let _ = child.kill().and_then(|()| child.wait());
            }
            listened
        });
        Ok(said?)
    }

    /// [`run`](Self::run) for what has to succeed; then its data.
    pub fn data(&self, args: &[&str], timeout: Duration) -> Result<String, DriverError> {
        let said = self.run(args, timeout)?;
        match said.status {
            Some(status) if status.success() => Ok(said.stdout),
            Some(_) => Err(DriverError::new(self.complaint(&said))),
            None => {
                let saw = format!("`{}` has not answered", self.name);
                Err(DriverError::timed_out(timeout, saw)
                    .with_hint("`hermes doctor` looks for what is wrong"))
            }
        }
    }

    /// What it said of its failure.
    pub(crate) fn complaint(&self, said: &Said) -> String {
        let words = said.stderr.trim();
        match said.status {
            _ if !words.is_empty() => format!("{}: {words}", self.name),
            Some(status) => format!("{}: {status}", self.name),
            None => format!("{} has not answered", self.name),
        }
    }
}

/// All that it says until it closes both its outputs, or `deadline`.
fn listen(child: &mut Child, deadline: Instant) -> io::Result<(String, String)> {
    let (mut stdout, mut stderr) = (child.stdout.take(), child.stderr.take());
    let (mut data, mut words) = (Vec::new(), Vec::new());
    while stdout.is_some() || stderr.is_some() {
        if Instant::now() >= deadline {
            break;
        }
        let (out, err) = (stdout.as_ref().map(AsFd::as_fd), stderr.as_ref().map(AsFd::as_fd));
        let is_out = out.is_some();
        let fds: Vec<_> = out.into_iter().chain(err).collect();
        let told = wait::readable(&fds, Some(deadline))?;
        let err_told = told.get(usize::from(is_out)).copied().unwrap_or_default();
        if is_out && told[0] && !take(&mut stdout, &mut data)? {
            stdout = None;
        }
        if err_told && !take(&mut stderr, &mut words)? {
            stderr = None;
        }
    }
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok((text(data), text(words)))
}

/// Takes what there is; `false` at the end.
fn take(pipe: &mut Option<impl Read>, into: &mut Vec<u8>) -> io::Result<bool> {
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

/// How it ended; `None` if it had not at `deadline` and was killed.
fn end(child: &mut Child, deadline: Instant) -> io::Result<Option<ExitStatus>> {
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

    fn shell(script: &str, timeout: Duration) -> Said {
        let sh = Tool::find("sh", OsStr::new("")).env("WORD", "given").env_remove("HOME");
        sh.run(&["-c", script], timeout).unwrap()
    }

    #[test]
    fn what_it_says_and_how_it_ends_is_told_apart() {
        let said = shell("echo $WORD$HOME; echo why >&2; exit 3", SOON);
        assert_eq!((said.stdout.as_str(), said.stderr.as_str()), ("given\n", "why\n"));
        assert_eq!(said.status.and_then(|status| status.code()), Some(3));
        let sh = Tool::find("sh", OsStr::new(""));
        let error = sh.data(&["-c", "echo no >&2; exit 1"], SOON).unwrap_err();
        assert_eq!(hermes_core::error_chain::in_one_line(&error), "sh: no");
    }

    #[test]
    fn more_than_a_pipe_holds_is_read_from_both_at_once() {
        let said = shell("head -c 300000 /dev/zero >&2; head -c 300000 /dev/zero", SOON);
        assert_eq!((said.stdout.len(), said.stderr.len()), (300_000, 300_000));
        assert!(said.is_success());
    }

    #[test]
    fn what_does_not_end_is_killed_at_the_deadline() {
        let said = shell("echo $$; exec sleep 600", Duration::from_secs(2));
        assert!(said.status.is_none() && !said.stdout.is_empty());
        let process = Path::new("/proc").join(said.stdout.trim());
        assert!(!process.exists(), "it was waited for");
    }

    #[test]
    fn a_program_that_is_not_there_is_out_of_reach() {
        let tool = Tool::find("hermes-no-such-program", OsStr::new("/usr/bin"));
        let error = tool.run(&[], SOON).unwrap_err();
        assert!(*error.class() == Class::Unreachable, "{error:?}");
    }
}
