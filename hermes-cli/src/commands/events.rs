//! `hermes events`: prints what happened to gateways, and with `--follow` new events as they come.

use std::io;

use hermes_core::events::{Event, Follow, Journal};
use jiff::tz::TimeZone;

use super::distant_events::DistantEvents;
use super::following::{LAST, Signals, TimeLimit};
use crate::app::App;
use crate::args;
use crate::error::{CliError, exit};
use crate::escape::{escaped, escaped_json};
use crate::output::{self, Bulk};

/// Prints the events that the arguments select.
pub(crate) fn run(app: &App, arguments: args::Events) -> Result<u8, CliError> {
    let args::Events { mut names, lines, follow } = arguments;
    if names.is_empty() {
        names.extend(app.named_profile().cloned());
    }
    let signals = follow.then(Signals::listen).transpose()?;
    let distant = DistantEvents::record(app);
    let last = lines.unwrap_or(if follow { LAST } else { usize::MAX });
    let mut events = Follow::new(Journal::new(app.root()), names);
    let former = events.former(last).map_err(unreadable)?;
    if former.is_empty() && last > 0 {
        output::message("no event has been recorded yet");
    }
    let width = former.iter().map(|event| event.profile.as_str().len()).max();
    let width = width.unwrap_or_default();
    let mut printer =
        Printer { out: Bulk::new(), json: app.json, zone: hermes::local_zone(), width };
    for event in former {
        printer.print(&event)?;
    }
    if let Some(signals) = signals {
        return print_new(app, &mut events, distant.map(DistantEvents::watch), &signals, printer);
    }
    printer.out.flush()?;
    Ok(exit::SUCCESS)
}

pub(super) fn unreadable(error: io::Error) -> CliError {
    CliError::new("failed to read the journal of events").because(error)
}

/// Prints events as they come, until a signal arrives, the reader of stdout closes it, or the timeout passes.
fn print_new(
    app: &App,
    events: &mut Follow,
    mut distant: Option<DistantEvents>,
    signals: &Signals,
    mut printer: Printer,
) -> Result<u8, CliError> {
    let limit = TimeLimit::of(app, "the events");
    loop {
        if let Some(distant) = &mut distant {
            distant.record_new();
        }
        while let Some(event) = events.take().map_err(unreadable)? {
            if !printer.print(&event)? || signals.came() {
                return Ok(exit::SUCCESS);
            }
        }
        if !printer.out.flush()? {
            return Ok(exit::SUCCESS);
        }
        let pause = limit.left()?.into_iter().chain(events.max_wait()).min();
        let distant = distant.as_ref().and_then(DistantEvents::fd);
        let fds = events.fd().into_iter().chain(distant).collect();
        if !signals.await_change(fds, pause)? {
            return Ok(exit::SUCCESS);
        }
    }
}

/// Prints events as lines or as JSON objects.
struct Printer {
    out: Bulk,
    json: bool,
    zone: TimeZone,
    /// The width of the profiles' names.
    width: usize,
}

impl Printer {
    /// Prints an event; `false` if stdout has no reader any more.
    fn print(&mut self, event: &Event) -> Result<bool, CliError> {
        if self.json {
            let object = serde_json::to_string(event)
                .map_err(|error| CliError::new("failed to print JSON").because(error))?;
            return self.out.line(&[escaped_json(&object).as_bytes()]);
        }
        let Event { time, profile, event, why } = event;
        // A reason may quote a gateway, and is one line.
        let (time, width) = (output::local(*time, &self.zone), self.width);
        let text = format!("{time}  {:width$}  {event:12}  {}", profile.as_str(), escaped(why));
        self.out.line(&[text.trim_end().as_bytes()])
    }
}
