//! Shared by every driver's `up` and `down`: when a gateway counts as started or ended, and the messages
//! about a gateway that does not start or stop.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::DriverError;
use crate::gateway::Gateway;
use crate::health;
use crate::process::Process;
use crate::process_lock::{Holder, holder, other_holder};
use crate::restart;
use crate::status::{Exit, Parked, State, Status};
use crate::wait::{self, Poll};
use crate::waiting::{Goal, Waiting};

/// How long a gateway that never reports readiness must stay up to count as started.
pub const SETTLED: Duration = Duration::from_secs(1);

/// The state of a gateway that its supervisor has not started yet.
pub const NOT_STARTED: &str = "not started yet";
/// The state of a gateway that runs and has not reported readiness.
pub const NOT_READY: &str = "running, not ready";
/// The state of a gateway that never reports readiness, before it has been up for [`SETTLED`].
pub const NOT_SETTLED: &str = "running for less than a second";
/// The error of a start that another command ended.
pub const STOPPED_MEANWHILE: &str = "another command stopped it";

/// Follows the process of a gateway that never reports readiness until it has stayed up for [`SETTLED`].
#[derive(Debug, Default)]
pub struct Settling(Option<(u32, Instant)>);

impl Settling {
    /// Done once `pid` has been the same for [`SETTLED`]; another process starts the time again.
    pub fn poll(&mut self, pid: u32) -> Poll<()> {
        let since = match self.0 {
            Some((last, since)) if last == pid => since,
            _ => self.0.insert((pid, Instant::now())).1,
        };
        match since.elapsed() >= SETTLED {
            true => Poll::Done(()),
            false => Poll::WaitUntil(since + SETTLED),
        }
    }
}

/// For a driver that can only observe. Blocks until the gateway, as `observe` reports it, is ready, or has stayed up for [`SETTLED`] if it never
/// reports readiness, at most `timeout`. A death on the way is an error at once: the status then counts
/// more than `deaths`, those before the start. The error names `supervisor`, which starts the gateway again.
pub fn await_up(
    gateway: &Gateway,
    supervisor: &str,
    deaths: u32,
    timeout: Duration,
    mut observe: impl FnMut() -> Result<Status, DriverError>,
) -> Result<(), DriverError> {
    let mut settling = Settling::default();
    let mut last_seen = "";
    let deadline = Instant::now() + timeout.max(SETTLED);
    let waiting = Waiting::begin(Goal::Ready(gateway.name().clone()), deadline);
    let up = wait::until(deadline, || {
        let status = observe()?;
        let died =
            || died(gateway, supervisor, status.parked.as_ref(), status.last_exit, status.pid);
        match (status.state, status.pid) {
            _ if status.deaths > deaths => Err(died()),
            (State::Up, Some(pid)) if status.ready.is_none() => {
                last_seen = NOT_SETTLED;
                Ok(settling.poll(pid))
            }
            (State::Up, _) => Ok(Poll::Done(())),
            (State::Starting, Some(_)) => {
                last_seen = NOT_READY;
                waiting.saw(|| readiness(gateway));
                Ok(Poll::Wait)
            }
            (State::Starting | State::Backoff, _) => {
                last_seen = NOT_STARTED;
                Ok(Poll::Wait)
            }
            _ => Err(died()),
        }
    })?;
    up.ok_or_else(|| not_ready(gateway, timeout, last_seen))
}

/// How far a gateway is that runs and has not reported readiness: what was asked last, and what it answered.
pub fn readiness(gateway: &Gateway) -> String {
    let asked = match holder(&gateway.home().gateway_lock()) {
        Ok(Some(Holder { pid: Some(pid) })) => health::reason(gateway.home(), pid),
        _ => None,
    };
    let asked = asked.map_or_else(String::new, |reason| format!(": {}", reason.text));
    format!("{NOT_READY}{asked}")
}

/// The error of a gateway that was not ready in time; `last_seen` is its last state.
pub fn not_ready(gateway: &Gateway, waited: Duration, last_seen: &str) -> DriverError {
    let name = gateway.name();
    let last_seen = match last_seen {
        NOT_READY => readiness(gateway),
        other => other.to_owned(),
    };
    DriverError::timed_out(waited, last_seen)
        .with_hint(format!("it is still starting; `hermes gateway logs {name}` shows its output"))
}

/// The error of a gateway that is parked, or died before it was ready. `supervisor` is the name of the
/// program that restarts it; `supervised` is the gateway's process under that supervisor, if it has one.
pub fn died(
    gateway: &Gateway,
    supervisor: &str,
    parked: Option<&Parked>,
    exit: Option<Exit>,
    supervised: Option<u32>,
) -> DriverError {
    let reason = match (parked, restart::fault(&gateway.home().fault())) {
        (Some(parked), _) => format!("it is parked: {}", parked.reason),
        (None, Some(fault)) => {
            format!("it can't start, and {supervisor} keeps restarting it: {fault}")
        }
        (None, None) => {
            let exit = exit.map_or_else(String::new, |exit| format!(" ({exit})"));
            format!("it died{exit} before it was ready; {supervisor} keeps restarting it")
        }
    };
    DriverError::new(reason).with_hint(hint_after_death(gateway, supervised))
}

/// The hint for a gateway that does not start, maybe because another process already is the gateway.
pub fn hint_after_death(gateway: &Gateway, supervised: Option<u32>) -> String {
    let name = gateway.name();
    match other_holder(&gateway.home().gateway_lock(), supervised) {
        Ok(Some(_)) => {
            format!(
                "its lock is held; `hermes gateway restart {name}` ends the process that holds it"
            )
        }
        _ => format!("`hermes gateway logs {name}` shows its output"),
    }
}

/// The error of a gateway that did not end in time; `last_seen` names the process that still runs.
pub fn not_ended(waited: Duration, last_seen: String) -> DriverError {
    DriverError::timed_out(waited, last_seen)
        .with_hint("a process that survives SIGKILL is waiting for a disk or a network file system")
}

/// The error of a start while the gateway already runs outside its supervisor, as process `pid`.
pub fn runs_already(gateway: &Gateway, pid: u32) -> DriverError {
    DriverError::new(format!("it already runs as process {pid}, without a supervisor"))
        .with_hint(format!("`hermes gateway restart {}` ends that process", gateway.name()))
}

/// Fails unless no process holds the gateway's lock any more, at the end of a stop that has observed the end of its
/// service.
pub fn require_ended(gateway: &Gateway) -> Result<(), DriverError> {
    match holder(&gateway.home().gateway_lock())? {
        None => Ok(()),
        Some(Holder { pid: None }) => Err(runs_elsewhere(gateway)),
        Some(Holder { pid: Some(pid) }) => {
            let why = format!(
                "it still runs as process {pid}, which this user can't end, or which started just now"
            );
            let hint = format!("end process {pid} if it is not wanted, and repeat the command");
            Err(DriverError::new(why).with_hint(hint))
        }
    }
}

/// The error of a gateway whose lock a process holds that has no process ID here.
pub fn runs_elsewhere(gateway: &Gateway) -> DriverError {
    let lock = gateway.home().gateway_lock();
    let why = format!(
        "it runs elsewhere: a process of another host, container or PID namespace holds its lock `{}`",
        lock.display()
    );
    DriverError::unreachable(why).with_hint("stop it there, and repeat the command")
}

/// Ends every process that holds the lock at `path`: SIGTERM at once, SIGKILL at `kill_at`. Blocks until
/// nobody holds it, at most `timeout` after `begun`. Idempotent.
pub fn end_holders(
    path: &Path,
    begun: Instant,
    kill_at: Instant,
    timeout: Duration,
) -> Result<(), DriverError> {
    let mut asked = None;
    let mut last_seen = String::new();
    let ended = wait::until(begun + timeout, || -> Result<_, DriverError> {
        let Some(process) = Process::holding(path)? else { return Ok(Poll::Done(())) };
        last_seen = format!("it still runs as {}", process.pid);
        let kill = Instant::now() >= kill_at;
        if kill || asked != Some(process.pid) {
            process.signal(if kill { Signal::KILL } else { Signal::TERM })?;
            asked = Some(process.pid);
        }
        Ok(Poll::WaitUntil(kill_at))
    })?;
    ended.ok_or_else(|| not_ended(timeout, last_seen))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error_class::Class;
    use crate::home::RootHome;
    use crate::process_lock::other_process;
    use crate::store::Profile;

    fn gateway() -> Gateway {
        let name = "coder".parse().unwrap();
        Gateway::new(Profile { home: RootHome::new("/nonexistent").profile(&name), name })
    }

    /// Waits while the statuses are observed in turn; the last one repeats.
    fn wait_over(statuses: Vec<Status>) -> Result<(), DriverError> {
        let mut statuses = statuses.into_iter();
        let mut last = None;
        await_up(&gateway(), "s6", 1, Duration::ZERO, || {
            last = statuses.next().or(last.take());
            Ok(last.clone().expect("a status"))
        })
    }

    fn status(state: State, ready: Option<bool>) -> Status {
        let pid = [State::Up, State::Starting].contains(&state).then_some(7);
        Status { state, pid, ready, deaths: 1, ..Status::unsupervised(gateway().name()) }
    }

    #[test]
    fn a_gateway_is_up_once_it_is_ready_or_has_settled() {
        let starting = status(State::Starting, Some(false));
        wait_over(vec![starting.clone(), status(State::Up, Some(true))]).unwrap();
        let begun = Instant::now();
        wait_over(vec![status(State::Up, None)]).unwrap();
        assert!(begun.elapsed() >= SETTLED);
        let error = wait_over(vec![starting]).unwrap_err();
        assert!(matches!(error.class(), Class::TimedOut(_)), "{error:?}");
        assert_eq!(error.to_string(), NOT_READY);
    }

    #[test]
    fn a_death_is_an_error_at_once() {
        let died = Status {
            deaths: 2,
            last_exit: Some(Exit::Code(3)),
            ..status(State::Starting, Some(false))
        };
        let error = wait_over(vec![status(State::Backoff, None), died]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "it died (exit 3) before it was ready; s6 keeps restarting it"
        );
        let down = wait_over(vec![status(State::Down, None)]).unwrap_err();
        assert!(down.to_string().starts_with("it died"), "{down}");
    }

    #[test]
    fn the_holder_of_a_lock_is_killed_if_it_does_not_end() {
        if let Some(path) = other_process::path() {
            let _term = crate::end_signals::register(&crate::end_signals::SERVER).unwrap();
            return other_process::hold_until_stdin_closes(&path);
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let mut deaf =
            other_process::start("the_holder_of_a_lock_is_killed_if_it_does_not_end", &path);
        let deadline = Instant::now() + Duration::from_secs(60);
        let held = wait::until(deadline, || {
            let holder = other_holder(&path, None)?;
            Ok::<_, std::io::Error>(if holder.is_some() { Poll::Done(()) } else { Poll::Wait })
        });
        held.unwrap().expect("it is held");
        let (begun, kill_after) = (Instant::now(), Duration::from_millis(200));
        end_holders(&path, begun, begun + kill_after, Duration::from_secs(60)).unwrap();
        assert!(begun.elapsed() >= kill_after);
        assert!(!deaf.wait().unwrap().success());
        end_holders(&path, begun, begun, Duration::ZERO).unwrap();
    }
}
