//! The delays of restarts, and the decision after a death: a pure function of what a gateway has lived through.

use std::time::Duration;

use super::{EXIT_RESTART, WINDOW, reason_to_park};
use crate::status::Exit;

/// An end of a gateway that the policy counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ending {
    /// The time since an origin that all endings of one service share.
    pub at: Duration,
    /// How it ended.
    pub exit: Exit,
}

/// What a service has lived through since the operator's last start.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct History {
    /// When the first life began, if that is known.
    pub begun: Option<Duration>,
    /// The endings that no operator requested, oldest first.
    pub endings: Vec<Ending>,
}

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

#[cfg(test)]
mod tests {
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
}
