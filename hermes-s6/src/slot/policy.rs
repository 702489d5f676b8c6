//! The restart policy: after a death, restarts the gateway with a delay, or parks it.
//!
//! s6 restarts; Hermes decides. `finish` runs the hidden command `gateway after-death`, which ends what the dead
//! gateway left behind, waits for the delay and returns the exit code of `finish`: if that is 125, s6-supervise leaves the service down
//! (`servicedir.html`).

use std::io;
use std::time::{Duration, Instant};

use hermes_core::events::{Recorder, What};
use hermes_core::restart::{EXIT_RESTART, WINDOW, reason_to_park};
use hermes_core::status::{Backoff, Exit, Parked};
use hermes_core::{RootHome, fsutil};
use jiff::Timestamp;

use crate::protocol::rewritten;
use crate::slot::deaths::{self, Ending, History, Start};
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
    /// A gateway that asks for a restart after a shorter run waits as after a death.
    pub hasty: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            first_delay: Duration::from_secs(1),
            longest_delay: Duration::from_secs(30),
            healthy: Duration::from_secs(60),
            hasty: Duration::from_secs(10),
        }
    }
}

impl Policy {
    /// The same policy with every delay and `hasty` divided by `factor`, for tests.
    pub fn faster(self, factor: u32) -> Self {
        Self {
            first_delay: self.first_delay / factor,
            longest_delay: self.longest_delay / factor,
            hasty: self.hasty / factor,
            ..self
        }
    }

    /// Decides what follows the last ending of `history`. `fault` is the reason that the gateway recorded, if
    /// any.
    pub fn decide(&self, history: &History, fault: Option<String>) -> Verdict {
        let Some(last) = history.endings.last() else {
            return Verdict::Restart { after: Duration::ZERO, count: 0 };
        };
        let crashes = history.endings.iter().filter(|ending| !asks_for_restart(ending));
        let recent = crashes.filter(|ending| last.at.saturating_sub(ending.at) <= WINDOW).count();
        match reason_to_park(last.exit, recent, fault) {
            Some(reason) => Verdict::Park(reason),
            None => self.restart(history),
        }
    }

    /// The restart after the last ending, and the number of deaths since the last run that was at least
    /// `healthy` long.
    fn restart(&self, history: &History) -> Verdict {
        let mut begun = history.begun;
        let (mut count, mut after) = (0, Duration::ZERO);
        for ending in &history.endings {
            let ran = begun.map(|begun| ending.at.saturating_sub(begun));
            if ran.is_some_and(|ran| ran >= self.healthy) {
                count = 0;
            }
            let hasty = ran.is_some_and(|ran| ran < self.hasty);
            after = match asks_for_restart(ending) && !hasty {
                true => Duration::ZERO,
                false => {
                    count += 1;
                    self.delay(count)
                }
            };
            begun = Some(ending.at + after);
        }
        Verdict::Restart { after, count }
    }

    fn delay(&self, count: u32) -> Duration {
        let doubled = 1_u32.checked_shl(count.saturating_sub(1)).unwrap_or(u32::MAX);
        self.first_delay.saturating_mul(doubled).min(self.longest_delay)
    }
}

fn asks_for_restart(ending: &Ending) -> bool {
    ending.exit == Exit::Code(EXIT_RESTART)
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

/// Records the last death of the service in `slot`, calls `end_leftovers`, decides what follows, records the
/// decision, blocks for the delay, and returns the exit code for `finish`. The wait ends early when an operator stops
/// or starts the service; it may hold one of the locks of `root` for waits. Death and decision are events, unless an operator requested the end. A gateway that was
/// `stopped_by` another program's command stays down, for this reason.
pub fn after_death(
    root: &RootHome,
    slot: &ServiceDir,
    policy: &Policy,
    fault: Option<String>,
    events: &Recorder,
    stopped_by: Option<&str>,
    end_leftovers: impl FnOnce(),
) -> io::Result<u8> {
    let wanted = slot.record()?.want_up;
    let (deaths, written) = deaths::record_last(slot, !wanted || stopped_by.is_some())?;
    warn_if_unrecorded(written);
    end_leftovers();
    // It may have been stopped meanwhile.
    if !wanted || !slot.record()?.want_up {
        return Ok(0);
    }
    if let Some(command) = stopped_by {
        events.record(What::Stopped, command);
        warn_if_unrecorded(hold(slot, command).and_then(|()| slot.write(&slot.down(), b"")));
        return Ok(EXIT_PARK);
    }
    if let Some(last) = deaths.last() {
        events.record_death(last.death.exit);
    }
    let start = deaths::last_start(slot)?;
    match policy.decide(&deaths::history(&deaths, start.as_ref()), fault) {
        Verdict::Park(reason) => {
            warn_if_unrecorded(park(slot, &reason));
            events.record(What::Parked, reason);
            Ok(EXIT_PARK)
        }
        Verdict::Restart { after, count } => {
            if !after.is_zero() {
                let seconds = after.as_secs_f32();
                events
                    .record(What::BackedOff, format!("{seconds} s, after death {count} in a row"));
                back_off(root, slot, after, count, start.as_ref())?;
            }
            Ok(0)
        }
    }
}

/// Warns of a decision that could not be recorded. It is carried out all the same, so that a full disk causes
/// no crash loop.
fn warn_if_unrecorded(written: io::Result<()>) {
    if let Err(error) = written {
        log::warn!("failed to record the decision about this death: {error}");
    }
}

fn back_off(
    root: &RootHome,
    slot: &ServiceDir,
    after: Duration,
    count: u32,
    last_start: Option<&Start>,
) -> io::Result<()> {
    let until = Timestamp::now() + after;
    let text = format!("{count} {until}\n");
    warn_if_unrecorded(slot.write(&slot.backoff(), text.as_bytes()));
    let records = [slot.status(), slot.since()];
    let directories = records.each_ref().map(|record| record.parent().unwrap_or(slot.path()));
    rewritten::until(root, directories, Instant::now() + after, || {
        Ok(!slot.record()?.want_up || deaths::last_start(slot)?.as_ref() != last_start)
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

/// Records that an operator starts the service in `slot`, which is no longer parked.
pub(crate) fn record_start(slot: &ServiceDir) -> io::Result<Start> {
    release(slot)?;
    deaths::record_start(slot)
}

/// Records time and reason in `data/parked` and creates the `down` file. `finish` must then exit with
/// [`EXIT_PARK`].
fn park(slot: &ServiceDir, reason: &str) -> io::Result<()> {
    let text = format!("{}\n{reason}\n", Timestamp::now());
    slot.write(&slot.parked(), text.as_bytes())?;
    slot.write(&slot.down(), b"")
}

/// Records that an operator stopped the service in `slot`, for the reconciler and for the status, which shows `why`.
/// Without it the file is empty: a full disk takes it.
pub(crate) fn hold(slot: &ServiceDir, why: &str) -> io::Result<()> {
    slot.write(&slot.held(), why.as_bytes())
}

/// Why an operator's stop holds the service in `slot` down; `None` if it does not.
pub(crate) fn held(slot: &ServiceDir) -> io::Result<Option<String>> {
    let why = fsutil::read_if_there(&slot.held())?;
    Ok(why.map(|why| String::from_utf8_lossy(&why).into_owned()))
}

/// Removes the records that the service in `slot` is parked and held down. Idempotent.
pub(crate) fn release(slot: &ServiceDir) -> io::Result<()> {
    [slot.parked(), slot.held()].iter().try_for_each(|path| {
        fsutil::remove_file_if_there(path)?;
        Ok(())
    })
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

    fn at(second: u64, exit: Exit) -> Ending {
        Ending { at: Duration::from_secs(second), exit }
    }

    /// Endings at `seconds`, all with the same exit, after a start at 0.
    fn endings(exit: Exit, seconds: &[u64]) -> History {
        let endings = seconds.iter().map(|second| at(*second, exit)).collect();
        History { begun: Some(Duration::ZERO), endings }
    }

    fn decide(exit: Exit, seconds: &[u64]) -> Verdict {
        Policy::default().decide(&endings(exit, seconds), None)
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
        let verdict = Policy::default().decide(&endings(Exit::Code(78), &[0]), fault);
        assert_eq!(verdict, Verdict::Park("no port".into()));
    }

    const ASKS: Exit = Exit::Code(75);

    #[test]
    fn exit_75_restarts_without_delay_and_never_parks() {
        assert_eq!(decide(ASKS, &[10]), restart(0, 0));
        let often: Vec<_> = (1..30).map(|i| i * 10).collect();
        assert_eq!(decide(ASKS, &often), restart(0, 0));
        // Nobody knows how long the gateway ran.
        let unknown = History { begun: None, ..endings(ASKS, &[3]) };
        assert_eq!(Policy::default().decide(&unknown, None), restart(0, 0));
    }

    #[test]
    fn who_asks_for_a_restart_too_early_waits_as_after_a_death() {
        assert_eq!(decide(ASKS, &[9]), restart(1, 1));
        assert_eq!(decide(ASKS, &[9, 11]), restart(2, 2));
        assert_eq!(decide(ASKS, &[9, 20]), restart(0, 1), "10 s after the wait of 1 s");
        let often = [0, 2, 5, 10, 19, 36, 67, 98, 129, 160, 191, 222];
        assert_eq!(decide(ASKS, &often), restart(30, 12), "and is never parked");
    }

    #[test]
    fn exit_75_is_no_death_among_deaths() {
        let mut history = endings(CRASH, &(0..9).map(|i| i * 40).collect::<Vec<_>>());
        history.endings.extend((0..5).map(|i| at(400 + i, ASKS)));
        assert!(matches!(Policy::default().decide(&history, None), Verdict::Restart { .. }));
        history.endings.push(at(420, CRASH));
        assert!(matches!(Policy::default().decide(&history, None), Verdict::Park(_)));
        history.endings.push(at(421, ASKS));
        assert!(matches!(Policy::default().decide(&history, None), Verdict::Restart { .. }));
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
        hold(&slot, "").unwrap();
        assert_eq!(held(&slot).unwrap().as_deref(), Some(""));
        record_start(&slot).unwrap();
        assert_eq!(parked(&slot).unwrap(), None);
        assert!(!slot.held().exists());
        fs::write(slot.backoff(), "3 2026-01-01T00:00:00Z\n").unwrap();
        assert_eq!(backoff(&slot).unwrap().unwrap().count, 3);
    }
}
