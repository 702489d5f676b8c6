//! `hermes gateway logs`: prints the lines of gateways' logs, and with `--follow` new lines as they come.
//!
//! The backend reads the logs ([`Logs`]). This module selects the profiles, prints the lines, and decides
//! when `--follow` ends.

mod events;
mod follow;
mod print;

use hermes_core::ProfileName;
use hermes_core::log::Selection;

use self::events::Events;
use self::print::Printer;
use crate::app::App;
use crate::args::ProfileSelector;
use crate::args::gateway::Logs;
use crate::commands::following::LAST;
use crate::error::{CliError, exit};
use crate::output;

/// What is printed, and how.
struct Print {
    /// Which lines.
    selection: Selection,
    /// Whether events are printed between the lines.
    events: bool,
    /// Whether lines are printed unescaped, also on a terminal.
    raw: bool,
}

/// Prints the lines in the logs, and with `--follow` new ones.
pub(crate) fn run(app: &App, args: Logs) -> Result<u8, CliError> {
    let Logs { which, lines, follow, since, until, grep, events, raw } = args;
    if since.zip(until).is_some_and(|(since, until)| since > until) {
        let error = CliError::new("the time of --since is after that of --until");
        return Err(error.with_code(exit::USAGE));
    }
    // With a beginning, everything since then is wanted.
    let first = if follow && since.is_none() { Some(LAST) } else { None };
    let selection = Selection { since, until, pattern: grep, last: lines.or(first) };
    let print = Print { selection, events, raw };
    if follow { self::follow(app, &which, &print) } else { read(app, &which, &print) }
}

/// Prints the lines in the logs.
fn read(app: &App, which: &ProfileSelector, print: &Print) -> Result<u8, CliError> {
    let names = existing(app, which)?;
    let apart = is_apart(&names, which);
    let mut events = print.events.then(|| Events::new(app, names.clone(), &print.selection));
    events.as_mut().map(Events::read).transpose()?;
    app.hermes.with_logs(|logs| {
        let mut found = Vec::new();
        for name in &names {
            match logs.exists(name)? {
                true => found.push(name.clone()),
                // What happened to it may say why.
                false if print.events => output::message(nothing_yet(name)),
                false => report_nothing(name, apart, &print.selection)?,
            }
        }
        let mut silent = vec![print.selection.last != Some(0); found.len()];
        let mut printer = Printer::new(app, found.clone(), apart, print.raw);
        for line in logs.read(&found, &print.selection)? {
            let (place, line) = line?;
            silent[place] = false;
            if !printer.events_before(&line, events.as_mut())? || !printer.line(place, &line)? {
                return Ok(exit::SUCCESS);
            }
        }
        let is_read = printer.other_events(events.as_mut())?;
        if printer.flush()? && is_read && !print.events {
            let silent = found.iter().zip(silent).filter(|(_, silent)| *silent);
            silent
                .into_iter()
                .try_for_each(|(name, _)| report_nothing(name, apart, &print.selection))?;
        }
        Ok(exit::SUCCESS)
    })
}

/// Prints the last lines in the logs, and new ones as they come.
fn follow(app: &App, which: &ProfileSelector, print: &Print) -> Result<u8, CliError> {
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
        let mut lines = logs.read(std::slice::from_ref(name), &Selection::last(lines))?.peekable();
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

/// Reports that a profile's log has no selected lines: an error if the command names only that profile.
fn report_nothing(name: &ProfileName, apart: bool, selection: &Selection) -> Result<(), CliError> {
    let Selection { since, until, pattern, .. } = selection;
    let is_part = since.is_some() || until.is_some() || pattern.is_some();
    match (apart, is_part) {
        (true, true) => {}
        (true, false) => output::message(nothing_yet(name)),
        (false, true) => {
            let error = format!("the log of `{name}` has no line that matches");
            return Err(
                CliError::new(error).with_hint(format!("`hermes gateway logs {name}` prints all"))
            );
        }
        (false, false) => {
            let error = CliError::new(format!("the gateway of `{name}` has not logged anything"));
            return Err(
                error.with_hint(format!("`hermes gateway status {name}` shows whether it runs"))
            );
        }
    }
    Ok(())
}

fn nothing_yet(name: &ProfileName) -> String {
    format!("the gateway of `{name}` has not logged anything yet")
}
