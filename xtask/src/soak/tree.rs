//! The tree of a run: a temporary home, its `hermes up`, the commands that run on it, and looks at it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use tempfile::TempDir;

use super::gateways::answer;
use super::model::Name;
use super::seen::service;
use super::step::{End, Part};
use crate::processes::{self, Process};
use crate::wait;

/// How long a command, or the start or the end of a tree, may take.
pub(super) const TIMEOUT: Duration = Duration::from_secs(120);
/// The pause between two checks of a wait.
pub(super) const POLL: Duration = Duration::from_millis(1);
/// A home, and the tree on it.
pub(super) struct Tree {
    dir: TempDir,
    pub(super) path: PathBuf,
    hermes: PathBuf,
    up: Option<Child>,
    /// The journal of the run.
    steps: File,
    begun: Instant,
    /// The profiles that other programs renamed or removed, whose logs nobody removes.
    pub(super) abandoned_logs: BTreeSet<Name>,
}

impl Tree {
    pub(super) fn new(hermes: &Path) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("hermes-soak-").tempdir()?;
        let path = dir.path().canonicalize()?;
        let copy = path.join("hermes");
        // The user who runs it may not be able to read the build directory.
        fs::copy(hermes, &copy).context("failed to copy hermes")?;
        fs::create_dir_all(path.join("home/profiles"))?;
        let steps = File::create(path.join("steps.log"))?;
        let begun = Instant::now();
        let abandoned_logs = BTreeSet::new();
        Ok(Self { dir, path, hermes: copy, up: None, steps, begun, abandoned_logs })
    }

    pub(super) fn home(&self, name: Name) -> PathBuf {
        self.profiles().join(name.to_string())
    }

    pub(super) fn profiles(&self) -> PathBuf {
        self.path.join("home/profiles")
    }

    pub(super) fn scandir(&self) -> PathBuf {
        self.path.join("service")
    }

    pub(super) fn has_slot(&self, name: Name) -> bool {
        self.scandir().join(service(&name.to_string())).exists()
    }

    /// Adds a line to the journal of the run.
    pub(super) fn note(&mut self, line: &str) -> Result<()> {
        let seconds = self.begun.elapsed().as_secs_f64();
        Ok(writeln!(self.steps, "{seconds:9.3} {line}")?)
    }

    /// `hermes` with this home, and nothing else from the task's environment.
    pub(super) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.hermes);
        command
            .args(args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", &self.path)
            .env("HERMES_HOME", self.path.join("home"))
            .env("HERMES_SCANDIR", self.scandir())
            .current_dir("/")
            .stdin(Stdio::null())
            // Only the task gets Ctrl-C; it then ends the tree.
            .process_group(0);
        command
    }

    /// Starts `hermes up`, and blocks until the tree is up. One that ends because its predecessor still does is
    /// started again, as a supervisor of it would.
    pub(super) fn up(&mut self) -> Result<()> {
        let before = self.count("the tree is up on ")?;
        let log = File::options().create(true).append(true).open(self.path.join("up.log"))?;
        wait::until(TIMEOUT, POLL, "the tree is up", || {
            if self.up.as_mut().map_or(Ok(None), Child::try_wait)?.is_some() {
                self.up = None;
            }
            if self.up.is_none() {
                let mut command = self.command(&["up"]);
                command.stdout(log.try_clone()?).stderr(log.try_clone()?);
                self.up = Some(command.spawn().context("failed to run `hermes up`")?);
            }
            Ok(self.count("the tree is up on ")? > before)
        })
    }

    /// How many lines of `hermes up` begin with `text`.
    pub(super) fn count(&self, text: &str) -> Result<usize> {
        let log = fs::read(self.path.join("up.log")).unwrap_or_default();
        Ok(log
            .split(|byte| *byte == b'\n')
            .filter(|line| line.starts_with(text.as_bytes()))
            .count())
    }

    pub(super) fn up_pid(&self) -> Result<u32> {
        Ok(self.up.as_ref().context("no `hermes up` was started")?.id())
    }

    /// Ends the tree, and blocks until `hermes up` has ended.
    pub(super) fn end(&mut self, end: End) -> Result<()> {
        let up = self.up_pid()?;
        let svscan = self.svscan();
        match end {
            End::Down => {
                let outcome = self.run(&["down"])?.finish(None)?;
                ensure!(outcome.status.success(), "{}: {}", outcome.line, outcome.output);
            }
            End::Term => processes::signal(up, Signal::TERM)?,
            End::UpKilled => processes::signal(up, Signal::KILL)?,
            End::SvscanKilled => {
                svscan.map_or(Ok(()), |pid| processes::signal(pid, Signal::KILL))?
            }
            End::BothKilled => {
                for pid in [Some(up), svscan].into_iter().flatten() {
                    processes::signal(pid, Signal::KILL)?;
                }
            }
        }
        let mut child = self.up.take().context("no `hermes up` was started")?;
        let mut status = None;
        let ended = wait::until(TIMEOUT, POLL, "`hermes up` has ended", || {
            status = child.try_wait()?;
            Ok(status.is_some())
        });
        if ended.is_err() {
            self.up = Some(child);
            return ended;
        }
        let code = status.and_then(|status| status.code());
        let in_order = !matches!(end, End::Down | End::Term) || code == Some(0);
        ensure!(in_order, "`hermes up` ended with {status:?} after {end:?}");
        Ok(())
    }

    pub(super) fn svscan(&self) -> Option<u32> {
        let all = self.processes().ok()?;
        all.iter().find(|process| process.runs("s6-svscan")).map(|process| process.pid)
    }

    pub(super) fn processes(&self) -> Result<Vec<Process>> {
        processes::mentioning(&self.path)
    }

    /// Kills processes of a service; whether there were any.
    pub(super) fn kill(&self, name: Name, part: Part) -> Result<bool> {
        let pids = self.parts(name, part)?;
        for pid in &pids {
            processes::signal(*pid, Signal::KILL)?;
        }
        Ok(!pids.is_empty())
    }

    /// Stops the process of a gateway that answers; whether there was one. Nobody asks one that was never ready, or a
    /// `finish`, for its liveness.
    pub(super) fn hang(&self, name: Name) -> Result<bool> {
        let mut pids = self.parts(name, Part::Gateway)?;
        pids.retain(|pid| answer(*pid) == Some(*pid));
        for pid in &pids {
            processes::signal(*pid, Signal::STOP)?;
        }
        Ok(!pids.is_empty())
    }

    fn parts(&self, name: Name, part: Part) -> Result<Vec<u32>> {
        let all = self.processes()?;
        let service = service(&name.to_string());
        let logger = format!("{service}/log");
        let supervisor = |of: &str| {
            let is_it = |it: &&Process| {
                it.runs("s6-supervise") && it.args.get(1).is_some_and(|arg| arg == of)
            };
            all.iter().filter(is_it).map(|it| it.pid).collect::<Vec<_>>()
        };
        let below = |of: &str| {
            let supervisors = supervisor(of);
            let pids = all.iter().filter(|it| supervisors.contains(&it.parent)).map(|it| it.pid);
            pids.collect::<Vec<_>>()
        };
        Ok(match part {
            Part::Gateway => below(&service),
            Part::Supervisor => supervisor(&service),
            Part::Logger => below(&logger),
            Part::LoggersSupervisor => supervisor(&logger),
            // The supervisors first: they would start the logger again.
            Part::AllButGateway => {
                [supervisor(&service), supervisor(&logger), below(&logger)].concat()
            }
        })
    }

    /// Ends the tree in order; fails if a process, a service, a lock or a mark is left.
    pub(super) fn end_without_traces(&mut self) -> Result<()> {
        let outcome = self.run(&["boot"])?.finish(None)?;
        self.note(&format!("{}: {}", outcome.line, outcome.status))?;
        let locks = self.locks()?;
        ensure!(locks.is_empty(), "locks after a boot: {locks:?}");
        self.end(End::Down)?;
        let mut left = Vec::new();
        let ended = wait::until(TIMEOUT, POLL, "no process is left", || {
            left = self.processes()?;
            Ok(left.is_empty())
        });
        ended.with_context(|| format!("left: {left:?}"))?;
        let mut names = names(&self.scandir())?;
        names.retain(|name| ![".s6-svscan", ".hermes.booted"].contains(&name.as_str()));
        ensure!(names.is_empty(), "left in the scan directory: {names:?}");
        Ok(())
    }

    /// Kills whatever still runs.
    pub(super) fn kill_all(&mut self) -> Result<()> {
        let killed = wait::until(TIMEOUT, POLL, "every process was killed", || {
            // A supervisor may start another process before it dies, so this repeats until there is none.
            let left = self.processes()?;
            for process in &left {
                processes::signal(process.pid, Signal::KILL)?;
            }
            Ok(left.is_empty())
        });
        if let Some(mut child) = self.up.take() {
            child.wait().context("failed to wait for `hermes up`")?;
        }
        killed
    }

    /// Adds to the directory what doctor finds, the events and the processes.
    pub(super) fn collect_evidence(&mut self, violation: &str) -> Result<()> {
        fs::write(self.path.join("violation.txt"), violation)?;
        let list: String = self
            .processes()?
            .iter()
            .map(|it| format!("{it:?}, child of {}\n", it.parent))
            .collect();
        fs::write(self.path.join("processes.txt"), list)?;
        let reports: [(&str, &[&str]); 3] = [
            ("doctor.txt", &["doctor"]),
            ("status.txt", &["gateway", "status", "--all", "--json"]),
            ("events.txt", &["events"]),
        ];
        for (file, args) in reports {
            let text = match self.run(args).and_then(|running| running.finish(None)) {
                Ok(outcome) => outcome.output,
                Err(error) => format!("{error:#}"),
            };
            fs::write(self.path.join(file), text)?;
        }
        Ok(())
    }

    /// Keeps the directory, and returns its path.
    pub(super) fn keep(self) -> PathBuf {
        self.dir.keep()
    }

    /// Removes the directory.
    pub(super) fn remove(self) -> Result<()> {
        self.dir.close().context("failed to remove the temporary directory")
    }
}

/// The names in a directory; none if it does not exist.
pub(super) fn names(directory: &Path) -> Result<Vec<String>> {
    match fs::read_dir(directory) {
        Ok(entries) => {
            entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error).with_context(|| format!("failed to list {}", directory.display())),
    }
}
