//! Bringing one gateway up and down, and saying so only when it was seen.
//!
//! Source: systemctl(1). A start is over when the gateway has said that it is ready (`Type=notify`); one
//! that never says so is watched for a second. What happened is read from the unit's properties, whatever
//! systemctl exited with: its exit code and its words only help to tell why.

use std::time::{Duration, Instant};

use hermes_core::config::StopTimeout;
use hermes_core::driver::DriverError;
use hermes_core::driver::startup::{self, NOT_READY, NOT_SETTLED, SETTLED, Settling};
use hermes_core::process_lock::other_holder;
use hermes_core::restart;
use hermes_core::status::{State, Status};
use hermes_core::wait::{self, Poll};
use hermes_core::{Gateway, Intent, ProfileName, detect};

use super::show::{self, PROPERTIES, Seen};
use super::{Scope, Systemd};
use crate::command::Said;

/// How long a question to the manager may take.
const ANSWER: Duration = Duration::from_secs(60);

impl Systemd {
    /// Runs systemctl for the manager, which must answer.
    fn systemctl(&self, args: &[&str], timeout: Duration) -> Result<Said, DriverError> {
        self.require_manager()?;
        let args = [&[self.scope.option(), "--no-pager", "--no-ask-password"], args].concat();
        self.systemctl.run(&args, timeout)
    }

    /// What it says, of what has to succeed.
    pub(super) fn ask(&self, args: &[&str]) -> Result<String, DriverError> {
        self.require_manager()?;
        let args = [&[self.scope.option(), "--no-pager", "--no-ask-password"], args].concat();
        self.systemctl.data(&args, ANSWER)
    }

    /// Only root may see whether the system's manager answers; its bus tells all others.
    fn require_manager(&self) -> Result<(), DriverError> {
        if self.scope == Scope::System || detect::answers(&self.places.socket) {
            return Ok(());
        }
        let (name, socket) = (&self.setup.account.name, self.places.socket.display());
        let why = format!("no systemd manager of `{name}` answers at `{socket}`");
        let hint = format!("as root: {}", self.begin_manager());
        Err(DriverError::unreachable(why).with_hint(hint))
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
    pub(super) fn show(&self, units: &[&str]) -> Result<Vec<Seen>, DriverError> {
        let args = [&["show", "--timestamp=unix", PROPERTIES, "--"], units].concat();
        Ok(show::read(&self.ask(&args)?))
    }

    /// What systemd says of a profile's unit.
    pub(super) fn seen(&self, name: &ProfileName) -> Result<Seen, DriverError> {
        let seen = self.show(&[&self.names.unit(name)])?;
        Ok(seen.into_iter().next().unwrap_or_default())
    }

    /// The version of the manager: the number that its text begins with.
    pub(super) fn version(&self) -> Result<u32, DriverError> {
        let text = self.ask(&["show", "--property=Version"])?;
        let digits = text.trim_start_matches("Version=");
        let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        Ok(digits[..end].parse().unwrap_or_default())
    }

    /// Has the manager read its unit files anew.
    pub(super) fn reload(&self) -> Result<(), DriverError> {
        self.ask(&["daemon-reload"]).map(drop)
    }

    /// What is known of a profile's gateway, given what systemd says.
    pub(super) fn status_of(&self, gateway: &Gateway, seen: &Seen) -> Result<Status, DriverError> {
        let intent = Intent::read(gateway.home()).ok();
        let parked = seen.parked(intent, restart::fault(&gateway.home().fault()));
        let registered = self.link(gateway.name()).symlink_metadata().is_ok();
        let notifies = gateway.notifies_readiness();
        let mut status = Status {
            registered,
            state: seen.state(parked.is_some()),
            pid: seen.pid,
            since: if seen.pid.is_some() { seen.started } else { seen.changed },
            intent,
            deaths: seen.deaths(),
            last_exit: seen.exit,
            parked,
            backoff: seen.backoff(),
            ..Status::unsupervised(gateway.name())
        };
        status.ready = status.pid.filter(|_| notifies).map(|_| seen.active == "active");
        if !registered && seen.is_down() {
            status.state = State::Unsupervised;
        }
        // A control process, like the question for the intent, is not the gateway yet.
        if let Some(pid) = other_holder(&gateway.home().gateway_lock(), status.pid)? {
            (status.state, status.pid, status.ready) = (State::Orphan, Some(pid), None);
        }
        Ok(status)
    }

    /// Starts the installed gateway of `profile` and blocks until it is ready, or up for a second where
    /// it never says that it is. A death on the way is an error at once; systemd goes on trying.
    pub(super) fn bring_up(&self, gateway: &Gateway) -> Result<(), DriverError> {
        let (name, unit) = (gateway.name(), self.names.unit(gateway.name()));
        let timeout = self.setup.timeouts.start;
        let deadline = Instant::now() + timeout;
        // What it died of before counts no more; one that is not loaded has nothing to forget.
        self.systemctl(&["reset-failed", &unit], ANSWER)?;
        let said = self.systemctl(&["start", &unit], timeout)?;
        let notifies = gateway.notifies_readiness();
        let mut settling = Settling::default();
        let mut saw = "";
        let done = wait::until(deadline.max(Instant::now() + SETTLED), || {
            let seen = self.seen(name)?;
            // Its restarts were forgotten above: one that is counted followed a death since then.
            if seen.is_dead() || seen.restarts > 0 {
                return Err(self.death(gateway, &seen, &said));
            }
            if seen.active != "active" {
                saw = NOT_READY;
                return Ok(match said.status {
                    None => Poll::Done(false),
                    Some(_) => Poll::Wait,
                });
            }
            if notifies {
                return Ok(Poll::Done(true));
            }
            saw = NOT_SETTLED;
            let Some(pid) = seen.pid else { return Ok(Poll::Wait) };
            Ok(match settling.poll(pid) {
                Poll::Done(()) => Poll::Done(true),
                Poll::Wait => Poll::Wait,
                Poll::WaitUntil(at) => Poll::WaitUntil(at),
            })
        })?;
        if done == Some(true) {
            return Ok(());
        }
        Err(startup::not_ready(gateway, timeout, saw))
    }

    /// The error of a start that systemd has refused, or after which the gateway died.
    fn death(&self, gateway: &Gateway, seen: &Seen, said: &Said) -> DriverError {
        let fault = restart::fault(&gateway.home().fault());
        let parked = seen.parked(Some(Intent::Running), fault.clone());
        if parked.is_some() || fault.is_some() || seen.exit.is_some() {
            return startup::died(gateway, "systemd", parked.as_ref(), seen.exit, seen.pid);
        }
        let why = match said.is_success() {
            true => format!("systemd did not start it: its unit is {}", seen.active),
            false => self.systemctl.complaint(said),
        };
        DriverError::new(why).with_hint(startup::hint_after_death(gateway, seen.pid))
    }

    /// Stops the gateway and blocks until its unit is down and no process of it is left, an orphan
    /// included. What is not gone after the stop budget is killed. Idempotent.
    pub(super) fn bring_down(&self, gateway: &Gateway) -> Result<(), DriverError> {
        let (name, stop) = (gateway.name(), gateway.stop_timeout());
        // Not the unit of another home, which goes by the same name.
        self.serves(stop)?;
        let started = Instant::now();
        let unit = self.names.unit(name);
        let seen = self.seen(name)?;
        if !seen.is_down() || seen.has_group {
            let said = self.systemctl(&["stop", &unit], stop.kill_after())?;
            if said.status.is_none() {
                // The template allows for the longest budget of all profiles.
                self.systemctl(&["kill", "--signal=KILL", &unit], ANSWER)?;
            }
            self.await_down(name, stop, started, &said)?;
        }
        if seen.active != "inactive" {
            // A stop that had to kill leaves it failed; one that is not loaded any more has forgotten it.
            self.systemctl(&["reset-failed", &unit], ANSWER)?;
        }
        // What is left is not its unit's.
        let lock = gateway.home().gateway_lock();
        let timeout = stop.budget() + self.setup.timeouts.stop_beyond_budget;
        startup::end_holders(&lock, started, started + stop.kill_after(), timeout)
    }

    fn await_down(
        &self,
        name: &ProfileName,
        stop: StopTimeout,
        started: Instant,
        said: &Said,
    ) -> Result<(), DriverError> {
        let timeout = stop.budget() + self.setup.timeouts.stop_beyond_budget;
        let mut saw = String::new();
        let done = wait::until(started + timeout, || {
            let seen = self.seen(name)?;
            if seen.is_down() && seen.pid.is_none() && !seen.has_group {
                return Ok(Poll::Done(()));
            }
            if said.status.is_some() && !said.is_success() && seen.active == "active" {
                return Err(DriverError::new(self.systemctl.complaint(said)));
            }
            saw = match seen.pid {
                Some(pid) => format!("it still runs as {pid}"),
                None => format!("its unit is {}", seen.active),
            };
            Ok(Poll::Wait)
        })?;
        done.ok_or_else(|| startup::not_ended(timeout, saw))
    }
}
