//! `hermes gateway logs`: prints the lines of gateways' logs, and with `--follow` new lines as they come.
//!
//! The backend reads the logs ([`Logs`]). This module selects the profiles, prints the lines, and decides
//! when `--follow` ends.

mod follow;
mod print;

use hermes_core::ProfileName;

pub(super) use self::follow::{LAST, Signals, TimeLimit};
use self::print::Printer;
use super::status::names;
use crate::app::App;
use crate::args::ProfileSelector;
use crate::error::{CliError, exit};
use crate::output;

/// The options for printing.
pub(crate) struct Print {
    /// How many of the last lines of each log to print.
    pub(crate) last: Option<usize>,
    /// Whether lines are printed unescaped, also on a terminal.
    pub(crate) raw: bool,
}

/// Prints the lines in the logs.
pub(crate) fn read(app: &App, which: &ProfileSelector, print: Print) -> Result<u8, CliError> {
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
pub(crate) fn follow(app: &App, which: &ProfileSelector, print: Print) -> Result<u8, CliError> {
    let names = existing(app, which)?;
    let apart = is_apart(&names, which);
    app.hermes.with_logs(|logs| follow::follow(app, logs, names, apart, print))
}

/// The profiles that `which` selects, each once. One that does not exist is an error.
fn existing(app: &App, which: &ProfileSelector) -> Result<Vec<ProfileName>, CliError> {
    let mut existing: Vec<ProfileName> = Vec::new();
    for name in names(app, which)? {
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
