//! `hermes gateway logs`: prints the lines of gateways' logs, and with `--follow` new lines as they come.
//!
//! The backend reads the logs ([`Logs`]). This module selects the profiles, prints the lines, and decides
//! when `--follow` ends.

mod follow;
mod print;

use hermes_core::ProfileName;

pub(super) use self::follow::{LAST, Signals, TimeLimit};
use self::print::Printer;
use crate::app::App;
use crate::args::ProfileSelector;
use crate::args::gateway::Logs;
use crate::error::{CliError, exit};
use crate::output;

/// The options for printing.
struct Print {
    /// How many of the last lines of each log to print.
    last: Option<usize>,
    /// Whether lines are printed unescaped, also on a terminal.
    raw: bool,
}

/// Prints the lines in the logs, and with `--follow` new ones.
pub(crate) fn run(app: &App, args: &Logs) -> Result<u8, CliError> {
    let Logs { which, lines: last, follow, raw } = args;
    let print = Print { last: *last, raw: *raw };
    if *follow { self::follow(app, which, print) } else { read(app, which, print) }
}

/// Prints the lines in the logs.
fn read(app: &App, which: &ProfileSelector, print: Print) -> Result<u8, CliError> {
    let names = existing(app, which)?;
    let apart = is_apart(&names, which);
    app.hermes.with_logs(|logs| {
        let mut found = Vec::new();
        for name in names {
            match logs.exists(&name)? {
                true => found.push(name),
                false => report_nothing(&name, apart)?,
            }
        }
        let mut silent = vec![print.last != Some(0); found.len()];
        let mut printer = Printer::new(app, found.clone(), apart, print.raw);
        for line in logs.read(&found, print.last)? {
            let (place, line) = line?;
            silent[place] = false;
            if !printer.line(place, &line)? {
                return Ok(exit::SUCCESS);
            }
        }
        if printer.flush()? {
            let silent = found.iter().zip(silent).filter(|(_, silent)| *silent);
            silent.into_iter().try_for_each(|(name, _)| report_nothing(name, apart))?;
        }
        Ok(exit::SUCCESS)
    })
}

/// Prints the last lines in the logs, and new ones as they come.
fn follow(app: &App, which: &ProfileSelector, print: Print) -> Result<u8, CliError> {
    let names = existing(app, which)?;
    let apart = is_apart(&names, which);
    app.hermes.with_logs(|logs| follow::follow(app, logs, names, apart, print))
}

/// Prints the last lines of one gateway's log, if it has any, after a heading.
pub(super) fn print_last(app: &App, name: &ProfileName, lines: usize) -> Result<(), CliError> {
    app.hermes.with_logs(|logs| {
        if !logs.exists(name)? {
            return Ok(());
        }
        let mut printer = Printer::new(app, vec![name.clone()], false, false);
        let mut lines = logs.read(std::slice::from_ref(name), Some(lines))?.peekable();
        if lines.peek().is_some() {
            output::line(format_args!("\nlast lines of its log:"))?;
        }
        for line in lines {
            if !printer.line(0, &line?.1)? {
                return Ok(());
            }
        }
        printer.flush().map(drop)
    })
}

/// The profiles that `which` selects, each once. One that does not exist is an error.
fn existing(app: &App, which: &ProfileSelector) -> Result<Vec<ProfileName>, CliError> {
    let mut existing: Vec<ProfileName> = Vec::new();
    for name in app.selected(which)? {
        app.store().get(&name)?;
        if !existing.contains(&name) {
            existing.push(name);
        }
    }
    Ok(existing)
}

/// Whether each line needs the name of its profile.
fn is_apart(names: &[ProfileName], which: &ProfileSelector) -> bool {
    names.len() > 1 || which.all
}

/// Reports that a profile's log has no lines: an error if the command names only that profile.
fn report_nothing(name: &ProfileName, apart: bool) -> Result<(), CliError> {
    if apart {
        output::message(nothing_yet(name));
        return Ok(());
    }
    let error = CliError::new(format!("the gateway of `{name}` has not logged anything"));
    Err(error.with_hint(format!("`hermes gateway start {name}` starts it")))
}

fn nothing_yet(name: &ProfileName) -> String {
    format!("the gateway of `{name}` has not logged anything yet")
}
