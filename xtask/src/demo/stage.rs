//! The demo's stage: a temporary home, the commands that run in it, and the `hermes up` that this demo started.
//!
//! Every wait ends at a deadline or at Ctrl-C. Between two looks it listens to what `hermes up` says and prints
//! it, so only one thread writes to the terminal. Dropping the stage ends the tree and removes the directory.

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
use super::processes;

/// The time between two looks.
const LOOK: Duration = Duration::from_millis(20);
/// What one command may take; Hermes' own deadlines are shorter.
const COMMAND: Duration = Duration::from_secs(60);
/// What the last resort may take to end what is left.
const LAST_RESORT: Duration = Duration::from_secs(10);

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
    /// What `hermes up` says. The stage keeps a sender, so that the channel lasts.
    said: Receiver<String>,
    saying: Sender<String>,
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
            .context("failed to make a directory")?;
        let path =
            dir.path().canonicalize().context("failed to resolve the temporary directory")?;
        let (saying, said) = channel();
        fs::create_dir(path.join("home")).context("failed to make the home")?;
        Ok(Self { hermes, dir: Some(dir), path, up: RefCell::default(), said, saying, interrupted })
    }

    /// The directory whose path marks all processes of this demo.
    pub(super) fn dir(&self) -> &Path {
        &self.path
    }

    pub(super) fn home(&self) -> PathBuf {
        self.path.join("home")
    }

    pub(super) fn scandir(&self) -> PathBuf {
        self.path.join("service")
    }

    /// Runs a command as a user would; it must succeed.
    pub(super) fn show(&self, args: &[&str]) -> Result<()> {
        self.show_ending(args, 0)
    }

    /// Runs a command as a user would; it must exit with `code`.
    pub(super) fn show_ending(&self, args: &[&str], code: i32) -> Result<()> {
        let line = format!("hermes {}", args.join(" "));
        self.listen(Duration::ZERO, None);
        say(format_args!("$ {line}"));
        let mut child =
            self.command(args).spawn().with_context(|| format!("failed to run `{line}`"))?;
        let status = self.finish(&mut child, &line)?;
        ensure!(status.code() == Some(code), "`{line}` ended with {status}, not with {code}");
        Ok(())
    }

    /// Runs a command behind the scenes.
    pub(super) fn ask(&self, args: &[&str]) -> Result<Answer> {
        let line = format!("hermes {}", args.join(" "));
        let mut child = self
            .command(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("failed to run `{line}`"))?;
        // A report of this demo's size fits into the pipe, so the command ends before it is read.
        let status = self.finish(&mut child, &line)?;
        let (mut stdout, mut stderr) = (String::new(), String::new());
        child.stdout.take().context("a pipe")?.read_to_string(&mut stdout)?;
        child.stderr.take().context("a pipe")?.read_to_string(&mut stderr)?;
        Ok(Answer { line, code: status.code(), stdout, stderr })
    }

    /// What `hermes gateway status NAME --json` says.
    pub(super) fn gateway(&self, name: &str) -> Result<Gateway> {
        let answer = self.ask(&["gateway", "status", name, "--json"])?;
        // 3 is "not running", which is a status too.
        if answer.code != Some(3) {
            answer.success()?;
        }
        Gateway::parse(&answer.stdout)
            .with_context(|| format!("`{}` said:\n{}", answer.line, answer.stdout))
    }

    /// Looks until `check` succeeds and returns what it found; its last error says what was wrong at the deadline.
    pub(super) fn eventually<T>(
        &self,
        what: &str,
        deadline: Duration,
        check: impl FnMut() -> Result<T>,
    ) -> Result<T> {
        let bar = ProgressBar::new_spinner().with_message(format!("waiting until {what}"));
        let found = self.poll(deadline, Some(&bar), &self.interrupted, check);
        bar.finish_and_clear();
        found.with_context(|| format!("not so: {what}"))
    }

    /// Starts `hermes up` in the background.
    pub(super) fn up(&self) -> Result<()> {
        say("$ hermes up &");
        let mut child = self
            .command(&["up"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C is for the demo, which then stops the tree in order.
            .process_group(0)
            .spawn()
            .context("failed to run `hermes up`")?;
        self.forward(child.stdout.take());
        self.forward(child.stderr.take());
        *self.up.borrow_mut() = Some(child);
        Ok(())
    }

    /// How `hermes up` ended, if it did.
    pub(super) fn up_ended(&self) -> Result<Option<ExitStatus>> {
        self.up.borrow_mut().as_mut().map_or(Ok(None), |child| Ok(child.try_wait()?))
    }

    pub(super) fn up_pid(&self) -> Option<u32> {
        self.up.borrow().as_ref().map(Child::id)
    }

    /// Asks `hermes up` to end, as a terminal or a machine's shutdown does, and waits for it.
    pub(super) fn stop_up(&self, deadline: Duration) -> Result<()> {
        let pid = self.up_pid().context("`hermes up` does not run")?;
        say(format_args!("$ kill {pid}    # hermes up"));
        let status = self.stop_tree(deadline, &self.interrupted)?;
        // An orderly end is 0, or the signal itself passed on.
        ensure!(
            status.success() || [15, 143].contains(&code_or_signal(status)),
            "`hermes up` failed, {status}"
        );
        Ok(())
    }

    /// Ends what still runs and removes the directory. Does nothing the second time.
    pub(super) fn end(&mut self) -> Result<()> {
        let Some(dir) = self.dir.take() else {
            return Ok(());
        };
        if self.up_pid().is_some() {
            // An interrupt has already brought us here; it must not end this wait too.
            if let Err(error) = self.stop_tree(super::TREE, &AtomicBool::new(false)) {
                say(format_args!("{error:#}"));
            }
            if let Some(mut child) = self.up.borrow_mut().take() {
                child.kill().and_then(|()| child.wait()).context("failed to kill `hermes up`")?;
            }
        }
        self.poll(LAST_RESORT, None, &AtomicBool::new(false), || {
            // A supervisor that dies late may have started another process: look again until there is none.
            let left = processes::mentioning(&self.path)?;
            for process in &left {
                say(format_args!("killing what is left: {process:?}"));
                processes::signal(process.pid, Signal::KILL)?;
            }
            ensure!(left.is_empty(), "left: {left:?}");
            Ok(())
        })?;
        dir.close().context("failed to remove the temporary directory")
    }

    /// SIGTERM, then the wait; the child is ours and not reaped, so the pid is its own.
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

    /// `hermes` with the demo's environment: nothing of the caller's own Hermes reaches it.
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

    /// Waits for a command; one that is out of time, or in the way of an interrupt, is killed.
    fn finish(&self, child: &mut Child, line: &str) -> Result<ExitStatus> {
        let ended =
            self.poll(COMMAND, None, &self.interrupted, || child.try_wait()?.context("still runs"));
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
            self.listen(LOOK, bar);
        }
    }

    /// Prints what `hermes up` says within `time`.
    fn listen(&self, time: Duration, bar: Option<&ProgressBar>) {
        let end = Instant::now() + time;
        while let Ok(line) = self.said.recv_timeout(end.saturating_duration_since(Instant::now())) {
            match bar {
                Some(bar) => bar.suspend(|| say(format_args!("up | {line}"))),
                None => say(format_args!("up | {line}")),
            }
        }
        if let Some(bar) = bar {
            bar.tick();
        }
    }

    /// Reads lines in a thread of its own until the last holder of the pipe is gone.
    fn forward(&self, pipe: Option<impl Read + Send + 'static>) {
        let Some(pipe) = pipe else { return };
        let saying = self.saying.clone();
        thread::spawn(move || {
            for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
                if saying.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
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
