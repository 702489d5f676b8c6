//! `hermes doctor`: prints the findings and their remedies.
//!
//! [`hermes::doctor`] makes the checks; `report` prints them. `health` makes none of them, but answers the
//! one question of a container's health check.

mod health;
mod report;

pub(crate) use self::health::run as health;
use hermes_core::diagnostics::{Finding, Remedy};

use crate::app::App;
use crate::called;
use crate::error::{CliError, exit};
use crate::output;

pub(crate) fn run(app: &App, fix: bool) -> Result<u8, CliError> {
    let mut report = if fix { app.hermes.repair() } else { app.hermes.doctor() };
    for Finding { remedy, .. } in &mut report.findings {
        if let Remedy::Run(text) | Remedy::Root(text) | Remedy::Do(text) = remedy {
            *text = called::named(text).into_owned();
        }
    }
    if app.json {
        output::json(&report)?;
    } else {
        report::print(&report)?;
    }
    Ok(if report.is_success() { exit::SUCCESS } else { exit::FAILURE })
}
