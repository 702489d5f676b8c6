//! Everything that Hermes prints: data on stdout, messages on stderr.
//!
//! Styles go through `anstream`, which drops them where there is no terminal and where `NO_COLOR`
//! is set. A reader that closed the pipe has had enough, which is no failure.

use std::fmt::{self, Display};
use std::io::{self, BufWriter, IsTerminal, Stdout, Write};

use anstyle::{AnsiColor, Style};
use comfy_table::{ContentArrangement, Table, presets};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::error::CliError;
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

/// Prints lines of data, all at once.
pub(crate) fn lines(lines: impl IntoIterator<Item = impl Display>) -> Result<(), CliError> {
    let text: String = lines.into_iter().map(|line| format!("{line}\n")).collect();
    raw(text.as_bytes())
}

/// Prints one line of data that begins with a judgement.
pub(crate) fn judged(judgement: Severity, text: &str) -> Result<(), CliError> {
    let (style, word) = (judgement.style(), judgement.word());
    let line = format!("{style}{word}{style:#}{}\n", escaped(text));
    let mut stdout = anstream::stdout();
    is_taken(stdout.write_all(line.as_bytes()).and_then(|()| stdout.flush())).map(drop)
}

/// How something was found to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    /// As it should be.
    Ok,
    /// Worth knowing, and nothing is wrong.
    Info,
    /// It could not be seen.
    Unknown,
    /// It works and won't do so for long, or not as was meant.
    Warning,
    /// It does not work.
    Error,
}

impl Severity {
    /// The word for it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Info => "info",
            Self::Unknown => "unknown",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }

    fn style(self) -> Style {
        match self {
            Self::Ok => AnsiColor::Green.on_default(),
            Self::Info | Self::Unknown => HINT,
            Self::Warning => WARNING,
            Self::Error => ERROR,
        }
    }
}

/// Prints data as it is.
pub(crate) fn raw(bytes: &[u8]) -> Result<(), CliError> {
    let mut stdout = io::stdout();
    is_taken(stdout.write_all(bytes).and_then(|()| stdout.flush())).map(drop)
}

/// Data as it comes, line by line and in bulk.
pub(crate) struct Bulk(BufWriter<Stdout>);

impl Bulk {
    pub(crate) fn new() -> Self {
        Self(BufWriter::new(io::stdout()))
    }

    /// Prints a line that is the concatenation of `parts`; `false` if nobody reads it any more.
    pub(crate) fn line(&mut self, parts: &[&[u8]]) -> Result<bool, CliError> {
        let mut parts = parts.iter().copied().chain([b"\n".as_slice()]);
        is_taken(parts.try_for_each(|part| self.0.write_all(part)))
    }

    /// Lets go of what was held back; `false` if nobody reads it any more.
    pub(crate) fn flush(&mut self) -> Result<bool, CliError> {
        is_taken(self.0.flush())
    }
}

fn is_taken(printed: io::Result<()>) -> Result<bool, CliError> {
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

/// What stands before the lines of the `index`th of several; coloured where colours are wanted.
pub(crate) fn prefix(name: &str, width: usize, index: usize) -> String {
    let text = format!("{name:width$} | ");
    match anstream::AutoStream::choice(&io::stdout()) {
        anstream::ColorChoice::Never => text,
        _ => {
            let style = NAMES[index % NAMES.len()].on_default();
            format!("{style}{text}{style:#}")
        }
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
    lines(table.lines().map(|line| line.strip_prefix(' ').unwrap_or(&line).trim_end().to_owned()))
}

/// Prints what a person should know while something happens.
pub(crate) fn message(text: impl Display) {
    tell(format_args!("{text}"));
}

/// Prints a warning.
pub(crate) fn warning(text: impl Display) {
    tell(format_args!("{WARNING}warning:{WARNING:#} {}", escaped(&text.to_string())));
}

/// From now on prints what the libraries report beside their results: warnings, and information as messages.
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
    // There is one `main`, and no logger before this one.
    if log::set_logger(&Printer).is_ok() {
        log::set_max_level(log::LevelFilter::Info);
    }
}

/// Prints an error, its causes and its hint; as an object on stdout, too, where JSON was asked for.
pub(crate) fn error(error: &CliError, json: bool) {
    tell(format_args!("{ERROR}error:{ERROR:#} {}", escaped(&error.to_string())));
    for cause in error.causes() {
        tell(format_args!("  {}", escaped(&cause)));
    }
    if let Some(hint) = error.hint() {
        tell(format_args!("{HINT}hint:{HINT:#} {}", escaped(hint)));
    }
    if json {
        // It was told above; that it can't be printed twice is not worth another error.
        let _ = self::json(&error.view());
    }
}

/// One line on stderr. Where nobody takes it, there is nobody to be told of that, either.
fn tell(line: fmt::Arguments<'_>) {
    // In one piece: stderr has no buffer, and others may write to it, too.
    let _ = anstream::stderr().write_all(format!("{line}\n").as_bytes());
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
