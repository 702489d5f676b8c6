//! Everything that Hermes prints: data on stdout, messages on stderr.
//!
//! `anstream` removes styles if the stream is not a terminal or `NO_COLOR` is set. A pipe that its reader has
//! closed is not an error.

mod progress;
mod quote;
mod table;

use std::fmt::{self, Display};
use std::io::{self, BufWriter, IsTerminal, Stdout, Write};

use anstyle::{AnsiColor, Style};
use hermes_core::diagnostics::Severity;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

pub(crate) use self::progress::observer;
pub(crate) use self::quote::{quoted, quotes};
pub(crate) use self::table::{Cell, Column, picture, table};
use crate::called;
pub(crate) use crate::called::named;
use crate::error::{CliError, exit};
use crate::escape::escaped;

const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const HINT: Style = AnsiColor::Cyan.on_default();

const NAMES: [AnsiColor; 6] = [
    AnsiColor::Cyan,
    AnsiColor::Yellow,
    AnsiColor::Green,
    AnsiColor::Magenta,
    AnsiColor::Blue,
    AnsiColor::BrightBlack,
];

/// Prints one line of data.
pub(crate) fn line(text: impl Display) -> Result<(), CliError> {
    raw(format!("{text}\n").as_bytes())
}

/// Prints lines of data with one write.
pub(crate) fn lines(lines: impl IntoIterator<Item = impl Display>) -> Result<(), CliError> {
    let text: String = lines.into_iter().map(|line| format!("{line}\n")).collect();
    raw(text.as_bytes())
}

/// Prints one line of data that begins with a severity.
pub(crate) fn judged(severity: Severity, text: &str) -> Result<(), CliError> {
    let (style, word) = (style(severity), severity.word());
    let line = format!("{style}{word}{style:#}{}\n", escaped(&called::named(text)));
    let mut stdout = anstream::stdout();
    has_reader(stdout.write_all(line.as_bytes()).and_then(|()| stdout.flush())).map(drop)
}

/// Prints lines of data that have styles of their own; none for an empty text.
pub(crate) fn styled_lines(text: &str) -> Result<(), CliError> {
    if text.is_empty() {
        return Ok(());
    }
    let mut stdout = anstream::stdout();
    let printed = stdout.write_all(format!("{text}\n").as_bytes());
    has_reader(printed.and_then(|()| stdout.flush())).map(drop)
}

/// Prints one line of data that ends with `text` in this style.
pub(crate) fn styled_line(label: &str, text: &str, style: Style) -> Result<(), CliError> {
    let line = format!("{label}{style}{}{style:#}\n", escaped(text));
    let mut stdout = anstream::stdout();
    has_reader(stdout.write_all(line.as_bytes()).and_then(|()| stdout.flush())).map(drop)
}

fn style(severity: Severity) -> Style {
    match severity {
        Severity::Ok => AnsiColor::Green.on_default(),
        Severity::Info | Severity::Unknown => HINT,
        Severity::Warning => WARNING,
        Severity::Error => ERROR,
    }
}

/// Prints data unchanged.
pub(crate) fn raw(bytes: &[u8]) -> Result<(), CliError> {
    let mut stdout = io::stdout();
    has_reader(stdout.write_all(bytes).and_then(|()| stdout.flush())).map(drop)
}

/// Buffered output of lines of data.
pub(crate) struct Bulk(BufWriter<Stdout>);

impl Bulk {
    pub(crate) fn new() -> Self {
        Self(BufWriter::new(io::stdout()))
    }

    /// Prints `parts` as one line; `false` if stdout has no reader any more.
    pub(crate) fn line(&mut self, parts: &[&[u8]]) -> Result<bool, CliError> {
        let mut parts = parts.iter().copied().chain([b"\n".as_slice()]);
        has_reader(parts.try_for_each(|part| self.0.write_all(part)))
    }

    /// Writes the buffered lines; `false` if stdout has no reader any more.
    pub(crate) fn flush(&mut self) -> Result<bool, CliError> {
        has_reader(self.0.flush())
    }
}

fn has_reader(printed: io::Result<()>) -> Result<bool, CliError> {
    match printed {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(CliError::new("failed to print").because(error)),
    }
}

/// Whether data goes to a terminal.
pub(crate) fn is_on_terminal() -> bool {
    io::stdout().is_terminal()
}

/// The prefix of the lines of the `index`th of several profiles, coloured if stdout has colours.
pub(crate) fn prefix(name: &str, width: usize, index: usize) -> String {
    styled(&format!("{name:width$} | "), NAMES[index % NAMES.len()].on_default())
}

/// A line that is not a gateway's, between those that are. Bold if stdout has colours.
pub(crate) fn between_lines(text: &str) -> String {
    styled(&format!("-- {text} --"), Style::new().bold())
}

/// `text` in this style if stdout has colours.
fn styled(text: &str, style: Style) -> String {
    match anstream::AutoStream::choice(&io::stdout()) {
        anstream::ColorChoice::Never => text.to_owned(),
        _ => format!("{style}{text}{style:#}"),
    }
}

/// Prints `value` as JSON.
pub(crate) fn json(value: &impl Serialize) -> Result<(), CliError> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| CliError::new("failed to print JSON").because(error))?;
    line(text)
}

/// Prints a message about progress or an outcome.
pub(crate) fn message(text: impl Display) {
    print_to_stderr(format_args!("{}", called::named(&text.to_string())));
}

/// Prints a warning.
pub(crate) fn warning(text: impl Display) {
    let text = text.to_string();
    print_to_stderr(format_args!(
        "{WARNING}warning:{WARNING:#} {}",
        escaped(&called::named(&text))
    ));
}

/// From now on prints the log records of Hermes's libraries: warnings as warnings, information as messages.
pub(crate) fn print_records_of_libraries() {
    struct Printer;
    impl log::Log for Printer {
        fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
            metadata.level() <= log::Level::Info && metadata.target().starts_with("hermes_")
        }
        fn log(&self, record: &log::Record<'_>) {
            match record.level() {
                _ if !self.enabled(record.metadata()) => {}
                log::Level::Info => message(record.args()),
                _ => warning(record.args()),
            }
        }
        fn flush(&self) {}
    }
    // Fails only if another logger is set already, as in a program that embeds this crate.
    if log::set_logger(&Printer).is_ok() {
        log::set_max_level(log::LevelFilter::Info);
    }
}

/// Prints an error, its causes and its hint; with `json` also as an object on stdout.
pub(crate) fn error(error: &CliError, json: bool) {
    let view = error.view();
    match error.is_interruption() {
        true => print_to_stderr(format_args!("{}", escaped(&view.error))),
        false => print_to_stderr(format_args!("{ERROR}error:{ERROR:#} {}", escaped(&view.error))),
    }
    for cause in &view.causes {
        print_to_stderr(format_args!("  {}", escaped(cause)));
    }
    if !error.quotes().is_empty() {
        print_to_stderr(format_args!("{}", quoted(error.quotes())));
    }
    if let Some(hint) = &view.hint {
        print_to_stderr(format_args!("{HINT}hint:{HINT:#} {}", escaped(hint)));
    }
    if json {
        // stderr has the error already, so a failure to print it again is ignored.
        let _ = self::json(&view);
    }
}

/// Prints an invalid command line as an object on stdout. clap prints its message to stderr.
pub(crate) fn usage_error(error: &clap::Error) {
    let text = error.render().to_string();
    let first = text.lines().next().unwrap_or_default();
    let message = first.strip_prefix("error: ").unwrap_or(first);
    let _ = self::json(&CliError::new(message).with_code(exit::USAGE).view());
}

/// Prints one line to stderr. A failure is ignored, since there is no place to report it.
fn print_to_stderr(line: fmt::Arguments<'_>) {
    // In one write: stderr is unbuffered, and other processes may write to it too.
    progress::write_above(|| {
        let _ = anstream::stderr().write_all(format!("{line}\n").as_bytes());
    });
}

/// Prints a question and blocks until a line is read; `None` if stdin is not a terminal or can't be read.
pub(crate) fn ask(question: &str) -> Option<String> {
    if !io::stdin().is_terminal() {
        return None;
    }
    let _ = write!(anstream::stderr(), "{question} ");
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).ok()?;
    Some(answer.trim_end_matches(['\r', '\n']).to_owned())
}

/// A value, or a dash for none.
pub(crate) fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// The time in `zone` with its offset, for people: `2026-11-29 02:15:07.123 +01:00`.
pub(crate) fn local(time: Timestamp, zone: &TimeZone) -> String {
    time.to_zoned(zone.clone()).strftime("%F %T%.3f %:z").to_string()
}

/// How long ago `since` was, for people ("2h 3m").
pub(crate) fn age(since: Timestamp) -> String {
    let seconds = Timestamp::now().duration_since(since).as_secs().max(0);
    format!("{:#}", SignedDuration::from_secs(seconds))
}
