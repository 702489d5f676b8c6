//! The processor time of the processes of a home.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::testbed::Home;
use crate::processes::{self, Process};
use crate::wait;

/// The pause between two checks of a wait, which itself takes processor time.
const POLL: Duration = Duration::from_millis(100);

/// The part of a core, in percent, that the processes of `home` take during `window`, with their children that have ended
/// and without those that `spared` accepts.
pub(super) fn share(
    home: &Home,
    window: Duration,
    spared: impl Fn(&Process) -> bool,
) -> Result<f64> {
    let (start, before) = (Instant::now(), seconds(home, &spared)?);
    let end = || Ok(start.elapsed() >= window);
    wait::until(2 * window, POLL, "the end of the window", end)?;
    let used = seconds(home, spared)? - before;
    Ok(100.0 * used / start.elapsed().as_secs_f64())
}

/// The processor time so far, in seconds. The time of a child counts for its parent once that has waited for it.
fn seconds(home: &Home, spared: impl Fn(&Process) -> bool) -> Result<f64> {
    let all = processes::mentioning(&home.path)?;
    ensure!(!all.is_empty(), "no process of {} runs", home.path.display());
    let ticks = |process: Process| {
        // It may have ended meanwhile.
        let text = fs::read_to_string(format!("/proc/{}/stat", process.pid)).ok()?;
        Some(ticks(&text).with_context(|| format!("unknown form of `stat`: {text}")))
    };
    let counted = all.into_iter().filter(|process| !spared(process));
    let ticks: u64 = counted.filter_map(ticks).sum::<Result<_>>()?;
    #[expect(clippy::cast_precision_loss, reason = "a number of ticks")]
    Ok(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// The sum of `utime`, `stime`, `cutime` and `cstime` of proc_pid_stat(5).
fn ticks(stat: &str) -> Option<u64> {
    // The name before it may contain anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let times: Vec<_> = fields.split_whitespace().skip(11).take(4).collect();
    (times.len() == 4)
        .then(|| times.iter().map(|time| time.parse::<u64>()).sum::<Result<_, _>>().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_stand_behind_any_name() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 100 200 0 0 1 20 300 4000 20 0 1 0 55 1 2";
        assert_eq!(ticks(stat), Some(4321));
        assert_eq!(ticks("7 (a) S 1"), None);
    }

    #[test]
    fn an_own_stat_can_be_read() {
        let stat = fs::read_to_string("/proc/self/stat").unwrap();
        ticks(&stat).unwrap();
    }
}
