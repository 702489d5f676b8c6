//! `hermes config check`: whether gateways could start with their configuration. The one checker, for `edit`, too.

use hermes_core::config::{ConfigError, Loaded, Quote, parse_notify};
use hermes_core::diagnostics::Severity;
use hermes_core::store::Profile;
use hermes_core::{ProfileName, config, settings};
use serde_json::json;

use crate::app::App;
use crate::error::{CliError, exit};
use crate::output;

/// Checks one profile or all; 1 if a configuration can't be used.
pub(super) fn run(app: &App, name: Option<ProfileName>) -> Result<u8, CliError> {
    let profiles = match name {
        Some(name) => vec![app.store().get(&name)?],
        None => app.store().list()?.profiles,
    };
    let mut views = Vec::new();
    let mut reported: Vec<(String, ProfileName)> = Vec::new();
    let mut code = exit::SUCCESS;
    for profile in profiles {
        let name = &profile.name;
        let text = config::read(&profile.home.config());
        let checked = text.and_then(|text| check(&profile, &text));
        if checked.is_err() {
            code = exit::FAILURE;
        }
        if app.json {
            let (error, warnings) = match checked {
                Ok(warnings) => (None, warnings),
                Err(error) => (Some(error), Vec::new()),
            };
            let hint = error.as_ref().and_then(ConfigError::hint);
            let error = error.map(|error| error.to_string());
            views.push(json!({ "profile": name, "ok": error.is_none(), "error": error, "hint": hint, "warnings": warnings }));
            continue;
        }
        match checked {
            Ok(warnings) => {
                warn(name, &warnings)?;
                output::judged(Severity::Ok, &format!(" `{name}`"))?;
            }
            // Wrong defaults are an error of every profile.
            Err(error) => match reported.iter().find(|(former, _)| *former == error.to_string()) {
                Some((_, other)) => {
                    output::judged(Severity::Error, &format!(" `{name}`: the one of `{other}`"))?;
                }
                None => {
                    report(name, &error, &error.quotes())?;
                    reported.push((error.to_string(), name.clone()));
                }
            },
        }
    }
    if app.json {
        output::json(&views)?;
    }
    Ok(code)
}

/// What is probably not what the user means, if `text` were the profile's `config.yaml`. Fails if its gateway could not
/// start with it.
pub(super) fn check(profile: &Profile, text: &str) -> Result<Vec<String>, ConfigError> {
    let loaded = settings::load_from(&profile.home, text)?;
    if profile.name.is_default() {
        parse_notify(text, &profile.home.config())?;
    }
    Ok(warnings(&loaded))
}

/// Prints why the configuration of `name` can't be used, with the lines that are wrong.
pub(super) fn report(
    name: &ProfileName,
    error: &ConfigError,
    quotes: &[Quote],
) -> Result<(), CliError> {
    output::judged(Severity::Error, &format!(" `{name}`: {error}"))?;
    output::styled_lines(&output::quoted(quotes))?;
    match error.hint() {
        Some(hint) => output::line(format_args!("  fix: {hint}")),
        None => Ok(()),
    }
}

/// Prints the warnings of a configuration that can be used.
pub(super) fn warn(name: &ProfileName, warnings: &[String]) -> Result<(), CliError> {
    let mut warnings = warnings.iter();
    warnings
        .try_for_each(|warning| output::judged(Severity::Warning, &format!(" `{name}`: {warning}")))
}

fn warnings(loaded: &Loaded) -> Vec<String> {
    let misspelt = loaded.warnings.iter().map(ToString::to_string);
    let refers = |(name, value): (&String, &String)| {
        let note =
            format!("`gateway.env.{name}` passes `${{…}}` on as it is: only `.env` expands it");
        value.contains("${").then_some(note)
    };
    misspelt.chain(loaded.gateway.env.iter().filter_map(refers)).collect()
}
