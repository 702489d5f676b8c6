//! `hermes gateway logs`: what gateways said, and with `--follow` what they go on to say.
//!
//! How a log directory is read is s6's matter (`hermes_core::log`), and a journal its backend's. Here it is decided whose lines are
//! printed, in which order, and when a follower's work is over.

mod follow;
mod journal;
mod merge;
mod print;

use std::io;

use hermes_core::ProfileName;
use hermes_core::log::Lines;

use self::merge::Item;
use self::print::Printer;
pub(crate) use self::print::{missing, object};
use super::status::names;
use crate::app::App;
use crate::args::ProfileSelector;
use crate::error::{CliError, exit};
use crate::output;

/// What is to be printed, and how.
pub(crate) struct Print {
    /// Only so many of the last lines of each.
    pub(crate) last: Option<usize>,
    /// Nothing escaped.
    pub(crate) raw: bool,
}

/// Prints what is there.
pub(crate) fn read(app: &App, which: &ProfileSelector, print: Print) -> Result<u8, CliError> {
    let names = existing(app, which)?;
    let single = names.len() == 1 && !which.all;
    let services = app.registrar().ok();
    if let Some(journal) = services.as_ref().and_then(|services| services.journal()) {
        return journal::read(app, journal, names, !single, print);
    }
    let mut logs = Vec::new();
    let mut heard = Vec::new();
    for name in names {
        let lines = Lines::read(&app.root().gateway_logs(&name), print.last);
        match lines.map_err(|error| failed(&name, error))? {
            Some(lines) => {
                logs.push((name.clone(), lines));
                heard.push(name);
            }
            None if single => return Err(nothing(&name)),
            None => output::message(nothing_yet(&name)),
        }
    }
    let mut printer = Printer::new(app, heard, !single, print.raw);
    let mut said = print.last == Some(0);
    merge::in_time_order(
        &mut logs,
        |(name, lines)| {
            let line = lines.next_line().map_err(|error| failed(name, error))?;
            Ok(line.map(Item::Line))
        },
        |log, item| {
            said = true;
            printer.item(log, &item)
        },
    )?;
    printer.flush()?;
    if let ([(name, _)], true, false) = (logs.as_slice(), single, said) {
        return Err(nothing(name));
    }
    Ok(exit::SUCCESS)
}

/// Prints what is there and what comes.
pub(crate) fn follow(app: &App, which: &ProfileSelector, print: Print) -> Result<u8, CliError> {
    let names = existing(app, which)?;
    let apart = names.len() > 1 || which.all;
    let services = app.registrar().ok();
    match services.as_ref().and_then(|services| services.journal()) {
        Some(journal) => journal::follow(app, journal, names, apart, print),
        None => follow::follow(app, names, apart, print),
    }
}

/// The profiles that `which` names, each once, all of which exist.
fn existing(app: &App, which: &ProfileSelector) -> Result<Vec<ProfileName>, CliError> {
    let mut existing: Vec<ProfileName> = Vec::new();
    for name in names(app, which)? {
        app.store.get(&name)?;
        if !existing.contains(&name) {
            existing.push(name);
        }
    }
    Ok(existing)
}

fn nothing(name: &ProfileName) -> CliError {
    CliError::new(format!("the gateway of `{name}` has not logged anything"))
        .with_hint(format!("`hermes gateway start {name}` starts it"))
}

fn nothing_yet(name: &ProfileName) -> String {
    format!("the gateway of `{name}` has not logged anything yet")
}

fn failed(name: &ProfileName, error: io::Error) -> CliError {
    CliError::new(format!("failed to read the log of `{name}`")).because(error)
}
