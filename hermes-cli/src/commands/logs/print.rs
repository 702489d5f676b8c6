//! Prints the lines of logs: unchanged, escaped for a terminal, or as JSON objects; and events between them.

use std::borrow::Cow;

use hermes_core::ProfileName;
use hermes_core::events::Event;
use hermes_core::log::line::NO_NEWLINE;
use hermes_core::log::{Line, Removed};
use jiff::tz::TimeZone;

use super::events::Events;
use crate::app::App;
use crate::error::CliError;
use crate::escape::{escaped, escaped_json, escaped_line};
use crate::output::{self, Bulk};

/// The mark at the end of a line that was cut.
const CUT: &str = "…";

/// Prints the lines of some profiles.
pub(super) struct Printer {
    out: Bulk,
    form: Form,
    zone: TimeZone,
    logs: Vec<Log>,
}

/// A profile, and the prefix of its lines.
struct Log {
    name: ProfileName,
    prefix: String,
}

#[derive(Debug, Clone, Copy)]
enum Form {
    Raw,
    Escaped,
    Json,
}

impl Printer {
    /// A printer of the lines of `names`, with the name before each line if `apart`.
    pub(super) fn new(app: &App, names: Vec<ProfileName>, apart: bool, raw: bool) -> Self {
        let form = match app.json {
            true => Form::Json,
            false if raw || !output::is_on_terminal() => Form::Raw,
            false => Form::Escaped,
        };
        let width = names.iter().map(|name| name.as_str().len()).max().unwrap_or_default();
        let log = |(index, name): (usize, ProfileName)| {
            let prefix = apart.then(|| output::prefix(name.as_str(), width, index));
            Log { prefix: prefix.unwrap_or_default(), name }
        };
        let logs = names.into_iter().enumerate().map(log).collect();
        Self { out: Bulk::new(), form, zone: hermes::local_zone(), logs }
    }

    /// Prints a line of the profile at `place`; `false` if stdout has no reader any more.
    pub(super) fn line(&mut self, place: usize, line: &Line) -> Result<bool, CliError> {
        let Log { name, prefix } = &self.logs[place];
        let text = match self.form {
            Form::Raw => Cow::Borrowed(line.text.as_slice()),
            Form::Escaped => escaped_line(&line.text).into_bytes().into(),
            Form::Json => {
                let object = escaped_json(&line.to_json(name).to_string());
                return self.out.line(&[object.as_bytes()]);
            }
        };
        let time = line.time.map(|time| output::local(time, &self.zone) + "  ");
        let time = time.unwrap_or_default();
        // A line that its gateway did not end says so in words.
        let is_marked = !line.cut || line.text.ends_with(NO_NEWLINE.as_bytes());
        let mark = if is_marked { "" } else { CUT };
        self.out.line(&[prefix.as_bytes(), time.as_bytes(), &text, mark.as_bytes()])
    }

    /// Prints an event; `false` if stdout has no reader any more.
    fn event(&mut self, event: &Event) -> Result<bool, CliError> {
        if matches!(self.form, Form::Json) {
            let object = serde_json::to_string(event)
                .map_err(|error| CliError::new("failed to print JSON").because(error))?;
            return self.out.line(&[escaped_json(&object).as_bytes()]);
        }
        let log = self.logs.iter().find(|log| log.name == event.profile);
        let prefix = log.map_or("", |log| log.prefix.as_str());
        let why = Some(escaped(&event.why)).filter(|why| !why.is_empty());
        let why = why.map_or_else(String::new, |why| format!(" ({why})"));
        let text = output::between_lines(&format!("{}{why}", event.event));
        let time = output::local(event.time, &self.zone);
        self.out.line(&[format!("{prefix}{time}  {text}").as_bytes()])
    }

    /// Prints the events before `line`; `false` if stdout has no reader any more.
    pub(super) fn events_before(
        &mut self,
        line: &Line,
        events: Option<&mut Events>,
    ) -> Result<bool, CliError> {
        let (Some(events), Some(time)) = (events, line.time) else { return Ok(true) };
        while let Some(event) = events.before(time) {
            if !self.event(&event)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Prints the events after the last line so far; `false` if stdout has no reader any more.
    pub(super) fn other_events(&mut self, events: Option<&mut Events>) -> Result<bool, CliError> {
        let Some(events) = events else { return Ok(true) };
        while let Some(event) = events.after_all() {
            if !self.event(&event)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Prints a warning that lines are missing here; `false` if stdout has no reader any more.
    pub(super) fn removed(&mut self, place: usize, removed: Removed) -> Result<bool, CliError> {
        // Flushed first, so that on a terminal the warning stands between the right lines.
        let is_read = self.flush()?;
        output::warning(removed.warning(&self.logs[place].name));
        Ok(is_read)
    }

    /// Writes the buffered lines; `false` if stdout has no reader any more.
    pub(super) fn flush(&mut self) -> Result<bool, CliError> {
        self.out.flush()
    }
}
