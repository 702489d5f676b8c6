//! What follows a death: whether the gateway is started again, and when, or parked.
//!
//! The restarting is s6's; the decision is ours. `finish` asks for it by way of a hidden command, which
//! waits as long as the gateway is to wait and exits with what `finish` exits with: s6-supervise leaves
//! a service down whose `finish` exits with 125 (`servicedir.html`).

use std::io;
use std::time::{Duration, Instant};

use hermes_core::fsutil;
use hermes_core::restart::{DEATHS, EXIT_CONFIG, EXIT_RESTART, WINDOW, crash_loop, hopeless};
use hermes_core::status::{Backoff, Exit, Parked};
use jiff::Timestamp;

use crate::protocol::record::Death;
use crate::slot::layout::ServiceDir;
use hermes_core::wait::{self, Poll};

/// The exit code of `finish` that leaves the service down for good.
pub const EXIT_PARK: u8 = 125;

/// How restarts are delayed and when they end.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// The delay after a first death; it doubles with each that follows.
    pub first_delay: Duration,
    /// The longest delay.
    pub longest_delay: Duration,
    /// After this long up, the next death is a first one again.
    pub healthy: Duration,
    /// Deaths longer ago than this are not counted for parking.
    pub window: Duration,
    /// How many deaths within the window park the gateway.
    pub deaths: usize,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            first_delay: Duration::from_secs(1),
            longest_delay: Duration::from_secs(30),
            healthy: Duration::from_secs(60),
            window: WINDOW,
            deaths: DEATHS,
        }
    }
}

impl Policy {
    /// The same policy with every delay divided by `factor`, for tests that can't wait.
    pub fn faster(self, factor: u32) -> Self {
        Self {
            first_delay: self.first_delay / factor,
            longest_delay: self.longest_delay / factor,
            ..self
        }
    }

    /// Decides what follows the last of `deaths` (oldest first), of which those before `since`, the
    /// operator's last start, don't count. `fault` is what the gateway said of it, if anything.
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
        if last.exit == Exit::Code(EXIT_CONFIG) {
            return Verdict::Park(hopeless(fault));
        }
        let recent = |death: &&&Death| elapsed(death.at, last.at) <= self.window;
        let count = deaths.iter().filter(recent).count();
        if count >= self.deaths {
            return Verdict::Park(crash_loop(count, self.window, last.exit, fault));
        }
        let count = self.in_a_row(&deaths);
        let after = match last.exit {
            Exit::Code(EXIT_RESTART) => Duration::ZERO,
            _ => self.delay(count),
        };
        Verdict::Restart { after, count }
    }

    /// How many of the last deaths came one after the other without a healthy time between them.
    fn in_a_row(&self, deaths: &[&Death]) -> u32 {
        let mut count = 0;
        let mut before: Option<&Death> = None;
        for death in deaths {
            // What passed between two deaths is the delay after the first, and the life that ended.
            let lived = before.map(|before| elapsed(before.at, death.at));
            if lived.is_some_and(|lived| lived.saturating_sub(self.delay(count)) >= self.healthy) {
                count = 0;
            }
            count += 1;
            before = Some(death);
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

/// What follows a death.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The gateway starts again.
    Restart {
        /// When.
        after: Duration,
        /// How many deaths in a row this was.
        count: u32,
    },
    /// The gateway stays down, for this reason.
    Park(String),
}

/// Runs in `finish` of the service in `slot`: decides, waits, and answers what `finish` exits with. The
/// wait ends at once when the service is not wanted up any more, or an operator starts it.
pub fn after_death(slot: &ServiceDir, policy: &Policy, fault: Option<String>) -> io::Result<u8> {
    if !slot.record()?.want_up {
        noted(note_asked_for(slot));
        return Ok(0);
    }
    let since = since(slot)?;
    match policy.decide(&crashes(slot, slot.deaths()?)?, since, fault) {
        Verdict::Park(reason) => {
            noted(park(slot, &reason));
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

/// Those of `deaths`, which the supervisor of `slot` has seen, that nobody asked for.
pub fn crashes(slot: &ServiceDir, mut deaths: Vec<Death>) -> io::Result<Vec<Death>> {
    if !deaths.is_empty() {
        let asked_for = asked_for(slot)?;
        deaths.retain(|death| !asked_for.contains(&death.at));
    }
    Ok(deaths)
}

/// Notes that the last death was asked for; s6's tally does not tell.
fn note_asked_for(slot: &ServiceDir) -> io::Result<()> {
    let deaths = slot.deaths()?;
    let before = asked_for(slot)?;
    // Those that the tally has forgotten are forgotten here too.
    let kept = deaths.iter().map(|death| death.at).filter(|at| before.contains(at));
    let last = deaths.last().map(|death| death.at);
    let lines = kept.chain(last).map(|at| format!("{at}\n"));
    slot.write(&slot.asked_for(), lines.collect::<String>().as_bytes())
}

/// When those deaths were that somebody asked for.
fn asked_for(slot: &ServiceDir) -> io::Result<Vec<Timestamp>> {
    let bytes = fsutil::read_if_there(&slot.asked_for())?.unwrap_or_default();
    Ok(String::from_utf8_lossy(&bytes).lines().filter_map(|line| line.parse().ok()).collect())
}

/// What can't be written down is done all the same: a full disk starts no crash loop.
fn noted(written: io::Result<()>) {
    if let Err(error) = written {
        log::warn!("what follows this death can't be written down: {error}");
    }
}

fn back_off(
    slot: &ServiceDir,
    after: Duration,
    count: u32,
    started: Option<Timestamp>,
) -> io::Result<()> {
    let until = Timestamp::now() + after;
    let text = format!("{count} {until}\n");
    noted(slot.write(&slot.backoff(), text.as_bytes()));
    wait::until(Instant::now() + after, || {
        let asked = !slot.record()?.want_up || since(slot)? != started;
        Ok::<_, io::Error>(if asked { Poll::Done(()) } else { Poll::Wait })
    })?;
    fsutil::remove_file_if_there(&slot.backoff()).map(drop)
}

/// How long the service in `slot` waits to be started again, if it does.
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

/// Records that an operator starts the service in `slot`: what it died of before counts no more.
pub fn started(slot: &ServiceDir) -> io::Result<Timestamp> {
    unpark(slot)?;
    let now = Timestamp::now();
    slot.write(&slot.since(), format!("{now}\n").as_bytes())?;
    Ok(now)
}

fn since(slot: &ServiceDir) -> io::Result<Option<Timestamp>> {
    let bytes = fsutil::read_if_there(&slot.since())?.unwrap_or_default();
    Ok(String::from_utf8_lossy(&bytes).trim().parse().ok())
}

/// Leaves the service in `slot` down, with reason and time in `data/parked`. `finish` then exits
/// with [`EXIT_PARK`].
fn park(slot: &ServiceDir, reason: &str) -> io::Result<()> {
    let text = format!("{}\n{reason}\n", Timestamp::now());
    slot.write(&slot.parked(), text.as_bytes())?;
    slot.write(&slot.down(), b"")
}

/// Forgets why the service in `slot` was parked. Idempotent.
pub fn unpark(slot: &ServiceDir) -> io::Result<()> {
    fsutil::remove_file_if_there(&slot.parked()).map(drop)
}

/// Why the service in `slot` is parked, if it is.
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

    /// Deaths at these seconds, all with this exit.
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
    fn wrong_configuration_parks_at_once_and_in_its_own_words() {
        let Verdict::Park(reason) = decide(Exit::Code(78), &[0]) else { panic!("not parked") };
        assert!(reason.contains("exit 78"), "{reason}");
        let fault = Some("no port".to_owned());
        let verdict = Policy::default().decide(&deaths(Exit::Code(78), &[0]), None, fault);
        assert_eq!(verdict, Verdict::Park("no port".into()));
    }

    #[test]
    fn a_restart_that_the_gateway_asked_for_comes_at_once() {
        assert_eq!(decide(Exit::Code(75), &[0]), restart(0, 1));
    }

    #[test]
    fn deaths_before_the_operators_last_start_do_not_count() {
        let seconds: Vec<_> = (0..20).collect();
        let since = Timestamp::from_second(19).unwrap();
        let verdict = Policy::default().decide(&deaths(CRASH, &seconds), Some(since), None);
        assert_eq!(verdict, restart(1, 1));
    }

    #[test]
    fn what_is_recorded_is_read() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("data")).unwrap();
        let slot = ServiceDir::new(dir.path());
        assert_eq!(parked(&slot).unwrap(), None);
        park(&slot, "because").unwrap();
        assert!(slot.down().exists());
        assert_eq!(parked(&slot).unwrap().unwrap().reason, "because");
        let now = started(&slot).unwrap();
        assert_eq!((parked(&slot).unwrap(), since(&slot).unwrap()), (None, Some(now)));
        fs::write(slot.backoff(), "3 2026-01-01T00:00:00Z\n").unwrap();
        assert_eq!(backoff(&slot).unwrap().unwrap().count, 3);
    }
}
