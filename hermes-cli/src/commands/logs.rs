//! `hermes gateway logs`: prints the lines of gateways, and with `--follow` the ones to come.
//!
//! The backend reads the logs ([`Logs`]). Here it is decided which profiles are meant, how their lines are
//! printed, and when a follower has to end.

mod follow;
mod print;

use hermes_core::ProfileName;

use self::print::Printer;
use super::status::names;
use crate::app::App;
use crate::args::ProfileSelector;
use crate::error::{CliError, exit};
use crate::output;

/// Which lines to print, and how.
pub(crate) struct Print {
    /// Only so many of the last lines of each.
    pub(crate) last: Option<usize>,
    /// Nothing escaped.
    pub(crate) raw: bool,
}

/// Prints the lines that the logs hold.
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

/// Prints the lines that the logs hold and the ones to come.
pub(crate) fn follow(app: &App, which: &ProfileSelector, print: Print) -> Result<u8, CliError> {
    let names = existing(app, which)?;
    let apart = is_apart(&names, which);
    app.hermes.with_logs(|logs| follow::follow(app, logs, names, apart, print))
}

/// The profiles that `which` names, each once, all of which exist.
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

/// Reports that a profile has no lines: an error if no other profile was asked for.
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
