//! The restart policy: after a death, restarts the gateway with a delay, or parks it.
//!
//! s6 restarts; Hermes decides. `finish` runs the hidden command `gateway after-death`, which ends what the dead
//! gateway left behind, waits for the delay and returns the exit code of `finish`: if that is 125, s6-supervise leaves the service down
//! (`servicedir.html`).

use std::io;
use std::time::{Duration, Instant};

use hermes_core::events::{Recorder, What};
use hermes_core::restart::{Policy, Verdict};
use hermes_core::status::{Backoff, Parked};
use hermes_core::{RootHome, fsutil};
use jiff::Timestamp;

use crate::protocol::rewritten;
use crate::slot::deaths::{self, Start};
use crate::slot::layout::ServiceDir;

/// The exit code of `finish` after which s6-supervise leaves the service down.
pub const EXIT_PARK: u8 = 125;

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
