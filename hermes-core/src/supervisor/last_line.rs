//! The last line that a gateway printed before it failed to start, as a line of the error.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::Supervisor;
use crate::config::masked;
use crate::driver::{DriverError, LastLine};
use crate::gateway::Gateway;
use crate::log::line::NO_NEWLINE;
use crate::log::{LogFiles, Logs, Selection};
use crate::name::ProfileName;
use crate::parallel;
use crate::restart::{self, PARKED};
use crate::wait::{self, Poll, idle};

/// How many lines are searched for one that is not empty.
const LINES: usize = 20;
/// The maximum number of characters of the line in the error.
const LONGEST: usize = 300;
/// How long a logger may take to write what the gateway printed before its death.
const ARRIVES: Duration = Duration::from_millis(500);
/// How many errors get their lines at the same time: each may wait for its own.
const READERS: usize = 64;
/// How long no other line arrives after the last one.
const QUIET: Duration = Duration::from_millis(50);

impl Supervisor {
    /// Calls `start`. If that fails, adds the last line to the error that the gateway has printed since. A log without
    /// times, such as launchd's, adds none: its last line may be an older one. One of many gateways gets its line from
    /// [`with_lines`](Self::with_lines).
    pub(super) fn with_last_line(
        &self,
        gateway: &Gateway,
        start: impl FnOnce() -> Result<(), DriverError>,
    ) -> Result<(), DriverError> {
        let begun = Timestamp::now();
        start().map_err(|error| {
            // The error has what the launcher printed already.
            if restart::fault(&gateway.home().fault()).is_some() {
                return error;
            }
            match self.together {
                Some(_) => error.with_line_due(begun),
                None => self.with_line(gateway.name(), error, begun, Instant::now()),
            }
        })
    }

    /// Adds the last lines to those of `outcomes` that miss them. A gateway that printed nothing keeps no other one from its
    /// turn to start. Blocks until the lines are there, at most for [`ARRIVES`] after each failure.
    pub(super) fn with_lines<T: Send>(
        &self,
        outcomes: Vec<Result<T, DriverError>>,
        name: impl Fn(usize) -> Option<ProfileName> + Sync,
    ) -> Vec<Result<T, DriverError>> {
        let is_due = |it: &&Result<_, DriverError>| {
            it.as_ref().is_err_and(|error| error.line_due().is_some())
        };
        let readers = outcomes.iter().filter(is_due).count().min(READERS);
        let numbered = outcomes.into_iter().enumerate().collect();
        parallel::map(numbered, readers, |(number, outcome): (_, Result<T, DriverError>)| {
            outcome.map_err(|error| match (error.line_due(), name(number)) {
                (Some((begun, failed)), Some(name)) => self.with_line(&name, error, begun, failed),
                _ => error,
            })
        })
    }

    fn with_line(
        &self,
        name: &ProfileName,
        error: DriverError,
        begun: Timestamp,
        failed: Instant,
    ) -> DriverError {
        match self.last_line(name, begun, failed + ARRIVES) {
            Some(line) => error.with_last_line(LastLine(line)),
            None => error,
        }
    }

    /// The last line that is not empty and that the gateway has printed since `begun`. Blocks until a line has been the
    /// last for [`QUIET`], at most until `deadline`. A log that can't be read has none.
    fn last_line(&self, name: &ProfileName, begun: Timestamp, deadline: Instant) -> Option<String> {
        let mut last = None;
        let _ = wait::until(deadline, || -> Result<_, Infallible> {
            let line = self.with_logs(|logs| last_since(logs, name, begun));
            let same = line.is_some() && line == last;
            last = line;
            if !same && last.is_some() {
                idle(QUIET);
            }
            Ok(if same { Poll::Done(()) } else { Poll::Wait })
        });
        last
    }

    /// Calls `read` with the gateways' logs: the backend's, or else the files.
    fn with_logs<T>(&self, read: impl FnOnce(&dyn Logs) -> T) -> T {
        match self.driver.logs() {
            Some(logs) => read(logs),
            None => read(&LogFiles::new(self.store.root().clone(), TimeZone::system())),
        }
    }
}

fn last_since(logs: &dyn Logs, name: &ProfileName, begun: Timestamp) -> Option<String> {
    let selection = Selection { since: Some(begun), ..Selection::last(LINES) };
    let lines = logs.read(std::slice::from_ref(name), &selection).ok()?;
    // A line without a time may be an older one.
    let timed = lines.map_while(Result::ok).filter(|(_, line)| line.time.is_some());
    let printed = timed.filter_map(|(_, line)| {
        let text = String::from_utf8_lossy(&line.text);
        let text = text.strip_suffix(NO_NEWLINE).unwrap_or(&text).trim();
        (!text.is_empty() && !text.starts_with(PARKED)).then(|| shortened(&masked(text)))
    });
    printed.last()
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
