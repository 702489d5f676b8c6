//! `--follow`: prints lines as they come, until a signal arrives, the reader of stdout closes it, the timeout
//! passes, or the last profile is gone. It waits for events and polls only where a log has none.

use std::time::Duration;

use hermes_core::ProfileName;
use hermes_core::log::{Event, Logs};
use jiff::Timestamp;

use super::events::Events;
use super::print::Printer;
use super::{Print, nothing_yet};
use crate::app::App;
use crate::commands::following::{Signals, TimeLimit};
use crate::error::{CliError, exit};
use crate::output;

/// Follows the logs of `names`. With `--all` these are the profiles that exist at the start.
pub(super) fn follow(
    app: &App,
    logs: &dyn Logs,
    names: Vec<ProfileName>,
    apart: bool,
    print: &Print,
) -> Result<u8, CliError> {
    let signals = Signals::listen()?;
    let limit = TimeLimit::of(app, "the log");
    let mut followed = logs.follow(&names, &print.selection)?;
    let mut events = print.events.then(|| Events::new(app, names.clone(), &print.selection));
    for name in &names {
        if !logs.exists(name)? {
            output::message(nothing_yet(name));
        }
    }
    let mut printer = Printer::new(app, names.clone(), apart, print.raw);
    let mut remaining = names.len();
    loop {
        events.as_mut().map(Events::read).transpose()?;
        // Decided before the last look, so that no line before that time is missed.
        let is_over = print.selection.until.is_some_and(|until| until < Timestamp::now());
        while let Some((place, event)) = followed.next()? {
            let is_read = match event {
                Event::Line(line) => {
                    printer.events_before(&line, events.as_mut())? && printer.line(place, &line)?
                }
                Event::Removed(removed) => printer.removed(place, removed)?,
                Event::Ended => {
                    remaining -= 1;
                    let is_read = printer.flush()?;
                    if is_read {
                        report_end(&names, place, remaining)?;
                    }
                    is_read
                }
            };
            if !is_read || signals.came() {
                return Ok(exit::SUCCESS);
            }
        }
        if !printer.other_events(events.as_mut())? || !printer.flush()? || is_over {
            return Ok(exit::SUCCESS);
        }
        let waits = [limit.left()?, followed.max_wait(), left(print.selection.until)];
        let mut pauses: Vec<_> = waits.into_iter().flatten().collect();
        let mut fds = followed.fds();
        if let Some(events) = &mut events {
            pauses.extend(events.journal().max_wait());
            fds.extend(events.journal().fd());
        }
        if !signals.await_change(fds, pauses.into_iter().min())? {
            return Ok(exit::SUCCESS);
        }
    }
}

/// How long it is until `time`, rounded up to a millisecond, so that it has passed then.
fn left(time: Option<Timestamp>) -> Option<Duration> {
    let left = time?.duration_since(Timestamp::now());
    Some(Duration::try_from(left).unwrap_or_default() + Duration::from_millis(1))
}

/// Reports that the log at `place` has ended and `remaining` have not: an error for the last one.
fn report_end(names: &[ProfileName], place: usize, remaining: usize) -> Result<(), CliError> {
    let name = &names[place];
    let ended = format!("the profile `{name}` was deleted or renamed, and its log ends here");
    if names.len() == 1 {
        return Err(CliError::new(ended).with_code(exit::NOT_FOUND));
    }
    output::warning(ended);
    if remaining == 0 {
        let error = CliError::new("all followed profiles were deleted or renamed");
        return Err(error.with_code(exit::NOT_FOUND));
    }
    Ok(())
}
