//! A backend in one file: `solo`, under which each gateway has a supervisor process of its own.
//!
//! [`Solo`] implements the primitives of [`Driver`], and `main` passes it to [`hermes_cli::Cli`]: the result is a
//! `hermes` with all its commands. Locks, intents, ports, renames, boot, logs and the dashboard are the workspace's.
//!
//! ```sh
//! cargo build -p hermes-cli --example custom_backend
//! HERMES_BACKEND=solo HERMES_HOME=/tmp/home target/debug/examples/custom_backend profile create coder --start
//! ```
//!
//! `up` starts this program as `supervise PROFILE`, which starts the gateway, and again after each death. `down` sends it
//! SIGTERM and waits until its lock is free. A report counts only while its supervisor holds that lock. The conformance
//! suite runs on it (`tests/tests/custom_backend`). Left out: log rotation, a clean environment, processes that leave the group.

use std::env;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use fs_err as fs;
use hermes::Hermes;
use hermes_core::clock::Moment;
use hermes_core::detect::Facts;
use hermes_core::driver::{Backend, Cause, CreateOptions, Driver, Environment, Lifetime, startup};
use hermes_core::error_chain::in_one_line;
use hermes_core::home::env as names;
use hermes_core::process::Process;
use hermes_core::reconcile::{ServiceFact, Survey, Wanted};
use hermes_core::restart::{self, AN_HOUR, EXIT_RESTART, WINDOW};
use hermes_core::status::{Backoff, Exit, Parked};
use hermes_core::wait::{self, Poll};
use hermes_core::{DriverError, Gateway, Intent, Kind, ProfileName, State, Status};
use hermes_core::{Proc, end_signals, fsutil, process_lock, shell, store::Profile};
use jiff::Timestamp;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use serde::{Deserialize, Serialize};

/// The name of this backend, for `HERMES_BACKEND` and in every status.
const KIND: Kind = Kind::new("solo");
/// The one command of this program that `hermes` does not have.
const SUPERVISE: &str = "supervise";
/// In a service's directory: the script that becomes the gateway.
const SCRIPT: &str = "run";
/// The supervisor's report. It exists as long as the gateway should be up.
const REPORT: &str = "report.json";
/// The supervisor's lock, which the kernel releases when the supervisor ends.
const LOCK: &str = "lock";

const A_SECOND: Duration = Duration::from_secs(1);
/// The delay before a restart is a second after a first death, doubles with each that follows, and ends here.
const LONGEST_DELAY: Duration = Duration::from_secs(30);

fn main() -> Result<ExitCode, Cause> {
    let arguments: Vec<_> = env::args_os().collect();
    match arguments.as_slice() {
        [_, command, name] if command == SUPERVISE => supervise(&name.to_string_lossy()),
        _ => Ok(hermes_cli::Cli::new().backend(Backend::of::<Solo>(KIND)).run()),
    }
}

/// The driver. Every command is a process of its own, so that all state is in files.
#[derive(Debug)]
struct Solo(Environment);

impl Driver for Solo {
    /// Only on request: nothing on a machine shows that this backend runs its gateways.
    fn detect(facts: &Facts) -> bool {
        facts.requested.as_deref() == Some(KIND.name())
    }

    fn connect(environment: &Environment) -> Result<Self, DriverError> {
        Ok(Self(environment.clone()))
    }

    fn kind(&self) -> Kind {
        KIND
    }

    /// No supervisor comes back by itself with the machine: `hermes boot` starts them.
    fn lifetime(&self) -> Lifetime {
        Lifetime::Registered
    }

    fn exists(&self, profile: &ProfileName) -> Result<bool, DriverError> {
        Ok(self.service(profile).is_dir())
    }

    fn list(&self) -> Result<Vec<ProfileName>, DriverError> {
        let entries = match fs::read_dir(self.services()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let name = |entry: io::Result<fs::DirEntry>| entry.ok()?.file_name().to_str()?.parse().ok();
        let mut profiles: Vec<_> = entries.filter_map(name).collect();
        profiles.sort();
        Ok(profiles)
    }

    fn create(&self, gateway: &Gateway, options: &CreateOptions) -> Result<(), DriverError> {
        let service = self.service(gateway.name());
        // A directory without the script was left by a crash, and is completed.
        if service.join(SCRIPT).exists() {
            return Ok(());
        }
        let exports = shell::exports(&options.extra_env).map_err(DriverError::new)?;
        let script = format!("{exports}{}", self.start_line(gateway.name()));
        let create = || {
            fs::create_dir_all(&service)?;
            // The variables may hold secrets.
            fsutil::write_durably(&service.join(SCRIPT), script.as_bytes(), 0o600)?;
            if options.up { self.start_supervisor(gateway) } else { Ok(()) }
        };
        create().inspect_err(|_| drop(self.remove(gateway)))
    }

    fn remove(&self, gateway: &Gateway) -> Result<(), DriverError> {
        self.down(gateway)?;
        fsutil::remove_tree_if_there(&self.service(gateway.name()))?;
        Ok(())
    }

    fn up(&self, gateway: &Gateway) -> Result<(), DriverError> {
        let status = self.observe(gateway)?;
        let deaths = match (status.state, status.pid) {
            (State::Up | State::Starting, _) => status.deaths,
            // One that waits after a death, or is parked, gets a new supervisor, which counts anew.
            _ => {
                self.start_supervisor(gateway)?;
                0
            }
        };
        let observe = || self.observe(gateway);
        startup::await_up(gateway, "its supervisor", deaths, self.0.timeouts.start, observe)
    }

    fn down(&self, gateway: &Gateway) -> Result<(), DriverError> {
        let (begun, stop) = (Instant::now(), gateway.stop_timeout());
        let timeout = stop.budget() + self.0.timeouts.stop_beyond_budget;
        let service = self.service(gateway.name());
        // The report goes first: a supervisor that has only just begun finds none, and ends.
        fsutil::remove_file_if_there(&service.join(REPORT))?;
        // A supervisor ends its own gateway, and is killed only if it does not.
        startup::end_holders(&service.join(LOCK), begun, begun + stop.budget(), timeout)?;
        fsutil::remove_file_if_there(&service.join(REPORT))?;
        let orphan = gateway.home().gateway_lock();
        startup::end_holders(&orphan, begun, begun + stop.kill_after(), timeout)
    }

    fn observe(&self, gateway: &Gateway) -> Result<Status, DriverError> {
        let service = self.service(gateway.name());
        let (registered, unsupervised) = (service.is_dir(), Status::unsupervised(gateway.name()));
        let supervisor = Process::holding(&service.join(LOCK))?;
        let process = Process::holding(&gateway.home().gateway_lock())?;
        let mut status = match (&supervisor, Report::read(&service)?) {
            (Some(_), Some(report)) => {
                Status { deaths: report.deaths_within(AN_HOUR), ..report.status }
            }
            (Some(_), None) => Status { state: State::Stopping, ..unsupervised },
            (None, _) if registered => Status { state: State::Down, ..unsupervised },
            (None, _) => unsupervised,
        };
        // The supervisor's child may hold the gateway's lock before the report names it, and a process that
        // has ended meanwhile is not a child any more.
        let is_child = |pid| supervisor.is_some_and(|s| Proc::default().is_child(pid, s.pid));
        if let Some(gateway) = process.filter(|p| !is_child(p.pid) && !p.has_ended()) {
            (status.state, status.pid, status.ready) = (State::Orphan, Some(gateway.pid), None);
        }
        Ok(Status { registered, intent: Intent::read(gateway.home()).ok(), ..status })
    }

    fn survey(&self) -> Result<Survey, DriverError> {
        let mut survey = Survey::default();
        for profile in self.list()? {
            match self.survey_one(&profile) {
                Ok(fact) => survey.services.push(fact),
                Err(error) => survey.unreadable.push((profile, in_one_line(&error))),
            }
        }
        Ok(survey)
    }
}

impl Solo {
    /// The directory of the services. Nothing else reads it, and archives of profiles leave it out.
    fn services(&self) -> PathBuf {
        self.0.root.path().join(KIND.name())
    }

    fn service(&self, profile: &ProfileName) -> PathBuf {
        self.services().join(profile.as_str())
    }

    /// The script's last line. `exec`, so that the process that the supervisor watches is the gateway.
    fn start_line(&self, profile: &ProfileName) -> String {
        let program = shell::quote_path(&self.0.program);
        format!("exec {program} -p {profile} gateway start --foreground\n")
    }

    fn survey_one(&self, profile: &ProfileName) -> io::Result<ServiceFact> {
        let service = self.service(profile);
        let script = fsutil::read_to_string(&service.join(SCRIPT))?;
        let report = Report::read(&service)?;
        let wanted = if report.is_some() { Wanted::Up } else { Wanted::Down };
        let has_supervisor = process_lock::holder(&service.join(LOCK))?.is_some();
        let state = report.filter(|_| has_supervisor).map(|report| report.status.state);
        Ok(ServiceFact {
            wanted,
            // A gateway that is down needs none, and nobody replaces one that was killed.
            supervised: has_supervisor || wanted == Wanted::Down,
            running: state.is_some_and(State::is_running),
            parked: state == Some(State::Parked),
            current: script.ends_with(&self.start_line(profile)),
            ..ServiceFact::idle(profile.clone())
        })
    }

    /// Starts a supervisor in the place of the one there may be, and blocks until it holds its lock.
    fn start_supervisor(&self, gateway: &Gateway) -> Result<(), DriverError> {
        self.down(gateway)?;
        let (name, timeout) = (gateway.name(), self.0.timeouts.supervise);
        let service = self.service(name);
        // `hermes gateway logs` reads this file, since this driver leaves `logs` as it is.
        let logs = self.0.root.gateway_logs(name);
        fs::create_dir_all(&logs)?;
        let log = fs::OpenOptions::new().create(true).append(true).open(logs.join("current"))?;
        let status = Status { state: State::Starting, ..Status::unsupervised(name) };
        Report { status, deaths: Vec::new() }.write(&service)?;
        let mut command = Command::new(&self.0.program);
        command.args([SUPERVISE, name.as_str()]).env(names::HOME, self.0.root.path());
        command.current_dir(self.0.root.path()).stdin(Stdio::null());
        let mut supervisor =
            command.stdout(log.file().try_clone()?).stderr(log.into_file()).spawn()?;
        let begun = wait::until(Instant::now() + timeout, || {
            let holder = process_lock::other_holder(&service.join(LOCK), None)?;
            match supervisor.try_wait()? {
                _ if holder == Some(supervisor.id()) => Ok(Poll::Done(())),
                None => Ok(Poll::Wait),
                Some(exit) => Err(DriverError::new(format!("its supervisor ended with {exit}"))
                    .with_hint(format!("`hermes gateway logs {name}` shows why"))),
            }
        })?;
        // A parent that lives on, as a dashboard does, has to wait for its child.
        let _ = thread::Builder::new().spawn(move || supervisor.wait());
        begun.ok_or_else(|| DriverError::timed_out(timeout, "its supervisor has not begun"))
    }
}

/// A supervisor's report about its gateway.
#[derive(Serialize, Deserialize)]
struct Report {
    status: Status,
    /// The moments of its deaths, oldest first.
    deaths: Vec<String>,
}

impl Report {
    fn read(service: &Path) -> io::Result<Option<Self>> {
        let bytes = fsutil::read_if_there(&service.join(REPORT))?;
        Ok(bytes.map(|bytes| serde_json::from_slice(&bytes)).transpose()?)
    }

    fn write(&self, service: &Path) -> io::Result<()> {
        fsutil::write_durably(&service.join(REPORT), &serde_json::to_vec(self)?, 0o644)
    }

    fn deaths_within(&self, window: Duration) -> u32 {
        self.deaths.iter().map(|death| u32::from(is_recent(death, window))).sum()
    }
}

/// Whether `moment` is at most `window` ago. The wall clock may be set, and measures nothing.
fn is_recent(moment: &str, window: Duration) -> bool {
    moment.parse().is_ok_and(|moment| Moment::now().since(&moment).is_some_and(|age| age <= window))
}

/// The process `supervise PROFILE`.
struct Supervisor {
    profile: Profile,
    service: PathBuf,
    report: Report,
    /// Readable once a signal has asked this process to end.
    end: OwnedFd,
    /// Divides the delays between restarts, for tests.
    faster: u32,
}

/// Keeps the gateway of the profile `name` running, until a signal asks for the end of both.
fn supervise(name: &str) -> Result<ExitCode, Cause> {
    let solo = Solo::connect(Hermes::detect()?.environment())?;
    let name = name.parse()?;
    let service = solo.service(&name);
    // A session of its own, out of reach of the terminal's signals.
    rustix::process::setsid()?;
    let end = end_signals::register(&end_signals::SERVER)?;
    // From here on another process may see the lock and send a signal.
    if process_lock::hold(&service.join(LOCK), "", Duration::ZERO)?.is_err() {
        return Err("another supervisor runs".into());
    }
    let Some(report) = Report::read(&service)? else { return Ok(ExitCode::SUCCESS) };
    let profile = Profile { home: solo.0.root.profile(&name), name };
    let faster = hermes::text(names::TEST_FASTER).and_then(|text| text.parse().ok()).unwrap_or(1);
    let mut supervisor = Supervisor { profile, service, report, end, faster };
    while let Some((exit, ran)) = supervisor.run_gateway()? {
        let again = supervisor.after_death(exit, ran);
        if wait::readable(&[supervisor.end.as_fd()], again)?[0] {
            break;
        }
    }
    Ok(ExitCode::SUCCESS)
}

impl Supervisor {
    /// Starts the gateway and blocks until it has ended: how and after what time, or `None` if a signal has asked for it.
    fn run_gateway(&mut self) -> io::Result<Option<(Exit, Duration)>> {
        let (begun, (reader, writer)) = (Instant::now(), io::pipe()?);
        let mut shell = Command::new("/bin/sh");
        shell.arg(self.service.join(SCRIPT)).stdin(writer).process_group(0);
        let mut child = shell.spawn()?;
        // Its copy of the pipe's end would keep the pipe open.
        drop(shell);
        let (group, pid) = (Pid::from_child(&child), child.id());
        let process = Process::open(pid)?.expect("a child exists until it is waited for");
        let gateway = process.fd().ok_or(io::ErrorKind::Unsupported)?;
        let notifies = Gateway::new(self.profile.clone()).notifies_readiness();
        self.change(|status| {
            (status.state, status.ready) = (State::Starting, notifies.then_some(false));
            (status.pid, status.since, status.backoff) = (Some(pid), Some(Timestamp::now()), None);
        });
        let mut reader = Some(reader);
        let asked = loop {
            let fds = [gateway, self.end.as_fd()].into_iter();
            let fds: Vec<_> = fds.chain(reader.as_ref().map(AsFd::as_fd)).collect();
            let readable = wait::readable(&fds, None)?;
            if readable[0] || readable[1] {
                break readable[1];
            }
            // A newline is readiness. A program that never reports it begins with the pipe closed.
            let newline = reader.take().is_some_and(|mut pipe| pipe.read_exact(&mut [0]).is_ok());
            if newline || !notifies {
                self.change(|status| {
                    (status.state, status.ready) = (State::Up, notifies.then_some(true));
                });
            }
        };
        if asked {
            let _ = kill_process_group(group, Signal::TERM);
            // Read now: the configuration may have changed since the start.
            let stop = Gateway::new(self.profile.clone()).stop_timeout();
            wait::readable(&[gateway], Some(Instant::now() + stop.kill_after()))?;
        }
        // Processes that remain in its group are killed. Until `wait`, the number can't mean another group.
        let _ = kill_process_group(group, Signal::KILL);
        let exit = child.wait()?;
        wait::until(Instant::now() + A_SECOND, || {
            let gone = test_kill_process_group(group) == Err(Errno::SRCH);
            Ok::<_, io::Error>(if gone { Poll::Done(()) } else { Poll::Wait })
        })?;
        let exit = exit.code().map(Exit::Code).or(exit.signal().map(Exit::Signal));
        Ok(exit.filter(|_| !asked).zip(Some(begun.elapsed())))
    }

    /// When a gateway that ran for `ran` starts again; `None` if it is parked. A requested restart is no death.
    fn after_death(&mut self, exit: Exit, ran: Duration) -> Option<Instant> {
        let (now, asks) = (Timestamp::now(), exit == Exit::Code(EXIT_RESTART));
        if !asks {
            self.report.deaths.retain(|death| is_recent(death, AN_HOUR));
            self.report.deaths.push(Moment::now().to_string());
        }
        let count = self.report.deaths_within(WINDOW);
        let fault = restart::fault(&self.profile.home.fault());
        let reason = restart::reason_to_park(exit, count as usize, fault);
        let delay = match asks {
            true => (A_SECOND / self.faster).saturating_sub(ran),
            false => (A_SECOND * 2_u32.pow(count - 1)).min(LONGEST_DELAY) / self.faster,
        };
        let again = reason.is_none().then(|| Instant::now() + delay);
        self.change(|status| {
            status.state = if reason.is_some() { State::Parked } else { State::Backoff };
            (status.pid, status.ready) = (None, None);
            (status.since, status.last_exit) = (Some(now), Some(exit));
            status.backoff = again.map(|_| Backoff { count, until: now + delay });
            status.parked = reason.map(|reason| Parked { reason, since: Some(now) });
        });
        again
    }

    /// Changes the report. One that can't be written, as on a full disk, ends no gateway.
    fn change(&mut self, change: impl FnOnce(&mut Status)) {
        change(&mut self.report.status);
        let _ = self.report.write(&self.service);
    }
}
