//! The demo's stage: a temporary home, the commands that run in it, and the demo's `hermes up`.
//!
//! Every wait ends at a deadline or at Ctrl-C. Between two checks the wait prints the lines of `hermes up`, so that only
//! one thread writes to the terminal. Dropping the stage stops the tree and removes the directory.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::fmt::Display;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result, bail, ensure};
use indicatif::ProgressBar;
use rustix::process::Signal;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use tempfile::TempDir;

use super::answer::{Answer, Gateway};
use crate::processes;

/// The time between two checks.
const POLL: Duration = Duration::from_millis(20);
/// How long one command may take; its own deadlines are shorter.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(60);
/// How long it may take to kill remaining processes.
const KILL_TIMEOUT: Duration = Duration::from_secs(10);

/// Prints a line. A closed standard output must not keep the demo from cleaning up.
pub(super) fn say(line: impl Display) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

pub(super) struct Stage {
    hermes: PathBuf,
    /// None once it is removed.
    dir: Option<TempDir>,
    path: PathBuf,
    up: RefCell<Option<Child>>,
    /// The lines of `hermes up`. The stage keeps a sender, so that the channel stays open.
    lines: Receiver<String>,
    sender: Sender<String>,
    interrupted: Arc<AtomicBool>,
}

impl Stage {
    pub(super) fn new(hermes: PathBuf) -> Result<Self> {
        let interrupted = Arc::default();
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register(signal, Arc::clone(&interrupted))
                .context("failed to watch for signals")?;
        }
        let dir = tempfile::Builder::new()
            .prefix("hermes-demo-")
            .tempdir()
            .context("failed to create a temporary directory")?;
        let path =
            dir.path().canonicalize().context("failed to resolve the temporary directory")?;
        let (sender, lines) = channel();
        fs::create_dir(path.join("home")).context("failed to create the home")?;
        Ok(Self {
            hermes,
            dir: Some(dir),
            path,
            up: RefCell::default(),
            lines,
            sender,
            interrupted,
        })
    }

    /// The directory whose path identifies all processes of this demo.
    pub(super) fn dir(&self) -> &Path {
        &self.path
    }

    pub(super) fn home(&self) -> PathBuf {
        self.path.join("home")
    }

    pub(super) fn scandir(&self) -> PathBuf {
        self.path.join("service")
    }

    /// Prints and runs a command, which must succeed.
    pub(super) fn show(&self, args: &[&str]) -> Result<()> {
        self.show_ending(args, 0)
    }

    /// Prints and runs a command, which must exit with `code`.
    pub(super) fn show_ending(&self, args: &[&str], code: i32) -> Result<()> {
        let line = format!("hermes {}", args.join(" "));
        self.print_lines(Duration::ZERO, None);
        say(format_args!("$ {line}"));
        let mut child =
            self.command(args).spawn().with_context(|| format!("failed to run `{line}`"))?;
        let status = self.finish(&mut child, &line)?;
        ensure!(status.code() == Some(code), "`{line}` ended with {status}, not with {code}");
        Ok(())
    }

    /// Runs a command without printing it.
    pub(super) fn ask(&self, args: &[&str]) -> Result<Answer> {
        let line = format!("hermes {}", args.join(" "));
        let mut child = self
            .command(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("failed to run `{line}`"))?;
        // The output of a demo fits into the pipe's buffer, so the command can end before it is read.
        let status = self.finish(&mut child, &line)?;
        let (mut stdout, mut stderr) = (String::new(), String::new());
        child.stdout.take().context("a pipe")?.read_to_string(&mut stdout)?;
        child.stderr.take().context("a pipe")?.read_to_string(&mut stderr)?;
        Ok(Answer { line, code: status.code(), stdout, stderr })
    }

    /// The output of `hermes gateway status NAME --json`.
    pub(super) fn gateway(&self, name: &str) -> Result<Gateway> {
        let answer = self.ask(&["gateway", "status", name, "--json"])?;
        // 3 means that the gateway does not run; the output is valid.
        if answer.code != Some(3) {
            answer.success()?;
        }
        Gateway::parse(&answer.stdout)
            .with_context(|| format!("`{}` printed:\n{}", answer.line, answer.stdout))
    }

    /// Calls `check` until it succeeds and returns its result; at the deadline, its last error.
    pub(super) fn eventually<T>(
        &self,
        what: &str,
        deadline: Duration,
        check: impl FnMut() -> Result<T>,
    ) -> Result<T> {
        let bar = ProgressBar::new_spinner().with_message(format!("waiting until {what}"));
        let found = self.poll(deadline, Some(&bar), &self.interrupted, check);
        bar.finish_and_clear();
        found.with_context(|| format!("not reached: {what}"))
    }

    /// Starts `hermes up` in the background.
    pub(super) fn up(&self) -> Result<()> {
        say("$ hermes up &");
        let mut child = self
            .command(&["up"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Only the demo gets Ctrl-C; it then stops the tree in order.
            .process_group(0)
            .spawn()
            .context("failed to run `hermes up`")?;
        self.forward(child.stdout.take());
        self.forward(child.stderr.take());
        *self.up.borrow_mut() = Some(child);
        Ok(())
    }

    /// The exit status of `hermes up`, if it has ended.
    pub(super) fn up_ended(&self) -> Result<Option<ExitStatus>> {
        self.up.borrow_mut().as_mut().map_or(Ok(None), |child| Ok(child.try_wait()?))
    }

    pub(super) fn up_pid(&self) -> Option<u32> {
        self.up.borrow().as_ref().map(Child::id)
    }

    /// Sends SIGTERM to `hermes up` and waits until it has ended.
    pub(super) fn stop_up(&self, deadline: Duration) -> Result<()> {
        let pid = self.up_pid().context("`hermes up` does not run")?;
        say(format_args!("$ kill {pid}    # hermes up"));
        let status = self.stop_tree(deadline, &self.interrupted)?;
        // An orderly end is 0, or the signal itself.
        ensure!(
            status.success() || [15, 143].contains(&code_or_signal(status)),
            "`hermes up` failed: {status}"
        );
        Ok(())
    }

    /// Ends the remaining processes and removes the directory. A second call does nothing.
    pub(super) fn end(&mut self) -> Result<()> {
        let Some(dir) = self.dir.take() else {
            return Ok(());
        };
        if self.up_pid().is_some() {
            // An earlier interrupt must not end this wait, too.
            if let Err(error) = self.stop_tree(super::TREE_TIMEOUT, &AtomicBool::new(false)) {
                say(format_args!("{error:#}"));
            }
            if let Some(mut child) = self.up.borrow_mut().take() {
                child.kill().and_then(|()| child.wait()).context("failed to kill `hermes up`")?;
            }
        }
        self.poll(KILL_TIMEOUT, None, &AtomicBool::new(false), || {
            // A supervisor may start another process before it dies, so this repeats until there is none.
            let left = processes::mentioning(&self.path)?;
            for process in &left {
                say(format_args!("killing a remaining process: {process:?}"));
                processes::signal(process.pid, Signal::KILL)?;
            }
            ensure!(left.is_empty(), "left: {left:?}");
            Ok(())
        })?;
        dir.close().context("failed to remove the temporary directory")
    }

    /// Sends SIGTERM and waits. The child is not reaped yet, so its pid can't belong to another process.
    fn stop_tree(&self, deadline: Duration, interrupted: &AtomicBool) -> Result<ExitStatus> {
        let pid = self.up_pid().context("`hermes up` does not run")?;
        if self.up_ended()?.is_none() {
            processes::signal(pid, Signal::TERM)?;
        }
        let status = self
            .poll(deadline, None, interrupted, || {
                self.up_ended()?.context("`hermes up` still runs")
            })
            .context("`hermes up` did not end after SIGTERM")?;
        *self.up.borrow_mut() = None;
        Ok(status)
    }

    /// `hermes` with the demo's environment, without the variables of the caller's own Hermes.
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.hermes);
        for (key, _) in std::env::vars_os().filter(|(key, _)| is_ours(key)) {
            command.env_remove(key);
        }
        command
            .args(args)
            .env("HERMES_HOME", self.home())
            .env("HERMES_SCANDIR", self.scandir())
            .current_dir("/")
            .stdin(Stdio::null());
        command
    }

    /// Waits for a command, and kills it at the deadline or at an interrupt.
    fn finish(&self, child: &mut Child, line: &str) -> Result<ExitStatus> {
        let ended = self.poll(COMMAND_TIMEOUT, None, &self.interrupted, || {
            child.try_wait()?.context("still runs")
        });
        if ended.is_err() {
            child
                .kill()
                .and_then(|()| child.wait())
                .with_context(|| format!("failed to kill `{line}`"))?;
        }
        ended.with_context(|| format!("`{line}` did not end"))
    }

    fn poll<T>(
        &self,
        deadline: Duration,
        bar: Option<&ProgressBar>,
        interrupted: &AtomicBool,
        mut check: impl FnMut() -> Result<T>,
    ) -> Result<T> {
        let start = Instant::now();
        loop {
            let error: Error = match check() {
                Ok(found) => return Ok(found),
                Err(error) => error,
            };
            if interrupted.load(Ordering::Relaxed) {
                bail!("interrupted");
            }
            if start.elapsed() >= deadline {
                return Err(error.context(format!("gave up after {} s", deadline.as_secs())));
            }
            self.print_lines(POLL, bar);
        }
    }

    /// Prints the lines of `hermes up` for `time`.
    fn print_lines(&self, time: Duration, bar: Option<&ProgressBar>) {
        let end = Instant::now() + time;
        while let Ok(line) = self.lines.recv_timeout(end.saturating_duration_since(Instant::now()))
        {
            match bar {
                Some(bar) => bar.suspend(|| say(format_args!("up | {line}"))),
                None => say(format_args!("up | {line}")),
            }
        }
        if let Some(bar) = bar {
            bar.tick();
        }
    }

    /// Reads lines in a thread of its own until the last writer closes the pipe.
    fn forward(&self, pipe: Option<impl Read + Send + 'static>) {
        let Some(pipe) = pipe else { return };
        let sender = self.sender.clone();
        thread::spawn(move || {
            for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
                if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                    break;
                }
            }
        });
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            say(format_args!("failed to clean up: {error:#}"));
        }
    }
}

fn is_ours(key: &OsStr) -> bool {
    key.as_encoded_bytes().starts_with(b"HERMES_") || key == "PUID" || key == "PGID"
}

fn code_or_signal(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().or(status.signal()).unwrap_or_default()
}
