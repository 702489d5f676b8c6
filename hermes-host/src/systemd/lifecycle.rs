//! Bringing one gateway up and down, and saying so only when it was seen.
//!
//! Source: systemctl(1). A start is over when the gateway has said that it is ready (`Type=notify`); one
//! that never says so is watched for a second. What happened is read from the unit's properties, whatever
//! systemctl exited with: its exit code and its words only help to tell why.

use std::io;
use std::time::{Duration, Instant};

use hermes_core::config::StopTimeout;
use hermes_core::failure::{failed, refused, timed_out};
use hermes_core::gateway::config_of;
use hermes_core::manager::ManagerError;
use hermes_core::process::Process;
use hermes_core::process_lock::other_holder;
use hermes_core::restart;
use hermes_core::status::{State, Status};
use hermes_core::store::Profile;
use hermes_core::wait::{self, Poll};
use hermes_core::{Intent, ProfileName, detect};
use rustix::process::Signal;

use super::show::{self, PROPERTIES, Seen};
use super::{Scope, Systemd};
use crate::command::Said;

/// How long a gateway that never says it is ready has to stay up to count as started.
const SETTLED: Duration = Duration::from_secs(1);
/// How long a question to the manager may take.
const ANSWER: Duration = Duration::from_secs(60);

impl Systemd {
    /// Runs systemctl for the manager, which must answer.
    fn systemctl(
        &self,
        operation: &str,
        args: &[&str],
        timeout: Duration,
    ) -> Result<Said, ManagerError> {
        self.require_manager(operation)?;
        let args = [&[self.scope.option(), "--no-pager", "--no-ask-password"], args].concat();
        self.systemctl.run(operation, &args, timeout)
    }

    /// What it says, of what has to succeed.
    fn ask(&self, operation: &str, args: &[&str]) -> Result<String, ManagerError> {
        self.require_manager(operation)?;
        let args = [&[self.scope.option(), "--no-pager", "--no-ask-password"], args].concat();
        self.systemctl.data(operation, &args, ANSWER)
    }

    /// Only root may see whether the system's manager answers; its bus tells all others.
    fn require_manager(&self, operation: &str) -> Result<(), ManagerError> {
        if self.scope == Scope::System || detect::answers(&self.places.socket) {
            return Ok(());
        }
        let account = &self.setup.account;
        Err(ManagerError::Unreachable {
            operation: operation.to_owned(),
            source: format!(
                "no systemd manager of `{}` answers at `{}`",
                account.name,
                self.places.socket.display()
            )
            .into(),
            hint: Some(format!("as root: {}", self.begin_manager())),
        })
    }

    /// What starts the account's manager, and leaves it there.
    pub(super) fn begin_manager(&self) -> String {
        let Some(name) = self.places.linger.file_name() else { return String::new() };
        match self.places.linger.exists() {
            true => format!("systemctl start user@{}", self.setup.account.uid),
            false => format!("loginctl enable-linger {}", name.display()),
        }
    }

    /// What systemd says of `units`, patterns or names.
    pub(super) fn show(&self, operation: &str, units: &[&str]) -> Result<Vec<Seen>, ManagerError> {
        let args = [&["show", "--timestamp=unix", PROPERTIES, "--"], units].concat();
        Ok(show::read(&self.ask(operation, &args)?))
    }

    /// What systemd says of a profile's unit.
    pub(super) fn seen(&self, operation: &str, name: &ProfileName) -> Result<Seen, ManagerError> {
        let seen = self.show(operation, &[&self.names.unit(name)])?;
        Ok(seen.into_iter().next().unwrap_or_default())
    }

    /// The version of the manager: the number that its text begins with.
    pub(super) fn version(&self, operation: &str) -> Result<u32, ManagerError> {
        let text = self.ask(operation, &["show", "--property=Version"])?;
        let digits = text.trim_start_matches("Version=");
        let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        Ok(digits[..end].parse().unwrap_or_default())
    }

    /// Has the manager read its unit files anew.
    pub(super) fn reload(&self, operation: &str) -> Result<(), ManagerError> {
        self.ask(operation, &["daemon-reload"]).map(drop)
    }

    /// What is known of a profile's gateway, given what systemd says.
    pub(super) fn status_of(&self, profile: &Profile, seen: &Seen) -> io::Result<Status> {
        let intent = Intent::read(&profile.home).ok();
        let parked = seen.parked(intent, restart::fault(&profile.home.fault()));
        let registered = self.link(&profile.name).symlink_metadata().is_ok();
        let notifies = config_of(profile).notifies_readiness();
        let mut status = Status {
            profile: profile.name.clone(),
            registered,
            state: seen.state(parked.is_some()),
            pid: seen.pid,
            since: if seen.pid.is_some() { seen.started } else { seen.changed },
            intent,
            ready: None,
            deaths: seen.deaths(),
            last_exit: seen.exit,
            parked,
            backoff: seen.backoff(),
        };
        status.ready = status.pid.filter(|_| notifies).map(|_| seen.active == "active");
        if !registered && seen.is_down() {
            status.state = State::Unsupervised;
        }
        // A control process, like the question for the intent, is not the gateway yet.
        if let Some(pid) = other_holder(&profile.home.gateway_lock(), status.pid)? {
            (status.state, status.pid, status.ready) = (State::Orphan, Some(pid), None);
        }
        Ok(status)
    }

    /// Starts the installed gateway of `profile` and blocks until it is ready, or up for a second where
    /// it never says that it is. A death on the way is an error at once; systemd goes on trying.
    pub(super) fn bring_up(&self, operation: &str, profile: &Profile) -> Result<(), ManagerError> {
        let (name, unit) = (&profile.name, self.names.unit(&profile.name));
        let timeout = self.setup.timeouts.start;
        let deadline = Instant::now() + timeout;
        // What it died of before counts no more; one that is not loaded has nothing to forget.
        self.systemctl(operation, &["reset-failed", &unit], ANSWER)?;
        let said = self.systemctl(operation, &["start", &unit], timeout)?;
        let notifies = config_of(profile).notifies_readiness();
        let mut settling: Option<(Option<u32>, Instant)> = None;
        let mut saw = "";
        let done = wait::until(deadline.max(Instant::now() + SETTLED), || {
            let seen = self.seen(operation, name)?;
            // Its restarts were forgotten above: one that is counted followed a death since then.
            if seen.is_dead() || seen.restarts > 0 {
                return Err(self.death(operation, profile, &seen, &said));
            }
            if seen.active != "active" {
                saw = "it runs and has not said that it is ready";
                return Ok(match said.status {
                    None => Poll::Done(false),
                    Some(_) => Poll::Wait,
                });
            }
            if notifies {
                return Ok(Poll::Done(true));
            }
            saw = "it has not been up for a second";
            let since = match settling {
                Some((pid, since)) if pid == seen.pid => since,
                _ => settling.insert((seen.pid, Instant::now())).1,
            };
            Ok(match since.elapsed() >= SETTLED {
                true => Poll::Done(true),
                false => Poll::WaitUntil(since + SETTLED),
            })
        })?;
        if done == Some(true) {
            return Ok(());
        }
        let hint = format!("it goes on starting; `hermes gateway logs {name}` shows what it does");
        Err(timed_out(operation, timeout, saw.to_owned(), &hint))
    }

    /// Has systemd start the gateway, and does not wait for it.
    pub(super) fn bring_up_later(
        &self,
        operation: &str,
        name: &ProfileName,
    ) -> Result<(), ManagerError> {
        self.ask(operation, &["start", "--no-block", &self.names.unit(name)]).map(drop)
    }

    fn death(&self, operation: &str, profile: &Profile, seen: &Seen, said: &Said) -> ManagerError {
        let name = &profile.name;
        let fault = restart::fault(&profile.home.fault());
        let parked = seen.parked(Some(Intent::Running), fault.clone());
        let other = other_holder(&profile.home.gateway_lock(), seen.pid).ok().flatten();
        let why = match (parked, fault, seen.exit) {
            (Some(parked), ..) => format!("it is parked: {}", parked.reason),
            (None, Some(fault), _) => {
                format!("it can't start, and systemd goes on trying: {fault}")
            }
            (None, None, Some(exit)) => {
                format!("it died ({exit}) before it was ready; systemd goes on trying")
            }
            (None, None, None) if said.is_success() => {
                format!("systemd did not start it: its unit is {}", seen.active)
            }
            (None, None, None) => self.systemctl.complaint(said),
        };
        let hint = match other {
            Some(_) => format!("`hermes gateway restart {name}` ends the one that runs"),
            None => format!("`hermes gateway logs {name}` shows what it said"),
        };
        refused(operation, why, Some(hint))
    }

    /// Stops the gateway and blocks until its unit is down and no process of it is left, an orphan
    /// included. What is not gone after the stop budget is killed. Idempotent.
    pub(super) fn bring_down(
        &self,
        operation: &str,
        name: &ProfileName,
    ) -> Result<(), ManagerError> {
        let home = self.store.root().profile(name);
        let profile = Profile { name: name.clone(), home };
        let stop = config_of(&profile).stop_timeout;
        // Not the unit of another home, which goes by the same name.
        self.serves(operation, stop)?;
        let started = Instant::now();
        let unit = self.names.unit(name);
        let seen = self.seen(operation, name)?;
        if !seen.is_down() || seen.has_group {
            let said = self.systemctl(operation, &["stop", &unit], stop.kill_after())?;
            if said.status.is_none() {
                // The template allows for the longest budget of all profiles.
                self.systemctl(operation, &["kill", "--signal=KILL", &unit], ANSWER)?;
            }
            self.await_down(operation, name, stop, started, &said)?;
        }
        if seen.active != "inactive" {
            // A stop that had to kill leaves it failed; one that is not loaded any more has forgotten it.
            self.systemctl(operation, &["reset-failed", &unit], ANSWER)?;
        }
        self.end_orphan(operation, &profile, stop, started)
    }

    fn await_down(
        &self,
        operation: &str,
        name: &ProfileName,
        stop: StopTimeout,
        started: Instant,
        said: &Said,
    ) -> Result<(), ManagerError> {
        let timeout = stop.budget() + self.setup.timeouts.stop_beyond_budget;
        let mut saw = String::new();
        let done = wait::until(started + timeout, || {
            let seen = self.seen(operation, name)?;
            if seen.is_down() && seen.pid.is_none() && !seen.has_group {
                return Ok(Poll::Done(()));
            }
            if said.status.is_some() && !said.is_success() && seen.active == "active" {
                return Err(refused(operation, self.systemctl.complaint(said), None));
            }
            saw = match seen.pid {
                Some(pid) => format!("it still runs as {pid}"),
                None => format!("its unit is {}", seen.active),
            };
            Ok(Poll::Wait)
        })?;
        done.ok_or_else(|| {
            let hint =
                "a process that the kernel can't kill waits for a disk or a network file system";
            timed_out(operation, timeout, saw, hint)
        })
    }

    /// Ends a gateway that is not its unit's: SIGTERM at once, SIGKILL within the stop budget.
    fn end_orphan(
        &self,
        operation: &str,
        profile: &Profile,
        stop: StopTimeout,
        started: Instant,
    ) -> Result<(), ManagerError> {
        let io = |error: io::Error| failed(operation, error);
        let lock = profile.home.gateway_lock();
        let (kill_at, timeout) =
            (started + stop.kill_after(), stop.budget() + self.setup.timeouts.stop_beyond_budget);
        let mut told = None;
        let mut saw = String::new();
        let done = wait::until(started + timeout, || {
            let Some(pid) = other_holder(&lock, None).map_err(io)? else {
                return Ok(Poll::Done(()));
            };
            saw = format!("a gateway of it still runs as {pid}, unsupervised");
            let kill = Instant::now() >= kill_at;
            if told == Some(pid) && !kill {
                return Ok(Poll::WaitUntil(kill_at));
            }
            let Some(process) = Process::open(pid).map_err(io)? else { return Ok(Poll::Wait) };
            // Only now does the number mean one process for sure.
            if other_holder(&lock, None).map_err(io)? == Some(pid) {
                process.signal(if kill { Signal::KILL } else { Signal::TERM }).map_err(io)?;
                told = Some(pid);
            }
            Ok(Poll::WaitUntil(kill_at))
        })?;
        done.ok_or_else(|| timed_out(operation, timeout, saw, "end it by hand"))
    }
}
