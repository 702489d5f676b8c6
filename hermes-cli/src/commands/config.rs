//! `hermes config`: shows and checks the configuration of gateways. `show` prints it.

mod show;

use hermes_core::config::{ConfigError, Loaded, load_notify};
use hermes_core::diagnostics::Severity;
use hermes_core::{Gateway, ProfileName};
use serde_json::json;

use crate::app::App;
use crate::args::Config as Command;
use crate::error::{CliError, exit};
use crate::output;

pub(crate) fn run(app: &App, command: Command) -> Result<u8, CliError> {
    match command {
        Command::Show { name, effective } => show::run(app, name, effective),
        Command::Check { name } => check(app, name),
    }
}

/// Checks one profile or all; 1 if a configuration can't be used.
fn check(app: &App, name: Option<ProfileName>) -> Result<u8, CliError> {
    let profiles = match name {
        Some(name) => vec![app.store().get(&name)?],
        None => app.store().list()?.profiles,
    };
    let mut views = Vec::new();
    let mut code = exit::SUCCESS;
    for gateway in profiles.into_iter().map(Gateway::new) {
        let name = gateway.name();
        // An error of the whole file is reported once.
        let notify = || load_notify(&gateway.home().config()).map(drop);
        let loaded = gateway.loaded();
        let error = match &loaded {
            Ok(_) if name.is_default() => notify().err().map(|error| report(&error)),
            Ok(_) => None,
            Err(error) => Some(report(error)),
        };
        let notes = loaded.map(notes).unwrap_or_default();
        if error.is_some() {
            code = exit::FAILURE;
        }
        if app.json {
            let (error, hint) = error.unzip();
            let hint = hint.flatten();
            views.push(json!({ "profile": name, "ok": error.is_none(), "error": error, "hint": hint, "warnings": notes }));
            continue;
        }
        for note in &notes {
            output::judged(Severity::Warning, &format!(" `{name}`: {note}"))?;
        }
        match error {
            Some((error, hint)) => {
                output::judged(Severity::Error, &format!(" `{name}`: {error}"))?;
                if let Some(hint) = hint {
                    output::line(format_args!("  fix: {hint}"))?;
                }
            }
            None => output::judged(Severity::Ok, &format!(" `{name}`"))?,
        }
    }
    if app.json {
        output::json(&views)?;
    }
    Ok(code)
}

fn report(error: &ConfigError) -> (String, Option<String>) {
    (error.to_string(), error.hint())
}

/// What is probably not what the user means.
fn notes(loaded: &Loaded) -> Vec<String> {
    let misspelt = loaded.warnings.iter().map(ToString::to_string);
    let refers = |(name, value): (&String, &String)| {
        let note =
            format!("`gateway.env.{name}` passes `${{…}}` on as it is: only `.env` expands it");
        value.contains("${").then_some(note)
    };
    misspelt.chain(loaded.gateway.env.iter().filter_map(refers)).collect()
}
