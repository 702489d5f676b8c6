//! Notices: runs the program of `notify.command` on chosen events.
//!
//! One thread follows the journal of events. It runs the program for one event at a time, in their order, so that a
//! burst starts one process. What waits is bounded: the oldest events are dropped, and the next notice says how many.
//! The configuration is read when events come, so that a change needs no restart.

mod output;

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, ErrorKind, Write};
use std::os::fd::BorrowedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use hermes_core::config::{self, Notify};
use hermes_core::error_chain::in_one_line;
use hermes_core::events::{Event, Follow, Journal};
use hermes_core::home::env as names;
use hermes_core::process::Process;
use hermes_core::{ProfileName, RootHome, wait};
use jiff::Timestamp;
use rustix::process::{Pid, Signal};
use serde::Serialize;

use self::output::Output;
use super::reaper;
use crate::app::App;
use crate::escape::escaped;

/// How many events may wait for the program.
const MAX_WAITING: usize = 100;
/// How long to wait after the journal could not be read.
const RETRY: Duration = Duration::from_secs(30);
/// How often to check whether the program has ended, if there is no descriptor for it.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// The variables of `hermes up` that the program gets. Any other may be a secret.
const PASSED: [&str; 8] =
    ["PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "XDG_RUNTIME_DIR"];

/// The events to notify of, and the program while it runs.
pub(super) struct Notices {
    root: RootHome,
    /// Of events before it, nobody is notified; `None` after the first look at the journal, from which on the clock does
    /// not matter.
    since: Option<Timestamp>,
    variable: fn(&str) -> Option<OsString>,
    follow: Follow,
    /// The configuration; `None` if nobody is to be notified.
    notify: Option<Notify>,
    /// The last error, so that it is printed once.
    problem: Option<String>,
    waiting: VecDeque<Event>,
    /// How many events were dropped since the program was last started.
    missed: usize,
    running: Option<Running>,
}

/// The program, while it runs.
struct Running {
    event: Event,
    child: Child,
    process: Process,
    output: Output,
    /// When it is killed.
    deadline: Instant,
    timeout: Duration,
}

/// What the program reads from its standard input.
#[derive(Serialize)]
struct Notice<'a> {
    #[serde(flatten)]
    event: &'a Event,
    /// How many events before this one were dropped.
    missed: usize,
}

impl Notices {
    /// Nothing happens before [`run`](Self::run), which then knows of all events from now on.
    pub(super) fn new(app: &App) -> Self {
        let root = app.root();
        Self {
            root: root.clone(),
            since: Some(Timestamp::now()),
            variable: app.hermes.environment().variable,
            follow: Follow::new(Journal::new(root), Vec::new()),
            notify: None,
            problem: None,
            waiting: VecDeque::new(),
            missed: 0,
            running: None,
        }
    }

    /// Notifies until `end` is readable or at its end. Then it kills the program if that runs.
    pub(super) fn run(&mut self, end: BorrowedFd<'_>) {
        // A mistake is reported now, not at the first event.
        self.configure();
        loop {
            let mut events = Vec::new();
            let read = self.read(&mut events);
            if let Some(since) = self.since.take() {
                events.retain(|event| event.time >= since);
            }
            self.queue(events);
            self.begin();
            let retry = read.err().map(|error| {
                self.report(format!("failed to read the journal of events: {error}"));
                RETRY
            });
            let pause = retry.into_iter().chain(self.follow.max_wait()).min();
            if self.wait(pause, end) {
                break;
            }
            self.finish();
        }
        let undone = self.waiting.len() + self.running.iter().count();
        if undone > 0 {
            log::warn!("the tree ends before {undone} notices of events were made");
        }
        if let Some(mut running) = self.running.take() {
            // A failure leaves nothing to do.
            let _ = running.kill();
        }
    }

    fn read(&mut self, events: &mut Vec<Event>) -> io::Result<()> {
        while let Some(event) = self.follow.take()? {
            events.push(event);
        }
        Ok(())
    }

    /// Reads the configuration.
    fn configure(&mut self) {
        let path = self.root.profile(&ProfileName::default_profile()).config();
        self.notify = config::load_notify(&path).unwrap_or_else(|error| {
            self.report(in_one_line(&error));
            None
        });
        if self.notify.is_some() {
            self.problem = None;
        }
    }

    fn report(&mut self, problem: String) {
        if self.problem.as_ref() != Some(&problem) {
            log::warn!("nobody is notified of events: {problem}");
            self.problem = Some(problem);
        }
    }

    /// Queues the events that the configuration selects.
    fn queue(&mut self, events: Vec<Event>) {
        if events.is_empty() {
            return;
        }
        self.configure();
        let Some(notify) = &self.notify else {
            self.waiting.clear();
            return;
        };
        self.waiting
            .extend(events.into_iter().filter(|event| notify.events.contains(&event.event)));
        let too_many = self.waiting.len().saturating_sub(MAX_WAITING);
        self.waiting.drain(..too_many);
        self.missed += too_many;
    }

    /// Runs the program for the next event, unless it still runs for one.
    fn begin(&mut self) {
        while self.running.is_none()
            && let Some(notify) = &self.notify
            && let Some(event) = self.waiting.pop_front()
        {
            let missed = std::mem::take(&mut self.missed);
            if missed > 0 {
                log::warn!(
                    "{missed} events were dropped: `notify.command` is slower than they come"
                );
            }
            let (timeout, command) = (notify.timeout, self.command(notify, &event));
            match Running::start(command, event.clone(), missed, timeout) {
                Ok(running) => self.running = Some(running),
                Err(error) => failed(&event, &error),
            }
        }
    }

    fn command(&self, notify: &Notify, event: &Event) -> Command {
        let mut command = Command::new(&notify.command[0]);
        let passed = PASSED.into_iter().filter_map(|name| Some((name, (self.variable)(name)?)));
        command
            .args(&notify.command[1..])
            .env_clear()
            .envs(passed)
            .env(names::HOME, self.root.path())
            .env(names::EVENT, event.event.word())
            .env(names::EVENT_PROFILE, event.profile.as_str())
            .env(names::EVENT_WHY, escaped(&event.why))
            .current_dir(self.root.path())
            .stdin(Stdio::piped());
        command
    }

    /// Blocks until there is something to do, at most for `pause`. Whether the tree ends.
    fn wait(&self, pause: Option<Duration>, end: BorrowedFd<'_>) -> bool {
        let now = Instant::now();
        let mut until = pause.map(|pause| now + pause);
        let mut fds = vec![end];
        fds.extend(self.follow.fd());
        if let Some(running) = &self.running {
            let fd = running.process.fd();
            let next = fd.map_or(now + POLL_INTERVAL, |_| running.deadline).min(running.deadline);
            until = until.into_iter().chain([next]).min();
            fds.extend(fd);
            fds.extend(running.output.fd());
        }
        // Without the wait this loop would spin.
        wait::readable(&fds, until).map_or(true, |ready| ready[0])
    }

    /// Prints what the program has printed, and ends it if it has ended or its time is over.
    fn finish(&mut self) {
        if let Some(running) = &mut self.running {
            running.output.print();
        }
        let is_over = |running: &mut Running| {
            running.process.has_ended() || Instant::now() >= running.deadline
        };
        let Some(mut running) = self.running.take_if(is_over) else { return };
        let (ended, killed) = (running.process.has_ended(), running.kill());
        running.output.end();
        match killed {
            Ok(_) if !ended => {
                let seconds = running.timeout.as_secs();
                failed(&running.event, &format_args!("killed after {seconds} s"));
            }
            Ok(status) if status.success() => {}
            Ok(status) => failed(&running.event, &status),
            Err(error) => failed(&running.event, &error),
        }
    }
}

impl Running {
    fn start(
        mut command: Command,
        event: Event,
        missed: usize,
        timeout: Duration,
    ) -> io::Result<Self> {
        let deadline = Instant::now() + timeout;
        let output = Output::of(&mut command)?;
        let child = reaper::spawn(command.process_group(0));
        // It has the other end of the output.
        drop(command);
        let mut child = child?;
        let opened = write_notice(&mut child, &Notice { event: &event, missed })
            .and_then(|()| Process::open(child.id()))
            .and_then(|process| process.ok_or_else(|| ErrorKind::NotFound.into()));
        match opened {
            Ok(process) => Ok(Self { event, child, process, output, deadline, timeout }),
            Err(error) => {
                let _ = kill(&mut child);
                Err(error)
            }
        }
    }

    fn kill(&mut self) -> io::Result<ExitStatus> {
        kill(&mut self.child)
    }
}

/// Kills a child's process group, also what an ended child left in it. Blocks until the child has ended.
fn kill(child: &mut Child) -> io::Result<ExitStatus> {
    // The group has no other member than those, for the child was not waited for.
    let _ = rustix::process::kill_process_group(Pid::from_child(child), Signal::KILL);
    reaper::wait(child)
}

/// Writes a notice to the child's standard input. A child that does not read it is no error.
fn write_notice(child: &mut Child, notice: &Notice<'_>) -> io::Result<()> {
    let Some(mut stdin) = child.stdin.take() else { return Ok(()) };
    let line = serde_json::to_string(notice)? + "\n";
    // A pipe has room for a notice; if the kernel grants less, the program is not waited for.
    rustix::io::ioctl_fionbio(&stdin, true)?;
    match stdin.write_all(line.as_bytes()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

fn failed(event: &Event, why: &dyn std::fmt::Display) {
    let Event { event, profile, .. } = event;
    log::warn!("failed to notify of the event `{event}` of `{profile}`: {why}");
}
