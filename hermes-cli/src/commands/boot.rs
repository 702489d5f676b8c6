//! `hermes boot`: the slots of this machine in line with its profiles.

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
            output::lines(plan.iter().map(describe))?;
        }
        return Ok(exit::SUCCESS);
    }
    let booted = supervisor.boot(jobs)?;
    let outcomes = &booted.outcomes;
    if app.json {
        output::json(outcomes)?;
    } else {
        output::lines(outcomes.iter().map(|outcome| describe(&outcome.action)))?;
    }
    report(&booted);
    let failed = outcomes.iter().any(|outcome| outcome.error.is_some());
    Ok(if failed { exit::FAILURE } else { exit::SUCCESS })
}

/// Says on stderr what went wrong, and what was passed over.
pub(crate) fn report(booted: &Booted) {
    if let Some(error) = &booted.unlogged {
        output::warning(format_args!("the boot log has no word of this boot: {error}"));
    }
    for Outcome { action, error, .. } in &booted.outcomes {
        match (action, error) {
            (_, Some(error)) => output::warning(format_args!("{}: {error}", describe(action))),
            (Action::Skip { what, detail }, None) => {
                output::warning(format_args!("`{what}` is passed over: {detail}"));
            }
            _ => {}
        }
    }
}

pub(super) fn describe(action: &Action) -> String {
    let with = |verb: &str, what: &dyn std::fmt::Display, detail: &str| match detail {
        "" => format!("{verb} {what}"),
        detail => format!("{verb} {what}: {detail}"),
    };
    match action {
        Action::FinishRename { profile, detail } => with("finish the rename of", profile, detail),
        Action::UndoRename { profile, detail } => with("undo the rename of", profile, detail),
        Action::Clear { path } => with("clear", &path.display(), "left by an interrupted command"),
        Action::Remove { profile, detail } => with("remove", profile, detail),
        Action::Sweep { profile } => with("sweep", profile, "files of a gateway that is no more"),
        Action::Register { profile, detail } => with("register", profile, detail),
        Action::Start { profile } => with("start", profile, ""),
        Action::Stop { profile } => with("stop", profile, "it is not wanted"),
        Action::Keep { profile, detail } => with("keep", profile, detail),
        Action::Skip { what, detail } => with("skip", what, detail),
    }
}
