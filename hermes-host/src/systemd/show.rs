//! Reads the output of `systemctl show`, and derives the state of a gateway from it.
//!
//! Sources: systemctl(1), `show`, "computer-parsable output"; org.freedesktop.systemd1(5) for the
//! properties. Empty lines separate units; times are requested as seconds since the epoch.

use std::time::Duration;

use hermes_core::restart::{self, EXIT_CONFIG};
use hermes_core::status::{Backoff, Exit, Parked};
use hermes_core::{Intent, State};
use jiff::{SignedDuration, Timestamp};

/// The requested properties.
pub(super) const PROPERTIES: &str = "--property=Id,LoadState,ActiveState,SubState,Result,MainPID,\
    ExecMainCode,ExecMainStatus,NRestarts,StateChangeTimestamp,ExecMainStartTimestamp,RestartUSec,\
    RestartUSecNext,ControlGroup,FragmentPath,Job";

/// The properties of one unit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Properties {
    pub(super) id: String,
    pub(super) load: String,
    pub(super) active: String,
    pub(super) sub: String,
    pub(super) result: String,
    pub(super) fragment: String,
    /// The main process.
    pub(super) pid: Option<u32>,
    /// How the main process ended, if none runs.
    pub(super) exit: Option<Exit>,
    /// The automatic restarts since the last start.
    pub(super) restarts: u32,
    /// When the state last changed.
    pub(super) changed: Option<Timestamp>,
    /// When the main process was started.
    pub(super) started: Option<Timestamp>,
    /// The delay before the next restart.
    pub(super) delay: Duration,
    /// Whether the unit has a control group, and so maybe processes.
    pub(super) has_group: bool,
    /// The ID of the job that changes the unit.
    pub(super) job: Option<String>,
    /// The type of the job, if this is one.
    pub(super) job_type: String,
}

/// Reads the output for any number of units.
pub(super) fn read(text: &str) -> Vec<Properties> {
    text.split("\n\n").filter(|unit| !unit.trim().is_empty()).map(Properties::read).collect()
}

impl Properties {
    fn read(text: &str) -> Self {
        let mut properties = Self::default();
        let (mut code, mut status) = (0, 0);
        for (name, value) in text.lines().filter_map(|line| line.split_once('=')) {
            let number = || value.parse::<u32>().unwrap_or_default();
            match name {
                "Id" => value.clone_into(&mut properties.id),
                "LoadState" => value.clone_into(&mut properties.load),
                "ActiveState" => value.clone_into(&mut properties.active),
                "SubState" => value.clone_into(&mut properties.sub),
                "Result" => value.clone_into(&mut properties.result),
                "FragmentPath" => value.clone_into(&mut properties.fragment),
                "MainPID" => properties.pid = Some(number()).filter(|pid| *pid != 0),
                "ExecMainCode" => code = number(),
                "ExecMainStatus" => status = value.parse().unwrap_or_default(),
                "NRestarts" => properties.restarts = number(),
                "StateChangeTimestamp" => properties.changed = time(value),
                "ExecMainStartTimestamp" => properties.started = time(value),
                "RestartUSec" => {
                    properties.delay = properties.delay.max(span(value).unwrap_or_default())
                }
                "RestartUSecNext" => properties.delay = span(value).unwrap_or(properties.delay),
                "ControlGroup" => properties.has_group = !value.is_empty(),
                "Job" => {
                    properties.job = Some(value).filter(|id| !id.is_empty()).map(str::to_owned)
                }
                "JobType" => value.clone_into(&mut properties.job_type),
                _ => {}
            }
        }
        // CLD_EXITED, CLD_KILLED and CLD_DUMPED of wait(2).
        properties.exit = match code {
            1 => Some(Exit::Code(status)),
            2 | 3 => Some(Exit::Signal(status)),
            _ => None,
        };
        properties
    }

    /// Whether the unit is down and systemd won't restart it.
    pub(super) fn is_down(&self) -> bool {
        matches!(self.active.as_str(), "inactive" | "failed" | "")
    }

    /// Whether the gateway is down or waits for its restart.
    pub(super) fn is_dead(&self) -> bool {
        self.is_down() || self.sub.starts_with("auto-restart")
    }

    /// The state of the gateway.
    pub(super) fn state(&self, parked: bool) -> State {
        match self.active.as_str() {
            "active" | "reloading" | "refreshing" => State::Up,
            "activating" if self.sub.starts_with("auto-restart") => State::Backoff,
            "activating" => State::Starting,
            "deactivating" => State::Stopping,
            "failed" if parked => State::Parked,
            _ => State::Down,
        }
    }

    /// Why systemd does not restart the gateway; `None` if it does. `fault` is the error that the gateway
    /// recorded.
    pub(super) fn parked(&self, intent: Option<Intent>, fault: Option<String>) -> Option<Parked> {
        if self.active != "failed" {
            return None;
        }
        let exit = self.exit.unwrap_or(Exit::Code(0));
        let limit = usize::try_from(self.restarts).is_ok_and(|count| count >= restart::DEATHS);
        let loops = || restart::crash_loop(restart::DEATHS, exit, fault.clone());
        let reason = match self.result.as_str() {
            _ if exit == Exit::Code(EXIT_CONFIG) => restart::invalid_configuration(fault),
            "start-limit-hit" => loops(),
            // When systemd refuses a restart, the result may remain that of the last death.
            _ if limit && intent == Some(Intent::Running) => loops(),
            // A stop that had to kill the gateway leaves its unit failed, too.
            _ if intent != Some(Intent::Running) => return None,
            result => format!("systemd gave up: {result}"),
        };
        Some(Parked { reason, since: self.changed })
    }

    /// The deaths since the last start. systemd counts a restart only when it is tried.
    pub(super) fn deaths(&self) -> u32 {
        let waits = self.active == "activating" && self.sub.starts_with("auto-restart");
        let permanent = self.active == "failed" && self.exit == Some(Exit::Code(EXIT_CONFIG));
        self.restarts + u32::from(waits || permanent)
    }

    /// When systemd restarts the gateway, if it waits for that.
    pub(super) fn backoff(&self) -> Option<Backoff> {
        let waits = self.active == "activating" && self.sub.starts_with("auto-restart");
        let delay = SignedDuration::try_from(self.delay).unwrap_or_default();
        let until = self.changed?.checked_add(delay).ok()?;
        waits.then_some(Backoff { count: self.deaths(), until })
    }
}

/// Reads `@1795535042`, as `--timestamp=unix` prints it; `None` for an event that never happened.
fn time(value: &str) -> Option<Timestamp> {
    Timestamp::from_second(value.strip_prefix('@')?.parse().ok()?).ok()
}

/// Reads a time span of systemd.time(7), as `show` prints it: `1min 30s`, `500ms`.
fn span(text: &str) -> Option<Duration> {
    let part = |part: &str| {
        let unit = part.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, unit) = part.split_at(unit);
        let seconds = match unit {
            "us" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "min" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()
    };
    text.split(' ').map(part).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn properties(active: &str, sub: &str, more: &str) -> Properties {
        let text = format!(
            "Id=a@x.service\nActiveState={active}\nSubState={sub}\nStateChangeTimestamp=@100\n{more}\n"
        );
        read(&text).remove(0)
    }

    #[test]
    fn several_units_are_read() {
        let text = "MainPID=93\nResult=success\nNRestarts=2\nExecMainCode=0\nExecMainStatus=0\n\
                    Id=a@x.service\nActiveState=active\nControlGroup=/a\n\n\
                    MainPID=0\nId=a@y.service\nExecMainCode=2\nExecMainStatus=9\nControlGroup=\n";
        let [x, y] = read(text).try_into().unwrap();
        assert_eq!((x.id.as_str(), x.pid, x.restarts), ("a@x.service", Some(93), 2));
        assert!(x.has_group && !y.has_group);
        assert_eq!((y.pid, y.exit), (None, Some(Exit::Signal(9))));
        assert!(read("\n").is_empty());
    }

    #[test]
    fn every_state_has_one_meaning() {
        for (active, sub, expected) in [
            ("active", "running", State::Up),
            ("activating", "start", State::Starting),
            ("activating", "condition", State::Starting),
            ("activating", "auto-restart", State::Backoff),
            ("deactivating", "stop-sigterm", State::Stopping),
            ("failed", "failed", State::Down),
            ("inactive", "dead", State::Down),
        ] {
            assert_eq!(properties(active, sub, "").state(false), expected, "{active}/{sub}");
        }
        assert_eq!(properties("failed", "failed", "").state(true), State::Parked);
    }

    #[test]
    fn parked_gateways_have_a_reason() {
        let running = Some(Intent::Running);
        let exited = |code| format!("Result=exit-code\nExecMainCode=1\nExecMainStatus={code}");
        let parked = |properties: &Properties, fault: Option<&str>| {
            properties.parked(running, fault.map(str::to_owned)).map(|parked| parked.reason)
        };
        let wrong_config = properties("failed", "failed", &exited(78));
        assert_eq!(parked(&wrong_config, Some("no port")).unwrap(), "no port");
        let limit = "Result=start-limit-hit\nExecMainCode=1\nExecMainStatus=7";
        let loops = parked(&properties("failed", "failed", limit), None).unwrap();
        assert_eq!(
            loops,
            "it died 10 times within 10 minutes, last with exit 7; its log says more"
        );
        let tenth = "Result=exit-code\nExecMainCode=1\nExecMainStatus=7\nNRestarts=10";
        let tenth = properties("failed", "failed", tenth);
        assert_eq!((parked(&tenth, None).unwrap(), tenth.deaths()), (loops, 10));
        assert_eq!(wrong_config.deaths(), 1);
        let killed =
            properties("failed", "failed", "Result=timeout\nExecMainCode=2\nExecMainStatus=9");
        assert_eq!(parked(&killed, None).unwrap(), "systemd gave up: timeout");
        assert_eq!(killed.parked(Some(Intent::Stopped), None), None, "stopped on purpose");
        assert_eq!(parked(&properties("activating", "auto-restart", &exited(78)), None), None);
    }

    #[test]
    fn backoff_ends_after_the_delay() {
        let waits = properties("activating", "auto-restart", "RestartUSec=1s\nNRestarts=3");
        let until = Timestamp::from_second(101).unwrap();
        assert_eq!(waits.backoff(), Some(Backoff { count: 4, until }));
        let grown = "RestartUSecNext=1min 30s\nRestartUSec=1s";
        let until = Timestamp::from_second(190).unwrap();
        assert_eq!(properties("activating", "auto-restart", grown).backoff().unwrap().until, until);
        assert_eq!(properties("active", "running", "RestartUSec=1s").backoff(), None);
        assert_eq!(span("100ms"), Some(Duration::from_millis(100)));
        assert_eq!(span("infinity"), None);
    }
}
