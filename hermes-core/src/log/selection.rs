//! Which lines of logs are read: those of a time, those that match a pattern, the last ones.

use jiff::Timestamp;
use regex_lite::Regex;

use super::line::Line;

/// Which lines of each log are read. The default is all.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Only lines from this time on.
    pub since: Option<Timestamp>,
    /// Only lines up to this time.
    pub until: Option<Timestamp>,
    /// Only lines whose text matches. Bytes that are not valid UTF-8 are replaced before that.
    pub pattern: Option<Regex>,
    /// Only the last so many lines of those that the other conditions select.
    pub last: Option<usize>,
}

impl Selection {
    /// The last `lines` lines.
    pub fn last(lines: usize) -> Self {
        Self { last: Some(lines), ..Self::default() }
    }

    /// Whether it has lines of this time.
    pub fn includes(&self, time: Timestamp) -> bool {
        self.since.is_none_or(|since| since <= time) && self.until.is_none_or(|until| time <= until)
    }

    /// A filter for the lines of one log.
    pub fn filter(&self) -> Filter {
        Filter { selection: self.clone(), time: None }
    }
}

/// Selects lines of one log by time and pattern, one after the other.
#[derive(Debug)]
pub struct Filter {
    selection: Selection,
    /// The time of the last line that had one.
    time: Option<Timestamp>,
}

impl Filter {
    /// Whether the next line is selected. One without a time has that of the line before, and if there is none, it is in
    /// every time.
    pub fn selects(&mut self, line: &Line) -> bool {
        self.time = line.time.or(self.time);
        self.time.is_none_or(|time| self.selection.includes(time))
            && self
                .selection
                .pattern
                .as_ref()
                .is_none_or(|pattern| pattern.is_match(&String::from_utf8_lossy(&line.text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_and_pattern_select_and_a_line_without_a_time_goes_with_the_one_before() {
        let time = |second| Timestamp::new(second, 0).ok();
        let selection = Selection {
            since: time(2),
            until: time(4),
            pattern: Regex::new("^[a-z]+$").ok(),
            last: None,
        };
        let mut filter = selection.filter();
        let lines = [
            (None, "early", true),
            (time(1), "before", false),
            (None, "continued", false),
            (time(2), "since", true),
            (None, "continued", true),
            (time(3), "UPPER", false),
            (time(4), "until", true),
            (time(5), "after", false),
            (None, "continued", false),
            // The clock was set back.
            (time(3), "again", true),
        ];
        for (time, text, expected) in lines {
            let line = Line { time, text: text.into(), cut: false };
            assert_eq!(filter.selects(&line), expected, "{time:?} {text}");
        }
    }
}
