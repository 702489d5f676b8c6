//! The restart policy: after a death, restarts the gateway with a delay, or parks it.
//!
//! s6 restarts; Hermes decides. `finish` runs the hidden command `gateway after-death`, which waits for the
//! delay and returns the exit code of `finish`: if that is 125, s6-supervise leaves the service down
//! (`servicedir.html`).

use std::io;
use std::time::{Duration, Instant};

use hermes_core::fsutil;
use hermes_core::restart::{EXIT_RESTART, WINDOW, reason_to_park};
use hermes_core::status::{Backoff, Exit, Parked};
use hermes_core::wait::{self, Poll};
use jiff::Timestamp;

use crate::protocol::record::Death;
use crate::slot::layout::ServiceDir;

/// The exit code of `finish` after which s6-supervise leaves the service down.
pub const EXIT_PARK: u8 = 125;

/// The delays of restarts. [`reason_to_park`] decides whether there is a restart.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// The delay after the first death; it doubles with each further one.
    pub first_delay: Duration,
    /// The longest delay.
    pub longest_delay: Duration,
    /// After a run of this length, the next death counts as the first again.
    pub healthy: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            first_delay: Duration::from_secs(1),
            longest_delay: Duration::from_secs(30),
            healthy: Duration::from_secs(60),
        }
    }
}

impl Policy {
    /// The same policy with every delay divided by `factor`, for tests.
    pub fn faster(self, factor: u32) -> Self {
        Self {
            first_delay: self.first_delay / factor,
            longest_delay: self.longest_delay / factor,
            ..self
        }
    }

    /// Decides what follows the last of `deaths` (oldest first). Deaths before `since`, the operator's last
    /// start, don't count. `fault` is the reason that the gateway recorded, if any.
    pub fn decide(
        &self,
        deaths: &[Death],
        since: Option<Timestamp>,
        fault: Option<String>,
    ) -> Verdict {
        let counted = |death: &&Death| since.is_none_or(|since| death.at >= since);
        let deaths: Vec<_> = deaths.iter().filter(counted).collect();
        let Some(last) = deaths.last() else {
            return Verdict::Restart { after: Duration::ZERO, count: 0 };
        };
        let recent = deaths.iter().filter(|death| elapsed(death.at, last.at) <= WINDOW).count();
        if let Some(reason) = reason_to_park(last.exit, recent, fault) {
            return Verdict::Park(reason);
        }
        let count = self.in_a_row(&deaths);
        let after = match last.exit {
            Exit::Code(EXIT_RESTART) => Duration::ZERO,
            _ => self.delay(count),
        };
        Verdict::Restart { after, count }
    }

    /// The number of deaths since the last run that was at least `healthy` long.
    fn in_a_row(&self, deaths: &[&Death]) -> u32 {
        let mut count = 0;
        let mut previous: Option<&Death> = None;
        for death in deaths {
            // The time between two deaths is the delay after the first plus the run.
            let between = previous.map(|previous| elapsed(previous.at, death.at));
            if between.is_some_and(|time| time.saturating_sub(self.delay(count)) >= self.healthy) {
                count = 0;
            }
            count += 1;
            previous = Some(death);
        }
        count
    }

    fn delay(&self, count: u32) -> Duration {
        let doubled = 1_u32.checked_shl(count.saturating_sub(1)).unwrap_or(u32::MAX);
        self.first_delay.saturating_mul(doubled).min(self.longest_delay)
    }
}

fn elapsed(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

/// The decision after a death.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// s6 restarts the gateway.
    Restart {
        /// The delay.
        after: Duration,
        /// The number of deaths in a row, this one included.
        count: u32,
    },
    /// The gateway stays down, for this reason.
    Park(String),
}

/// Decides what follows the last death of the service in `slot`, records the decision, blocks for the delay,
/// and returns the exit code for `finish`. The wait ends early when an operator stops or starts the service.
pub fn after_death(slot: &ServiceDir, policy: &Policy, fault: Option<String>) -> io::Result<u8> {
    if !slot.record()?.want_up {
        warn_if_unrecorded(record_requested_death(slot));
        return Ok(0);
    }
    let since = since(slot)?;
    match policy.decide(&crashes(slot, slot.deaths()?)?, since, fault) {
        Verdict::Park(reason) => {
            warn_if_unrecorded(park(slot, &reason));
            Ok(EXIT_PARK)
        }
        Verdict::Restart { after, count } => {
            if !after.is_zero() {
                back_off(slot, after, count, since)?;
            }
            Ok(0)
        }
    }
}

/// Those of `deaths` of the service in `slot` that no operator requested.
pub fn crashes(slot: &ServiceDir, mut deaths: Vec<Death>) -> io::Result<Vec<Death>> {
    if !deaths.is_empty() {
        let requested = requested_deaths(slot)?;
        deaths.retain(|death| !requested.contains(&death.at));
    }
    Ok(deaths)
}

/// Records that an operator requested the last death, which s6's death tally does not show.
fn record_requested_death(slot: &ServiceDir) -> io::Result<()> {
    let deaths = slot.deaths()?;
    let before = requested_deaths(slot)?;
    // Drops the deaths that have left the tally.
    let kept = deaths.iter().map(|death| death.at).filter(|at| before.contains(at));
    let last = deaths.last().map(|death| death.at);
    let lines = kept.chain(last).map(|at| format!("{at}\n"));
    slot.write(&slot.requested_deaths(), lines.collect::<String>().as_bytes())
}

/// The times of the deaths that an operator requested.
fn requested_deaths(slot: &ServiceDir) -> io::Result<Vec<Timestamp>> {
    let bytes = fsutil::read_if_there(&slot.requested_deaths())?.unwrap_or_default();
    Ok(String::from_utf8_lossy(&bytes).lines().filter_map(|line| line.parse().ok()).collect())
}

/// Warns of a decision that could not be recorded. It is carried out all the same, so that a full disk causes
/// no crash loop.
fn warn_if_unrecorded(written: io::Result<()>) {
    if let Err(error) = written {
        log::warn!("failed to record the decision about this death: {error}");
    }
}

fn back_off(
    slot: &ServiceDir,
    after: Duration,
    count: u32,
    last_start: Option<Timestamp>,
) -> io::Result<()> {
    let until = Timestamp::now() + after;
    let text = format!("{count} {until}\n");
    warn_if_unrecorded(slot.write(&slot.backoff(), text.as_bytes()));
    wait::until(Instant::now() + after, || {
        let commanded = !slot.record()?.want_up || since(slot)? != last_start;
        Ok::<_, io::Error>(if commanded { Poll::Done(()) } else { Poll::Wait })
    })?;
    fsutil::remove_file_if_there(&slot.backoff()).map(drop)
}

/// The pending restart of the service in `slot`; `None` if it is not in backoff.
pub fn backoff(slot: &ServiceDir) -> io::Result<Option<Backoff>> {
    let Some(bytes) = fsutil::read_if_there(&slot.backoff())? else {
        return Ok(None);
    };
    let text = String::from_utf8_lossy(&bytes);
    let parsed = text.trim().split_once(' ').and_then(|(count, until)| {
        Some(Backoff { count: count.parse().ok()?, until: until.parse().ok()? })
    });
    Ok(parsed)
}

/// Records that an operator starts the service in `slot`, so that earlier deaths no longer count. Returns the
/// recorded time.
pub fn record_start(slot: &ServiceDir) -> io::Result<Timestamp> {
    unpark(slot)?;
    let now = Timestamp::now();
    slot.write(&slot.since(), format!("{now}\n").as_bytes())?;
    Ok(now)
}

fn since(slot: &ServiceDir) -> io::Result<Option<Timestamp>> {
    let bytes = fsutil::read_if_there(&slot.since())?.unwrap_or_default();
    Ok(String::from_utf8_lossy(&bytes).trim().parse().ok())
}

/// Records time and reason in `data/parked` and creates the `down` file. `finish` must then exit with
/// [`EXIT_PARK`].
fn park(slot: &ServiceDir, reason: &str) -> io::Result<()> {
    let text = format!("{}\n{reason}\n", Timestamp::now());
    slot.write(&slot.parked(), text.as_bytes())?;
    slot.write(&slot.down(), b"")
}

/// Removes the record that the service in `slot` is parked. Idempotent.
pub fn unpark(slot: &ServiceDir) -> io::Result<()> {
    fsutil::remove_file_if_there(&slot.parked()).map(drop)
}

/// Why and since when the service in `slot` is parked; `None` if it is not.
pub fn parked(slot: &ServiceDir) -> io::Result<Option<Parked>> {
    let Some(bytes) = fsutil::read_if_there(&slot.parked())? else {
        return Ok(None);
    };
    let text = String::from_utf8_lossy(&bytes);
    let (since, reason) = text.split_once('\n').unwrap_or_default();
    Ok(Some(Parked { reason: reason.trim_end().to_owned(), since: since.parse().ok() }))
}

#[cfg(test)]
mod tests {
    use fs_err as fs;

    use super::*;

    /// Deaths at `seconds`, all with the same exit.
    fn deaths(exit: Exit, seconds: &[i64]) -> Vec<Death> {
        let at = |second: &i64| Timestamp::from_second(*second).unwrap();
        seconds.iter().map(|second| Death { at: at(second), exit }).collect()
    }

    fn decide(exit: Exit, seconds: &[i64]) -> Verdict {
        Policy::default().decide(&deaths(exit, seconds), None, None)
    }

    fn restart(after: u64, count: u32) -> Verdict {
        Verdict::Restart { after: Duration::from_secs(after), count }
    }

    const CRASH: Exit = Exit::Code(1);

    #[test]
    fn delays_double_up_to_half_a_minute_and_a_healthy_minute_forgets_them() {
        assert_eq!(decide(CRASH, &[0]), restart(1, 1));
        assert_eq!(decide(Exit::Signal(9), &[0, 2]), restart(2, 2));
        assert_eq!(decide(Exit::Code(0), &[0, 2, 5]), restart(4, 3));
        assert_eq!(decide(CRASH, &[0, 2, 5, 10, 19, 36]), restart(30, 6));
        assert_eq!(decide(CRASH, &[0, 2, 5, 10, 19, 36, 67]), restart(30, 7));
        // The delay of 1 s is not part of a life of 60 s.
        assert_eq!(decide(CRASH, &[0, 60]), restart(2, 2));
        assert_eq!(decide(CRASH, &[0, 61]), restart(1, 1));
        assert_eq!(decide(CRASH, &[0, 2, 5, 69, 71]), restart(2, 2));
    }

    #[test]
    fn the_tenth_death_within_ten_minutes_parks() {
        let seconds: Vec<_> = (0..10).map(|i| i * 66).collect();
        assert_eq!(decide(CRASH, &seconds[..9]), restart(1, 1));
        assert_eq!(
            decide(CRASH, &seconds),
            Verdict::Park(
                "it died 10 times within 10 minutes, last with exit 1; its log says more".into()
            )
        );
        let slower: Vec<_> = (0..12).map(|i| i * 67).collect();
        assert_eq!(decide(CRASH, &slower), restart(1, 1), "never ten in one window");
    }

    #[test]
    fn exit_78_parks_at_once_with_the_gateways_reason() {
        let Verdict::Park(reason) = decide(Exit::Code(78), &[0]) else { panic!("not parked") };
        assert!(reason.contains("exit 78"), "{reason}");
        let fault = Some("no port".to_owned());
        let verdict = Policy::default().decide(&deaths(Exit::Code(78), &[0]), None, fault);
        assert_eq!(verdict, Verdict::Park("no port".into()));
    }

    #[test]
    fn exit_75_restarts_without_delay() {
        assert_eq!(decide(Exit::Code(75), &[0]), restart(0, 1));
    }

    #[test]
    fn deaths_before_the_last_start_do_not_count() {
        let seconds: Vec<_> = (0..20).collect();
        let since = Timestamp::from_second(19).unwrap();
        let verdict = Policy::default().decide(&deaths(CRASH, &seconds), Some(since), None);
        assert_eq!(verdict, restart(1, 1));
    }

    #[test]
    fn records_round_trip() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("data")).unwrap();
        let slot = ServiceDir::new(dir.path());
        assert_eq!(parked(&slot).unwrap(), None);
        park(&slot, "because").unwrap();
        assert!(slot.down().exists());
        assert_eq!(parked(&slot).unwrap().unwrap().reason, "because");
        let now = record_start(&slot).unwrap();
        assert_eq!((parked(&slot).unwrap(), since(&slot).unwrap()), (None, Some(now)));
        fs::write(slot.backoff(), "3 2026-01-01T00:00:00Z\n").unwrap();
        assert_eq!(backoff(&slot).unwrap().unwrap().count, 3);
    }
}
