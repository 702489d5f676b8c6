//! What `systemctl show` says of units, and what that means.
//!
//! Sources: systemctl(1), `show`, "computer-parsable output"; org.freedesktop.systemd1(5) for the
//! properties. Units are told apart by empty lines; times are asked for as seconds since the epoch.

use std::time::Duration;

use hermes_core::restart::{self, EXIT_CONFIG};
use hermes_core::status::{Backoff, Exit, Parked};
use hermes_core::{Intent, State};
use jiff::{SignedDuration, Timestamp};

/// The properties that are asked for.
pub(super) const PROPERTIES: &str = "--property=Id,LoadState,ActiveState,SubState,Result,MainPID,\
    ExecMainCode,ExecMainStatus,NRestarts,StateChangeTimestamp,ExecMainStartTimestamp,RestartUSec,\
    RestartUSecNext,ControlGroup,FragmentPath";

/// What systemd says of one unit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) id: String,
    pub(super) load: String,
    pub(super) active: String,
    pub(super) sub: String,
    pub(super) result: String,
    pub(super) fragment: String,
    /// Its main process.
    pub(super) pid: Option<u32>,
    /// How its main process ended, while there is none.
    pub(super) exit: Option<Exit>,
    /// How often it was restarted since it was last started.
    pub(super) restarts: u32,
    /// When its state changed.
    pub(super) changed: Option<Timestamp>,
    /// When its main process was started.
    pub(super) started: Option<Timestamp>,
    /// How long it waits to be restarted.
    pub(super) delay: Duration,
    /// Whether it has a control group, and so perhaps processes.
    pub(super) has_group: bool,
}

/// Reads the answer about any number of units.
pub(super) fn read(text: &str) -> Vec<Seen> {
    text.split("\n\n").filter(|unit| !unit.trim().is_empty()).map(Seen::read).collect()
}

impl Seen {
    fn read(text: &str) -> Self {
        let mut seen = Self::default();
        let (mut code, mut status) = (0, 0);
        for (name, value) in text.lines().filter_map(|line| line.split_once('=')) {
            let number = || value.parse::<u32>().unwrap_or_default();
            match name {
                "Id" => value.clone_into(&mut seen.id),
                "LoadState" => value.clone_into(&mut seen.load),
                "ActiveState" => value.clone_into(&mut seen.active),
                "SubState" => value.clone_into(&mut seen.sub),
                "Result" => value.clone_into(&mut seen.result),
                "FragmentPath" => value.clone_into(&mut seen.fragment),
                "MainPID" => seen.pid = Some(number()).filter(|pid| *pid != 0),
                "ExecMainCode" => code = number(),
                "ExecMainStatus" => status = value.parse().unwrap_or_default(),
                "NRestarts" => seen.restarts = number(),
                "StateChangeTimestamp" => seen.changed = time(value),
                "ExecMainStartTimestamp" => seen.started = time(value),
                "RestartUSec" => seen.delay = seen.delay.max(span(value).unwrap_or_default()),
                "RestartUSecNext" => seen.delay = span(value).unwrap_or(seen.delay),
                "ControlGroup" => seen.has_group = !value.is_empty(),
                _ => {}
            }
        }
        // CLD_EXITED, CLD_KILLED and CLD_DUMPED of wait(2).
        seen.exit = match code {
            1 => Some(Exit::Code(status)),
            2 | 3 => Some(Exit::Signal(status)),
            _ => None,
        };
        seen
    }

    /// Whether it is down, and stays so.
    pub(super) fn is_down(&self) -> bool {
        matches!(self.active.as_str(), "inactive" | "failed" | "")
    }

    /// Whether it died, and is down or waits to be started again.
    pub(super) fn is_dead(&self) -> bool {
        self.is_down() || self.sub.starts_with("auto-restart")
    }

    /// What it means, for a gateway that is parked or not.
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

    /// Why systemd does not start it again, if it doesn't. `fault` is what the gateway said of it.
    pub(super) fn parked(&self, intent: Option<Intent>, fault: Option<String>) -> Option<Parked> {
        if self.active != "failed" {
            return None;
        }
        let exit = self.exit.unwrap_or(Exit::Code(0));
        let limit = usize::try_from(self.restarts).is_ok_and(|count| count >= restart::DEATHS);
        let loops = || restart::crash_loop(restart::DEATHS, restart::WINDOW, exit, fault.clone());
        let reason = match self.result.as_str() {
            _ if exit == Exit::Code(EXIT_CONFIG) => restart::hopeless(fault),
            "start-limit-hit" => loops(),
            // The result may stay that of the last death, whose restart was refused.
            _ if limit && intent == Some(Intent::Running) => loops(),
            // A stop that had to kill leaves it failed, too.
            _ if intent != Some(Intent::Running) => return None,
            result => format!("systemd gave it up: {result}"),
        };
        Some(Parked { reason, since: self.changed })
    }

    /// How often it died since it was last started. A restart is counted when it is tried.
    pub(super) fn deaths(&self) -> u32 {
        let waits = self.active == "activating" && self.sub.starts_with("auto-restart");
        let hopeless = self.active == "failed" && self.exit == Some(Exit::Code(EXIT_CONFIG));
        self.restarts + u32::from(waits || hopeless)
    }

    /// When it is started again, if it waits for that.
    pub(super) fn backoff(&self) -> Option<Backoff> {
        let waits = self.active == "activating" && self.sub.starts_with("auto-restart");
        let delay = SignedDuration::try_from(self.delay).unwrap_or_default();
        let until = self.changed?.checked_add(delay).ok()?;
        waits.then_some(Backoff { count: self.deaths(), until })
    }
}

/// `@1795535042`, as `--timestamp=unix` prints it; nothing for what never was.
fn time(value: &str) -> Option<Timestamp> {
    Timestamp::from_second(value.strip_prefix('@')?.parse().ok()?).ok()
}

/// A span of systemd.time(7), as `show` prints them: `1min 30s`, `500ms`.
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

    fn seen(active: &str, sub: &str, more: &str) -> Seen {
        let text = format!(
            "Id=a@x.service\nActiveState={active}\nSubState={sub}\nStateChangeTimestamp=@100\n{more}\n"
        );
        read(&text).remove(0)
    }

    #[test]
    fn units_are_told_apart_and_read() {
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
            assert_eq!(seen(active, sub, "").state(false), expected, "{active}/{sub}");
        }
        assert_eq!(seen("failed", "failed", "").state(true), State::Parked);
    }

    #[test]
    fn what_systemd_gave_up_says_why() {
        let running = Some(Intent::Running);
        let exited = |code| format!("Result=exit-code\nExecMainCode=1\nExecMainStatus={code}");
        let parked = |seen: &Seen, fault: Option<&str>| {
            seen.parked(running, fault.map(str::to_owned)).map(|parked| parked.reason)
        };
        let wrong = seen("failed", "failed", &exited(78));
        assert_eq!(parked(&wrong, Some("no port")).unwrap(), "no port");
        let limit = "Result=start-limit-hit\nExecMainCode=1\nExecMainStatus=7";
        let loops = parked(&seen("failed", "failed", limit), None).unwrap();
        assert_eq!(
            loops,
            "it died 10 times within 10 minutes, last with exit 7; its log says more"
        );
        let tenth = "Result=exit-code\nExecMainCode=1\nExecMainStatus=7\nNRestarts=10";
        let tenth = seen("failed", "failed", tenth);
        assert_eq!((parked(&tenth, None).unwrap(), tenth.deaths()), (loops, 10));
        assert_eq!(wrong.deaths(), 1);
        let killed = seen("failed", "failed", "Result=timeout\nExecMainCode=2\nExecMainStatus=9");
        assert_eq!(parked(&killed, None).unwrap(), "systemd gave it up: timeout");
        assert_eq!(killed.parked(Some(Intent::Stopped), None), None, "a stop did that");
        assert_eq!(parked(&seen("activating", "auto-restart", &exited(78)), None), None);
    }

    #[test]
    fn a_wait_ends_after_its_delay() {
        let waits = seen("activating", "auto-restart", "RestartUSec=1s\nNRestarts=3");
        let until = Timestamp::from_second(101).unwrap();
        assert_eq!(waits.backoff(), Some(Backoff { count: 4, until }));
        let grown = "RestartUSecNext=1min 30s\nRestartUSec=1s";
        let until = Timestamp::from_second(190).unwrap();
        assert_eq!(seen("activating", "auto-restart", grown).backoff().unwrap().until, until);
        assert_eq!(seen("active", "running", "RestartUSec=1s").backoff(), None);
        assert_eq!(span("100ms"), Some(Duration::from_millis(100)));
        assert_eq!(span("infinity"), None);
    }
}
