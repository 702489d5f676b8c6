//! `hermes boot`: brings slots and gateways in line with the profiles.

use hermes_core::reconcile::{Action, Outcome};
use hermes_core::supervisor::Booted;

use crate::app::App;
use crate::error::{CliError, exit};
use crate::output;

pub(crate) fn run(app: &App, dry_run: bool, jobs: usize) -> Result<u8, CliError> {
    let supervisor = app.reachable()?;
    if dry_run {
        let plan = supervisor.plan_boot()?;
        if app.json {
            output::json(&plan)?;
        } else {
            output::lines(&plan)?;
        }
        return Ok(exit::SUCCESS);
    }
    let booted = supervisor.boot(jobs)?;
    let outcomes = &booted.outcomes;
    if app.json {
        output::json(outcomes)?;
    } else {
        output::lines(outcomes.iter().map(|outcome| &outcome.action))?;
    }
    report(&booted);
    let is_failure = |outcome: &Outcome| {
        outcome.error.is_some() || matches!(outcome.action, Action::Unreadable { .. })
    };
    let failed = outcomes.iter().any(is_failure);
    Ok(if failed { exit::FAILURE } else { exit::SUCCESS })
}

/// Prints errors, and what was skipped or can't be read, to stderr.
pub(crate) fn report(booted: &Booted) {
    if let Some(error) = &booted.unlogged {
        output::warning(format_args!("failed to write the boot log: {error}"));
    }
    for Outcome { action, error, .. } in &booted.outcomes {
        match (action, error) {
            (_, Some(error)) => output::warning(format_args!("{action}: {error}")),
            (Action::Leave { profile, detail }, None) => {
                output::warning(format_args!("`{profile}` is left alone: {detail}"));
            }
            // Another gateway has its port, or it runs already.
            (Action::Register { profile, detail }, None) if !detail.is_empty() => {
                output::warning(format_args!("`{profile}` is {detail}"));
            }
            (Action::Skip { what, detail }, None) => {
                output::warning(format_args!("skipped `{what}`: {detail}"));
            }
            (Action::Unreadable { what, detail }, None) => {
                output::warning(format_args!("`{what}` can't be read: {detail}"));
            }
            _ => {}
        }
    }
}
