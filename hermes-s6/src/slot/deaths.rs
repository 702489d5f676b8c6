//! The log of a service's deaths, and the operator's last start.
//!
//! s6-supervise's death tally has wall-clock stamps, which the machine's administrator may set back. Here they
//! only identify a death. `data/deaths` has the moment of each by the clock since boot, and whether an operator
//! requested it; `data/since` has the last death that the last start saw.

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use hermes_core::clock::Moment;
use hermes_core::fsutil;
use hermes_core::restart::{EXIT_RESTART, Ending, History};
use hermes_core::status::Exit;
use jiff::Timestamp;

use crate::protocol::record::Death;
use crate::slot::layout::ServiceDir;

/// The mark of a requested death in the log.
const REQUESTED: &str = "requested";

/// One death, as the tally and the log have it.
#[derive(Debug, Clone)]
pub(crate) struct LoggedDeath {
    pub(crate) death: Death,
    moment: Moment,
    requested: bool,
}

impl LoggedDeath {
    /// Whether it is a crash: no operator requested the end, and the gateway did not ask for a restart.
    pub(crate) fn is_crash(&self) -> bool {
        !self.requested && self.death.exit != Exit::Code(EXIT_RESTART)
    }

    /// Whether it was at most `window` before `now`. A death before the last boot was not.
    pub(crate) fn is_within(&self, window: Duration, now: &Moment) -> bool {
        now.since(&self.moment).is_some_and(|age| age <= window)
    }

    fn line(&self) -> String {
        let end = if self.requested { REQUESTED } else { "-" };
        format!("{} {} {end}\n", self.death.at, self.moment)
    }
}

/// An operator's start of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Start {
    moment: Moment,
    /// The last death before it.
    seen: Option<Timestamp>,
}

impl Start {
    /// Whether `death` is not the last one before this start.
    pub(crate) fn precedes(&self, death: &Death) -> bool {
        self.seen != Some(death.at)
    }
}

/// `deaths`, the tally of the service in `slot`, with what the log has about each.
pub(crate) fn of(slot: &ServiceDir, deaths: Vec<Death>) -> io::Result<Vec<LoggedDeath>> {
    if deaths.is_empty() {
        return Ok(Vec::new());
    }
    let bytes = fsutil::read_if_there(&slot.deaths_log())?.unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let logged: HashMap<_, _> = text.lines().filter_map(parse).collect();
    let now = Moment::now();
    let of = |death: Death| match logged.get(&death.at) {
        Some((moment, requested)) => {
            LoggedDeath { death, moment: moment.clone(), requested: *requested }
        }
        // It has just happened, or the log was not written then.
        None => LoggedDeath { death, moment: now.clone(), requested: false },
    };
    Ok(deaths.into_iter().map(of).collect())
}

/// The identity of a death in a line of the log, its moment, and whether it was requested.
fn parse(line: &str) -> Option<(Timestamp, (Moment, bool))> {
    let mut words = line.split(' ');
    let at = words.next()?.parse().ok()?;
    let moment = words.next()?.parse().ok()?;
    Some((at, (moment, words.next()? == REQUESTED)))
}

/// Adds the last death of the service in `slot` to the log, and drops those that have left the tally. Also
/// returns the error if the log could not be written.
pub(crate) fn record_last(
    slot: &ServiceDir,
    requested: bool,
) -> io::Result<(Vec<LoggedDeath>, io::Result<()>)> {
    let mut deaths = of(slot, slot.deaths()?)?;
    if let Some(last) = deaths.last_mut() {
        last.requested = requested;
    }
    let lines: String = deaths.iter().map(LoggedDeath::line).collect();
    let written = slot.write(&slot.deaths_log(), lines.as_bytes());
    Ok((deaths, written))
}

/// Records that an operator starts the service in `slot`, so that earlier deaths no longer count. On a full disk,
/// which takes no record, they count.
pub(crate) fn record_start(slot: &ServiceDir) -> io::Result<Start> {
    let seen = slot.deaths()?.last().map(|death| death.at);
    let start = Start { moment: Moment::now(), seen };
    let seen = start.seen.map_or_else(|| "-".to_owned(), |at| at.to_string());
    if let Err(error) = slot.write(&slot.since(), format!("{} {seen}\n", start.moment).as_bytes()) {
        log::warn!("failed to record the start, so earlier deaths count: {error}");
    }
    Ok(start)
}

/// The operator's last start of the service in `slot`.
pub(crate) fn last_start(slot: &ServiceDir) -> io::Result<Option<Start>> {
    let bytes = fsutil::read_if_there(&slot.since())?.unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let start = text.trim().split_once(' ').and_then(|(moment, seen)| {
        Some(Start { moment: moment.parse().ok()?, seen: seen.parse().ok() })
    });
    Ok(start)
}

/// The history of a service after the last of its `deaths` (oldest first), without those that `start` saw. Deaths before
/// the machine's last boot don't count.
pub(crate) fn history(deaths: &[LoggedDeath], start: Option<&Start>) -> History {
    let now = Moment::now();
    let seen = start.and_then(|start| deaths.iter().rposition(|one| !start.precedes(&one.death)));
    let counted = deaths.iter().skip(seen.map_or(0, |seen| seen + 1));
    let counted = counted.filter(|one| !one.requested && now.since(&one.moment).is_some());
    let ending = |one: &LoggedDeath| Ending { at: one.moment.since_boot(), exit: one.death.exit };
    let start = start.filter(|start| now.since(&start.moment).is_some());
    History {
        begun: start.map(|start| start.moment.since_boot()),
        endings: counted.map(ending).collect(),
    }
}

#[cfg(test)]
mod tests {
    use fs_err as fs;

    use super::*;

    fn slot(dir: &tempfile::TempDir) -> ServiceDir {
        for part in ["data", "supervise"] {
            fs::create_dir_all(dir.path().join("slot").join(part)).unwrap();
        }
        ServiceDir::new(dir.path().join("slot"))
    }

    /// A tally with these wall-clock times, in this order.
    fn tally(slot: &ServiceDir, seconds: &[u64]) {
        let death = |second: &u64| {
            [&((1_u64 << 62) + 37 + second).to_be_bytes()[..], &[0; 4], &[1, 0]].concat()
        };
        let bytes: Vec<u8> = seconds.iter().flat_map(death).collect();
        fs::write(slot.death_tally(), bytes).unwrap();
    }

    fn count(slot: &ServiceDir) -> usize {
        let deaths = of(slot, slot.deaths().unwrap()).unwrap();
        history(&deaths, last_start(slot).unwrap().as_ref()).endings.len()
    }

    #[test]
    fn deaths_after_the_start_count_whatever_their_stamps() {
        let dir = tempfile::tempdir().unwrap();
        let slot = slot(&dir);
        tally(&slot, &[5000, 6000]);
        assert_eq!(count(&slot), 2);
        let start = record_start(&slot).unwrap();
        assert_eq!(last_start(&slot).unwrap().unwrap(), start);
        assert_eq!(count(&slot), 0);
        // The clock was set back, then forward.
        tally(&slot, &[5000, 6000, 10, 9000]);
        assert_eq!(count(&slot), 2);
        assert!(start.precedes(slot.deaths().unwrap().last().unwrap()));
        // The death that it saw has left the tally.
        tally(&slot, &[10, 9000, 11]);
        assert_eq!(count(&slot), 3);
        record_last(&slot, true).unwrap().1.unwrap();
        assert_eq!(count(&slot), 2, "the last one was requested");
    }

    #[test]
    fn a_death_before_the_boot_is_old() {
        let dir = tempfile::tempdir().unwrap();
        let slot = slot(&dir);
        tally(&slot, &[1, 2]);
        record_last(&slot, false).unwrap().1.unwrap();
        assert_eq!(count(&slot), 2);
        let text = fs::read_to_string(slot.deaths_log()).unwrap();
        let (first, rest) = text.split_once('\n').unwrap();
        let (moment, _) = first.split_once('@').unwrap();
        fs::write(slot.deaths_log(), format!("{moment}@another -\n{rest}")).unwrap();
        assert_eq!(count(&slot), 1);
        let deaths = of(&slot, slot.deaths().unwrap()).unwrap();
        let hour = Duration::from_secs(3600);
        let within = |one: &LoggedDeath| one.is_within(hour, &Moment::now());
        assert_eq!(deaths.iter().map(within).collect::<Vec<_>>(), [false, true]);
    }
}
