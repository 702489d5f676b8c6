//! Everything that Hermes prints: data on stdout, messages on stderr.
//!
//! Styles go through `anstream`, which drops them where there is no terminal and where `NO_COLOR`
//! is set. A reader that closed the pipe has had enough, which is no failure.

use std::fmt::{self, Display};
use std::io::{self, IsTerminal, Write};

use anstyle::{AnsiColor, Style};
use comfy_table::{ContentArrangement, Table, presets};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::error::CliError;

const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const HINT: Style = AnsiColor::Cyan.on_default();

/// Prints one line of data.
pub(crate) fn line(text: impl Display) -> Result<(), CliError> {
    raw(format!("{text}\n").as_bytes())
}

/// Prints data as it is.
pub(crate) fn raw(bytes: &[u8]) -> Result<(), CliError> {
    let mut stdout = io::stdout();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(CliError::new("failed to print").because(error))
        }
        _ => Ok(()),
    }
}

/// Prints `value` as JSON.
pub(crate) fn json(value: &impl Serialize) -> Result<(), CliError> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| CliError::new("failed to print JSON").because(error))?;
    line(text)
}

/// Prints a table without borders. Nothing is cut where stdout is no terminal.
pub(crate) fn table(
    header: &[&str],
    rows: impl IntoIterator<Item = Vec<String>>,
) -> Result<(), CliError> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header.iter().copied());
    table.set_content_arrangement(ContentArrangement::Disabled);
    for row in rows {
        table.add_row(row.iter().map(|cell| escaped(cell)));
    }
    table
        .lines()
        .try_for_each(|line| self::line(line.strip_prefix(' ').unwrap_or(&line).trim_end()))
}

/// Prints what a person should know while something happens.
pub(crate) fn message(text: impl Display) {
    tell(format_args!("{text}"));
}

/// Prints a warning.
pub(crate) fn warning(text: impl Display) {
    tell(format_args!("{WARNING}warning:{WARNING:#} {}", escaped(&text.to_string())));
}

/// Prints what the libraries have to tell beside their answers, as warnings.
pub(crate) fn print_warnings_of_libraries() {
    struct Warnings;
    impl log::Log for Warnings {
        fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
            metadata.level() <= log::Level::Warn && metadata.target().starts_with("hermes_")
        }
        fn log(&self, record: &log::Record<'_>) {
            if self.enabled(record.metadata()) {
                warning(record.args());
            }
        }
        fn flush(&self) {}
    }
    // There is one `main`, and no logger before this one.
    if log::set_logger(&Warnings).is_ok() {
        log::set_max_level(log::LevelFilter::Warn);
    }
}

/// Prints an error, its causes and its hint; as an object on stdout, too, where JSON was asked for.
pub(crate) fn error(error: &CliError, json: bool) {
    tell(format_args!("{ERROR}error:{ERROR:#} {}", escaped(&error.to_string())));
    for cause in error.causes() {
        tell(format_args!("  {}", escaped(&cause)));
    }
    if let Some(hint) = error.the_hint() {
        tell(format_args!("{HINT}hint:{HINT:#} {}", escaped(hint)));
    }
    if json {
        // It was told above; that it can't be printed twice is not worth another error.
        let _ = self::json(&as_json(error));
    }
}

/// An error as an object.
pub(crate) fn as_json(error: &CliError) -> serde_json::Value {
    serde_json::json!({
        "error": error.to_string(),
        "causes": error.causes().collect::<Vec<_>>(),
        "hint": error.the_hint(),
        "code": error.code(),
    })
}

/// One line on stderr. Where nobody takes it, there is nobody to be told of that, either.
fn tell(line: fmt::Arguments<'_>) {
    let _ = writeln!(anstream::stderr(), "{line}");
}

/// Asks for a line; `None` if there is nobody to ask.
pub(crate) fn ask(question: &str) -> Option<String> {
    if !io::stdin().is_terminal() {
        return None;
    }
    let _ = write!(anstream::stderr(), "{question} ");
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).ok()?;
    Some(answer.trim_end_matches(['\r', '\n']).to_owned())
}

/// A value, or a dash where there is none.
pub(crate) fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// How long ago `since` was, as people say it.
pub(crate) fn age(since: Timestamp) -> String {
    let seconds = Timestamp::now().duration_since(since).as_secs().max(0);
    format!("{:#}", SignedDuration::from_secs(seconds))
}

/// Text of which no character can do anything to a terminal.
fn escaped(text: &str) -> String {
    let escape = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.into() };
    text.chars().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown_and_not_sent() {
        assert_eq!(escaped("a\u{1b}[31mb\nc é"), r"a\u{1b}[31mb\nc é");
    }
}
