//! The differences that were seen, since when, and what became of mending them. Pure: the time is given.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use super::{SETTLE, Subject, subject_of};
use crate::reconcile::Action;

/// The longest pause before a mend that failed is tried again.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// The result of a mend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mended {
    /// It was mended.
    Done,
    /// There was nothing to mend any more.
    Unneeded,
    /// A command is changing the profile.
    Busy,
    /// The error.
    Failed(String),
}

impl Mended {
    /// The error, if it failed.
    pub(super) fn error(self) -> Option<String> {
        match self {
            Self::Failed(error) => Some(error),
            Self::Done | Self::Unneeded | Self::Busy => None,
        }
    }
}

/// All differences, by the operation that mends them.
#[derive(Debug, Default)]
pub(super) struct Differences(BTreeMap<String, Difference>);

#[derive(Debug)]
struct Difference {
    action: Action,
    /// Since when it lasts, without a command on its profile and without a try.
    since: Instant,
    /// How long it must last.
    pause: Duration,
    is_mending: bool,
    /// The error of the last try.
    error: Option<String>,
}

impl Differences {
    /// Takes all actions that are needed now. Returns each that is not being mended, with the time at which it is
    /// due, in the given order.
    pub(super) fn update(&mut self, needed: Vec<Action>, now: Instant) -> Vec<(Action, Instant)> {
        let operations: BTreeSet<_> = needed.iter().map(Action::operation).collect();
        self.0.retain(|operation, difference| {
            difference.is_mending || operations.contains(operation)
        });
        let mut due = Vec::new();
        for action in needed {
            let difference = self.0.entry(action.operation()).or_insert_with(|| Difference {
                action: action.clone(),
                since: now,
                pause: SETTLE,
                is_mending: false,
                error: None,
            });
            if !difference.is_mending {
                due.push((action, difference.since + difference.pause));
            }
        }
        due
    }

    /// Forgets what differed in `subject`: it differs no longer.
    pub(super) fn forget(&mut self, subject: &Subject) {
        self.0.retain(|_, difference| {
            difference.is_mending || subject_of(&difference.action) != *subject
        });
    }

    /// The leftovers that are to be cleared.
    pub(super) fn leftovers(&self) -> impl Iterator<Item = &Path> {
        self.0.values().filter_map(|difference| match &difference.action {
            Action::Clear { path } => Some(path.as_path()),
            _ => None,
        })
    }

    /// Notes that `action` is being mended. `false` if it must wait: another action on its profile, or `limit`
    /// actions at all, are being mended.
    pub(super) fn begin(&mut self, action: &Action, limit: usize) -> bool {
        let mut mending = self.0.values().filter(|difference| difference.is_mending);
        let of_profile = |difference: &Difference| {
            action.profile().is_some() && difference.action.profile() == action.profile()
        };
        if mending.clone().count() >= limit || mending.any(of_profile) {
            return false;
        }
        let difference = self.0.get_mut(&action.operation());
        difference.map(|difference| difference.is_mending = true).is_some()
    }

    /// Notes the result of a mend. Whether to report it: an error that repeats itself is no news.
    pub(super) fn end(&mut self, action: &Action, mended: &Mended, now: Instant) -> bool {
        let operation = action.operation();
        let Some(difference) = self.0.get_mut(&operation) else { return false };
        difference.is_mending = false;
        difference.since = now;
        match mended {
            Mended::Busy => false,
            Mended::Done | Mended::Unneeded => {
                self.0.remove(&operation);
                *mended == Mended::Done
            }
            Mended::Failed(error) => {
                difference.pause = (difference.pause * 2).min(LONGEST_PAUSE);
                difference.error.replace(error.clone()).as_ref() != Some(error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(name: &str) -> Action {
        Action::Start { profile: name.parse().unwrap() }
    }

    fn sweep(name: &str) -> Action {
        Action::Sweep { profile: name.parse().unwrap() }
    }

    /// The actions that are due at `now`.
    fn due(differences: &mut Differences, needed: &[Action], now: Instant) -> Vec<Action> {
        let all = differences.update(needed.to_vec(), now);
        all.into_iter().filter(|(_, at)| *at <= now).map(|(action, _)| action).collect()
    }

    #[test]
    fn what_lasts_is_due_and_what_passes_is_forgotten() {
        let (mut differences, t) = (Differences::default(), Instant::now());
        let both = [start("a"), start("b")];
        assert_eq!(due(&mut differences, &both, t), []);
        assert_eq!(due(&mut differences, &[start("b")], t + SETTLE / 2), []);
        assert_eq!(due(&mut differences, &both, t + SETTLE), [start("b")]);
        differences.forget(&Some("b".parse().unwrap()));
        assert_eq!(due(&mut differences, &both, t + SETTLE * 3 / 2), []);
        assert_eq!(due(&mut differences, &both, t + SETTLE * 2), [start("a")]);
    }

    #[test]
    fn a_rename_is_not_forgotten_with_its_profile() {
        let (mut differences, t) = (Differences::default(), Instant::now());
        let profile = "a".parse().unwrap();
        let rename = [Action::FinishRename { profile, detail: String::new() }];
        assert_eq!(due(&mut differences, &rename, t), []);
        differences.forget(&Some("a".parse().unwrap()));
        assert_eq!(due(&mut differences, &rename, t + SETTLE), rename);
    }

    #[test]
    fn a_profile_has_one_mend_at_a_time() {
        let (mut differences, t) = (Differences::default(), Instant::now());
        let needed = [sweep("a"), start("a"), start("b"), start("c")];
        differences.update(needed.to_vec(), t);
        let begun = needed.each_ref().map(|action| differences.begin(action, 2));
        assert_eq!(begun, [true, false, true, false], "of a profile, and of all");
        assert_eq!(due(&mut differences, &needed, t + SETTLE), [start("a"), start("c")]);
        assert!(differences.end(&sweep("a"), &Mended::Done, t + SETTLE));
        assert!(differences.begin(&start("a"), 2));
    }

    #[test]
    fn a_failure_is_told_once_and_tried_again_ever_later() {
        let (mut differences, t) = (Differences::default(), Instant::now());
        let (needed, mut now) = ([start("a")], t);
        differences.update(needed.to_vec(), t);
        for (error, is_news, pause) in [("x", true, 2), ("x", false, 4), ("y", true, 8)] {
            assert!(differences.begin(&needed[0], 1));
            now += SETTLE;
            let mended = Mended::Failed(error.to_owned());
            assert_eq!(differences.end(&needed[0], &mended, now), is_news, "{error}");
            assert_eq!(due(&mut differences, &needed, now + SETTLE * pause * 99 / 100), []);
            now += SETTLE * pause;
            assert_eq!(due(&mut differences, &needed, now), needed);
        }
        differences.begin(&needed[0], 1);
        assert!(!differences.end(&needed[0], &Mended::Busy, now), "no news, and no failure");
        let pause = SETTLE * 8;
        assert_eq!(due(&mut differences, &needed, now + pause), needed);
    }
}
