//! `notify` in the root home's `config.yaml`: the program that `hermes up` runs on chosen events.
//!
//! It is read apart from the gateway's keys: a mistake in it keeps no gateway down.

use std::path::Path;
use std::time::Duration;

use super::error::{self, ConfigError};
use super::keys::{NOTIFY, NOTIFY_KEYS};
use super::read::{Field, Reader};
use super::yaml::{self, Scope};
use crate::events::What;

/// Which program to run on which events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notify {
    /// `command`: the program and its arguments.
    pub command: Vec<String>,
    /// `events`: the events that it is run on.
    pub events: Vec<What>,
    /// `timeout`: how long it may run.
    pub timeout: Duration,
}

impl Notify {
    /// The events that need attention, and the end of a hang.
    const EVENTS: [What; 5] =
        [What::Died, What::Parked, What::Unresponsive, What::Responsive, What::NotMended];
    const TIMEOUT: Duration = Duration::from_secs(10);
}

/// Reads `notify` in the file at `path`; `None` if it or the file is missing. Does not block on a FIFO.
pub fn load_notify(path: &Path) -> Result<Option<Notify>, ConfigError> {
    let Some(bytes) = super::read_file(path)? else { return Ok(None) };
    parse_notify(error::utf8(&bytes, path)?, path)
}

/// Reads `notify` in `text`; `path` is only used in messages.
pub fn parse_notify(text: &str, path: &Path) -> Result<Option<Notify>, ConfigError> {
    let root = yaml::read(text, Scope::Notify, path)?;
    let reader = Reader { text, path };
    let Some((notify, entries)) = reader.section(&root, NOTIFY, "command: [program]")? else {
        return Ok(None);
    };
    let (mut command, mut events, mut timeout) = (None, Notify::EVENTS.to_vec(), Notify::TIMEOUT);
    for (name, field) in reader.only_ours(&notify, entries, &NOTIFY_KEYS)? {
        match name {
            "command" => command = Some(reader.command(&field)?),
            "events" => events = reader.events(&field)?,
            _ => timeout = Duration::from_secs(reader.up_to_3600(&field, "10")?),
        }
    }
    let missing = || reader.invalid(&notify, "needs a program: set `notify.command`, too");
    Ok(Some(Notify { command: command.ok_or_else(missing)?, events, timeout }))
}

impl Reader<'_> {
    fn events(&self, field: &Field<'_>) -> Result<Vec<What>, ConfigError> {
        let event = |field: Field<'_>| {
            let word = self.string(&field)?;
            What::ALL.into_iter().find(|what| what.word() == word).ok_or_else(|| {
                let known = What::ALL.map(What::word).join(", ");
                let word = word.escape_debug();
                self.invalid(&field, &format!("unknown event `{word}`; the events are {known}"))
            })
        };
        let events = self.list(field, "[died, parked]")?;
        if events.is_empty() {
            return Err(self.invalid(field, "must name an event: the list is empty"));
        }
        events.into_iter().map(event).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<Notify>, String> {
        parse_notify(text, Path::new("/x")).map_err(|error| error.to_string())
    }

    #[test]
    fn a_command_is_enough() {
        let command = vec!["page".to_owned(), String::new()];
        let default =
            Notify { command, events: Notify::EVENTS.to_vec(), timeout: Duration::from_secs(10) };
        for text in ["", "notify:", "gateway: {port: x}", "agent: [!x y]"] {
            assert_eq!(read(text), Ok(None), "{text}");
        }
        let text = "notify: {command: [page, ''], events: , timeout: }";
        assert_eq!(read(text), Ok(Some(default.clone())));
        let text =
            "notify:\n  command: [page, '']\n  events: [died, backed-off]\n  timeout: 3600\n";
        let events = vec![What::Died, What::BackedOff];
        let all = Notify { events, timeout: Duration::from_secs(3600), ..default };
        assert_eq!(read(text), Ok(Some(all)));
    }

    #[test]
    fn every_refusal_has_a_message() {
        for (text, problem) in [
            (
                "notify: page",
                "invalid `notify` in `/x` line 1 column 9: must be a mapping, with lines like",
            ),
            ("notify: {}", "needs a program: set `notify.command`"),
            ("notify: {command: page}", "must be a list of strings, such as [program, --flag]"),
            ("notify: {command: []}", "must name a program: the list is empty"),
            (
                "notify: {command: [page], on: [died]}",
                "the keys are `command`, `events`, `timeout`",
            ),
            ("notify: {command: [page], events: died}", "such as [died, parked]"),
            ("notify: {command: [page], events: []}", "must name an event"),
            (
                "notify: {command: [page], events: [dead]}",
                "unknown event `dead`; the events are registered,",
            ),
            ("notify: {command: [page], timeout: 10s}", "must be a plain decimal number"),
            ("notify: {command: [page], timeout: 0}", "must be between 1 and 3600"),
            ("notify: {command: [page]}\nnotify: {}", "is set twice"),
            ("<<: {notify: {command: [page]}}", "must not be set by a merge key"),
        ] {
            let message = read(text).unwrap_err();
            assert!(message.contains(problem), "{text}: {message}");
        }
    }
}
