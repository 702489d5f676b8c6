//! Moments by the clock that counts from the machine's boot, for what a decision depends on.
//!
//! The wall clock may be set, so that stamps of it order nothing and measure nothing: they are for people, or
//! identify something. Source: clock_gettime(2), `CLOCK_BOOTTIME`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::fsutil;

/// On macOS `CLOCK_MONOTONIC` counts while the machine sleeps, too.
#[cfg(target_os = "linux")]
const CLOCK: ClockId = ClockId::Boottime;
#[cfg(not(target_os = "linux"))]
const CLOCK: ClockId = ClockId::Monotonic;

/// A moment that can be stored. It means nothing after the next boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    boot: String,
    since_boot: Duration,
}

impl Moment {
    /// Now.
    pub fn now() -> Self {
        // A sandbox may lack the file; then a moment of an earlier boot is recognized if it seems to come.
        let boot = fsutil::read_to_string("/proc/sys/kernel/random/boot_id".as_ref());
        Self { boot: boot.unwrap_or_default().trim().to_owned(), since_boot: since_boot() }
    }

    /// The time from `earlier` to this moment; `None` if `earlier` is of another boot, or later.
    pub fn since(&self, earlier: &Self) -> Option<Duration> {
        let comparable = self.boot == earlier.boot;
        self.since_boot.checked_sub(earlier.since_boot).filter(|_| comparable)
    }

    /// The boot that the moment belongs to; empty if unknown.
    pub(crate) fn boot(&self) -> &str {
        &self.boot
    }

    /// The time from the boot to this moment.
    pub fn since_boot(&self) -> Duration {
        self.since_boot
    }

    /// The moment `time` before this one.
    #[must_use]
    pub fn earlier(&self, time: Duration) -> Self {
        Self { boot: self.boot.clone(), since_boot: self.since_boot.saturating_sub(time) }
    }
}

/// The time since the machine's boot.
pub fn since_boot() -> Duration {
    clock_gettime(CLOCK).try_into().unwrap_or_default()
}

/// How long the process `pid` has run.
pub fn age(proc: &crate::Proc, pid: u32) -> std::io::Result<Duration> {
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    let started = proc.start_time(pid)?;
    let nanos = started % per_second * 1_000_000_000 / per_second;
    let started = Duration::new(started / per_second, u32::try_from(nanos).unwrap_or_default());
    Ok(since_boot().saturating_sub(started))
}

/// `NANOSECONDS@BOOT`, without blanks.
impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.since_boot.as_nanos(), self.boot)
    }
}

/// A text that is not a moment.
#[derive(Debug, thiserror::Error)]
#[error("not a moment")]
pub struct NoMoment;

impl FromStr for Moment {
    type Err = NoMoment;

    fn from_str(text: &str) -> Result<Self, NoMoment> {
        let (nanoseconds, boot) = text.split_once('@').ok_or(NoMoment)?;
        let nanoseconds = nanoseconds.parse().map_err(|_| NoMoment)?;
        Ok(Self { boot: boot.to_owned(), since_boot: Duration::from_nanos(nanoseconds) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_of_another_boot_or_a_later_one_has_no_distance() {
        let now = Moment::now();
        let before = now.earlier(Duration::from_millis(7));
        assert_eq!(now.since(&before), Some(Duration::from_millis(7)));
        assert_eq!(before.since(&now), None);
        let text = before.to_string();
        assert_eq!(text.parse::<Moment>().unwrap(), before);
        let (count, _) = text.split_once('@').unwrap();
        let other: Moment = format!("{count}@another").parse().unwrap();
        assert_eq!(now.since(&other), None);
        for text in ["", "7", "@", "x@y", "-1@y", "2026-01-02T03:04:05Z"] {
            assert!(text.parse::<Moment>().is_err(), "{text}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_is_young() {
        let age = age(&crate::Proc::default(), std::process::id()).unwrap();
        assert!(age < Duration::from_secs(3600), "{age:?}");
    }
}
