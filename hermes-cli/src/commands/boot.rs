//! `hermes boot`: the slots of this machine in line with its profiles.

use std::os::unix::fs::MetadataExt;

use fs_err as fs;
use hermes_s6::boot::{self, Booted, Outcome};
use hermes_s6::delegate;
use hermes_s6::reconcile::Action;

use crate::app::App;
use crate::error::{CliError, exit};
use crate::output;

pub(crate) fn run(app: &App, dry_run: bool, jobs: usize) -> Result<u8, CliError> {
    app.refuse_client()?;
    let manager = &app.s6()?;
    if dry_run {
        let plan = boot::plan(manager)?;
        if app.json {
            output::json(&plan)?;
        } else {
            output::lines(plan.iter().map(describe))?;
        }
        return Ok(exit::SUCCESS);
    }
    let booted = boot::boot(manager, jobs)?;
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

/// As root: gives the scan directory to the owner of the home.
pub(crate) fn delegate(app: &App) -> Result<u8, CliError> {
    let home = app.root().path();
    let owner = fs::metadata(home)
        .map_err(|error| CliError::new("failed to find the owner of the home").because(error))?;
    let manager = app.s6()?;
    let scandir = manager.tree().scandir.path();
    delegate::delegate(scandir, owner.uid(), owner.gid()).map_err(CliError::of)?;
    output::message(format_args!("`{}` belongs to uid {} now", scandir.display(), owner.uid()));
    Ok(exit::SUCCESS)
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
