//! Prints the lines of logs: unchanged, escaped for a terminal, or as JSON objects.

use std::borrow::Cow;

use hermes_core::ProfileName;
use hermes_core::log::{Removed, line};
use jiff::tz::TimeZone;

use crate::app::App;
use crate::error::CliError;
use crate::escape::{escaped_json, escaped_line};
use crate::output::{self, Bulk};

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
        // s6-log stamps lines with the machine's local time.
        Self { out: Bulk::new(), form, zone: TimeZone::system(), logs }
    }

    /// Prints a line of the profile at `place`; `false` if stdout has no reader any more.
    pub(super) fn line(&mut self, place: usize, line: &[u8]) -> Result<bool, CliError> {
        let Log { name, prefix } = &self.logs[place];
        let (prefix, line) = match self.form {
            Form::Raw => (prefix.as_str(), Cow::Borrowed(line)),
            Form::Escaped => (prefix.as_str(), escaped_line(line).into_bytes().into()),
            Form::Json => {
                let object = line::to_json(name, line, &self.zone).to_string();
                ("", escaped_json(&object).into_bytes().into())
            }
        };
        self.out.line(&[prefix.as_bytes(), &line])
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
