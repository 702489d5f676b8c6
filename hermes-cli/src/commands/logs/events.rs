//! `--events`: what happened to the gateways, between the lines of their logs.

use std::collections::VecDeque;

use hermes_core::ProfileName;
use hermes_core::events::{Event, Follow, Journal};
use hermes_core::log::Selection;
use jiff::Timestamp;

use crate::app::App;
use crate::commands::distant_events::DistantEvents;
use crate::commands::events::unreadable;
use crate::error::CliError;

/// The events that are still to be printed.
pub(super) struct Events {
    journal: Follow,
    due: VecDeque<Event>,
    selection: Selection,
    /// Whether a line or an event was printed.
    begun: bool,
}

impl Events {
    /// The events of `names` in the selected time. With a number of last lines, those since the first line; without
    /// a line, as many events. Reads nothing yet, and has the journal brought up to date.
    pub(super) fn new(app: &App, names: Vec<ProfileName>, selection: &Selection) -> Self {
        DistantEvents::record(app);
        let journal = Follow::new(Journal::new(app.root()), names);
        let selection = selection.clone();
        Self { journal, due: VecDeque::new(), begun: selection.last.is_none(), selection }
    }

    /// The journal, to wait for its next event.
    pub(super) fn journal(&mut self) -> &mut Follow {
        &mut self.journal
    }

    /// Takes in what has happened since the last call. Does not block.
    pub(super) fn read(&mut self) -> Result<(), CliError> {
        while let Some(event) = self.journal.take().map_err(unreadable)? {
            if self.selection.includes(event.time) {
                self.due.push_back(event);
            }
        }
        Ok(())
    }

    /// The next event before a line of this time.
    pub(super) fn before(&mut self, line: Timestamp) -> Option<Event> {
        if !std::mem::replace(&mut self.begun, true) {
            self.due.retain(|event| event.time >= line);
        }
        self.due.pop_front_if(|event| event.time <= line)
    }

    /// The next event after the last line so far.
    pub(super) fn after_all(&mut self) -> Option<Event> {
        if !self.begun {
            let last = self.selection.last.unwrap_or(usize::MAX);
            self.due.drain(..self.due.len().saturating_sub(last));
        }
        self.begun |= !self.due.is_empty();
        self.due.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use hermes_core::RootHome;
    use hermes_core::events::What;

    use super::*;

    fn time(second: i64) -> Timestamp {
        Timestamp::new(second, 0).unwrap()
    }

    /// Events at the seconds 1 to 5.
    fn events(last: Option<usize>) -> Events {
        let event = |second| Event {
            time: time(second),
            profile: "a".parse().unwrap(),
            event: What::Died,
            why: String::new(),
        };
        let journal = Follow::new(Journal::new(&RootHome::new("/nowhere")), Vec::new());
        let selection = Selection { last, ..Selection::default() };
        Events { journal, due: (1..=5).map(event).collect(), begun: last.is_none(), selection }
    }

    fn seconds(next: impl FnMut() -> Option<Event>) -> Vec<i64> {
        std::iter::from_fn(next).map(|event| event.time.as_second()).collect()
    }

    #[test]
    fn events_stand_before_the_lines_that_they_precede() {
        let mut all = events(None);
        assert_eq!(seconds(|| all.before(time(2))), [1, 2]);
        assert_eq!(seconds(|| all.before(time(2))), [0; 0]);
        assert_eq!(seconds(|| all.after_all()), [3, 4, 5]);
    }

    #[test]
    fn before_the_first_of_the_last_lines_there_is_none() {
        let mut some = events(Some(7));
        assert_eq!(seconds(|| some.before(time(3))), [3]);
        assert_eq!(seconds(|| some.before(time(4))), [4]);
        assert_eq!(seconds(|| some.after_all()), [5]);
        let mut without_lines = events(Some(2));
        assert_eq!(seconds(|| without_lines.after_all()), [4, 5]);
    }
}
