//! Starts and stops one gateway, and reports success only once the unit's properties show it.
//!
//! Source: systemctl(1). A start is complete when the gateway notifies readiness (`Type=notify`), or has been
//! up for a second if it never notifies. The exit code and messages of systemctl only explain a failure.

use std::time::{Duration, Instant};

use hermes_core::config::StopTimeout;
use hermes_core::driver::DriverError;
use hermes_core::driver::startup::{self, NOT_READY, NOT_SETTLED, SETTLED, Settling};
use hermes_core::process_lock::holder;
use hermes_core::restart;
use hermes_core::status::{State, Status};
use hermes_core::wait::{self, Poll};
use hermes_core::waiting::{self, Goal, Waiting};
use hermes_core::{Gateway, Intent, ProfileName, detect};

use super::show::{self, PROPERTIES, Properties};
use super::{Scope, Systemd};
use crate::command::ToolOutput;

/// The timeout of calls that don't wait for a gateway.
const ANSWER: Duration = Duration::from_secs(60);

impl Systemd {
    /// Runs systemctl for the manager. Returns an error if the manager does not answer.
    fn systemctl(&self, args: &[&str], timeout: Duration) -> Result<ToolOutput, DriverError> {
        self.require_manager()?;
        let args = [&[self.scope.option(), "--no-pager", "--no-ask-password"], args].concat();
        self.systemctl.run(&args, timeout)
    }

    /// Runs systemctl and returns its stdout; a failure of systemctl is an error.
    pub(super) fn ask(&self, args: &[&str]) -> Result<String, DriverError> {
        self.ask_within(args, ANSWER)
    }

    /// As [`ask`](Self::ask), for at most `timeout`.
    pub(super) fn ask_within(
        &self,
        args: &[&str],
        timeout: Duration,
    ) -> Result<String, DriverError> {
        self.require_manager()?;
        let args = [&[self.scope.option(), "--no-pager", "--no-ask-password"], args].concat();
        self.systemctl.data(&args, timeout)
    }

    /// Returns an error unless the manager answers. Only root can connect to the private socket of the
    /// system's manager, so that one is not checked.
    fn require_manager(&self) -> Result<(), DriverError> {
        if self.scope == Scope::System || detect::answers(&self.places.socket) {
            return Ok(());
        }
        let (name, socket) = (&self.setup.account.name, self.places.socket.display());
        let evidence = format!("no systemd manager of `{name}` answers at `{socket}`");
        let hint = format!("as root: {}", self.begin_manager());
        Err(DriverError::unreachable(evidence).with_hint(hint))
    }

    /// The command of root that starts the account's manager and keeps it running.
    pub(super) fn begin_manager(&self) -> String {
        let Some(name) = self.places.linger.file_name() else { return String::new() };
        match self.places.linger.exists() {
            true => format!("systemctl start user@{}", self.setup.account.uid),
            false => format!("loginctl enable-linger {}", name.display()),
        }
    }

    /// The properties of `units`, names or patterns.
    pub(super) fn show(&self, units: &[&str]) -> Result<Vec<Properties>, DriverError> {
        let args = [&["show", "--timestamp=unix", PROPERTIES, "--"], units].concat();
        Ok(show::read(&self.ask(&args)?))
    }

    /// The properties of a profile's unit.
    pub(super) fn properties(&self, name: &ProfileName) -> Result<Properties, DriverError> {
        let units = self.show(&[&self.names.unit(name)])?;
        Ok(units.into_iter().next().unwrap_or_default())
    }

    /// The major version of the manager.
    pub(super) fn version(&self) -> Result<u32, DriverError> {
        let text = self.ask(&["show", "--property=Version"])?;
        let digits = text.trim_start_matches("Version=");
        let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        Ok(digits[..end].parse().unwrap_or_default())
    }

    /// Makes the manager reload its unit files.
    pub(super) fn reload(&self) -> Result<(), DriverError> {
        self.ask(&["daemon-reload"]).map(drop)
    }

    /// The status of a gateway whose unit has these properties.
    pub(super) fn status_of(
        &self,
        gateway: &Gateway,
        properties: &Properties,
    ) -> Result<Status, DriverError> {
        let intent = Intent::read(gateway.home()).ok();
        let parked = properties.parked(intent, restart::fault(&gateway.home().fault()));
        let registered = self.link(gateway.name()).symlink_metadata().is_ok();
        let notifies = gateway.notifies_readiness();
        let mut status = Status {
            registered,
            state: properties.state(parked.is_some()),
            pid: properties.pid,
            since: if properties.pid.is_some() { properties.started } else { properties.changed },
            intent,
            deaths: properties.deaths(),
            last_exit: properties.exit,
            parked,
            backoff: properties.backoff(),
            ..Status::unsupervised(gateway.name())
        };
        status.ready = status.pid.filter(|_| notifies).map(|_| properties.active == "active");
        if !registered && properties.is_down() {
            status.state = State::Unsupervised;
        }
        // The process of `ExecCondition=` is not the main process, and holds no lock.
        Ok(status.beside(holder(&gateway.home().gateway_lock())?))
    }

    /// Starts an installed gateway and blocks until it is ready, or has been up for a second if it never
    /// notifies readiness. A death is an error at once; systemd keeps restarting the gateway.
    pub(super) fn bring_up(&self, gateway: &Gateway) -> Result<(), DriverError> {
        let (name, unit) = (gateway.name(), self.names.unit(gateway.name()));
        let timeout = self.setup.timeouts.start;
        let deadline = Instant::now() + timeout;
        let waiting = Waiting::begin(Goal::Ready(name.clone()), deadline);
        let request = || {
            // Clears the count of earlier deaths. It fails if the unit is not loaded, which has no count.
            self.systemctl(&["reset-failed", &unit], ANSWER)?;
            self.systemctl(&["start", &unit], timeout)
        };
        let mut start = request()?;
        let mut restarts = 0;
        let mut may_be_skipped = true;
        let notifies = gateway.notifies_readiness();
        let mut settling = Settling::default();
        let mut last_seen = "";
        let done = wait::until(deadline.max(Instant::now() + SETTLED), || {
            let properties = self.properties(name)?;
            // The count was cleared above, so a restart follows a death of this start.
            if properties.is_dead() || properties.restarts > restarts {
                // The manager was just starting it by itself, and had asked before whether it is wanted.
                let was_skipped = start.is_success() && properties.exit.is_none();
                if was_skipped && std::mem::take(&mut may_be_skipped) {
                    start = request()?;
                    // Of one that is skipped, systemd may count the next start as a restart.
                    restarts = self.properties(name)?.restarts;
                    return Ok(Poll::Wait);
                }
                return Err(self.death(gateway, &properties, &start));
            }
            if properties.active != "active" {
                last_seen = NOT_READY;
                waiting.saw(|| startup::readiness(gateway));
                return Ok(match start.status {
                    None => Poll::Done(false),
                    Some(_) => Poll::Wait,
                });
            }
            if notifies {
                return Ok(Poll::Done(true));
            }
            last_seen = NOT_SETTLED;
            let Some(pid) = properties.pid else { return Ok(Poll::Wait) };
            Ok(settling.poll(pid).map(|()| true))
        })?;
        if done == Some(true) {
            return Ok(());
        }
        Err(startup::not_ready(gateway, timeout, last_seen))
    }

    /// The error of a start that systemd refused, or whose gateway died. `start` is the output of systemctl.
    fn death(&self, gateway: &Gateway, properties: &Properties, start: &ToolOutput) -> DriverError {
        let fault = restart::fault(&gateway.home().fault());
        let parked = properties.parked(Some(Intent::Running), fault.clone());
        if parked.is_some() || fault.is_some() || properties.exit.is_some() {
            return startup::died(
                gateway,
                "systemd",
                parked.as_ref(),
                properties.exit,
                properties.pid,
            );
        }
        let reason = match start.is_success() {
            true => format!("systemd did not start it: its unit is {}", properties.active),
            false => self.systemctl.error_message(start),
        };
        DriverError::new(reason).with_hint(startup::hint_after_death(gateway, properties.pid))
    }

    /// Stops the gateway and blocks until its unit is down and all its processes have ended, orphans
    /// included. Kills the processes that remain after the stop budget. Idempotent.
    pub(super) fn bring_down(&self, gateway: &Gateway) -> Result<(), DriverError> {
        let (name, stop) = (gateway.name(), gateway.stop_timeout());
        // Another home's unit may have the same name, and must not be stopped.
        self.serves(stop)?;
        let started = Instant::now();
        let unit = self.names.unit(name);
        let properties = self.properties(name)?;
        let timeout = stop.budget() + self.setup.timeouts.stop_beyond_budget;
        let _waiting = Waiting::begin(Goal::End(name.clone()), started + timeout);
        if !properties.is_down() || properties.has_group {
            let output = self.systemctl(&["stop", &unit], stop.kill_after())?;
            if waiting::is_cut_off() {
                // systemd goes on.
                return Err(startup::not_ended(
                    timeout,
                    format!("its unit is {}", properties.active),
                ));
            }
            if output.status.is_none() {
                // The template has the longest stop budget of all profiles.
                self.systemctl(&["kill", "--signal=KILL", &unit], ANSWER)?;
            }
            self.await_down(name, stop, started, &output)?;
        }
        if properties.active != "inactive" {
            // A stop that had to kill leaves the unit failed. The call fails if the unit is no longer loaded.
            self.systemctl(&["reset-failed", &unit], ANSWER)?;
        }
        // Any process left now does not belong to the unit.
        let lock = gateway.home().gateway_lock();
        startup::end_holders(&lock, started, started + stop.kill_after(), timeout)
    }

    fn await_down(
        &self,
        name: &ProfileName,
        stop: StopTimeout,
        started: Instant,
        output: &ToolOutput,
    ) -> Result<(), DriverError> {
        let timeout = stop.budget() + self.setup.timeouts.stop_beyond_budget;
        let mut last_seen = String::new();
        let done = wait::until(started + timeout, || {
            let properties = self.properties(name)?;
            if properties.is_down() && properties.pid.is_none() && !properties.has_group {
                return Ok(Poll::Done(()));
            }
            if output.status.is_some() && !output.is_success() && properties.active == "active" {
                return Err(DriverError::new(self.systemctl.error_message(output)));
            }
            last_seen = match properties.pid {
                Some(pid) => format!("it still runs as {pid}"),
                None => format!("its unit is {}", properties.active),
            };
            Ok(Poll::Wait)
        })?;
        done.ok_or_else(|| startup::not_ended(timeout, last_seen))
    }
}
