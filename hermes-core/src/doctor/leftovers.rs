//! Checks for leftovers of interrupted commands and of gateways that no longer exist.

use crate::agent::{Adoption, Stage};
use crate::diagnostics::{Check, Remedy, Snapshot, several};
use crate::error_chain::in_one_line;
use crate::name::ProfileName;
use crate::reconcile::Action;
use crate::shell::{quote, quote_path};
use crate::supervisor::Supervisor;

pub(super) fn checks(supervisor: &Supervisor, snapshot: &Snapshot) -> Vec<Check> {
    let mut checks =
        vec![renames(supervisor, snapshot), adoptions(snapshot), leftovers(supervisor, snapshot)];
    checks.extend(stale_files(snapshot));
    checks
}

fn renames(supervisor: &Supervisor, snapshot: &Snapshot) -> Check {
    let mut check = Check::new("renames");
    let actions = match supervisor.plan_renames() {
        Ok(actions) => actions,
        Err(error) => return Check::unknown("renames", in_one_line(&error)),
    };
    for action in actions {
        match action {
            Action::FinishRename { profile, detail } | Action::UndoRename { profile, detail } => {
                let problem = format!(
                    "a rename of `{profile}` was interrupted, or is still running: {detail}"
                );
                check.warning(problem, snapshot.run("doctor --fix"));
            }
            Action::Unreadable { what, detail } => {
                let remedy = Remedy::Run(format!("rm -rf -- {}", quote(&what)));
                check.error(format!("`{what}`: {detail}"), remedy);
            }
            _ => {}
        }
    }
    check.with_evidence("checked for journals of interrupted renames")
}

/// Gateways that `hermes adopt` has begun to take over or to put back, and the tree that it started for them.
fn adoptions(snapshot: &Snapshot) -> Check {
    let mut check = Check::new("adoptions");
    let adoption = match Adoption::read(&snapshot.root) {
        Ok(adoption) => adoption,
        Err(error) => {
            let path = snapshot.root.adoption_journal();
            return Check::unknown("adoptions", format!("{}: {error}", path.display()));
        }
    };
    let list = |names: Vec<&ProfileName>| {
        names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
    };
    let begun: Vec<_> = adoption.at(&[Stage::Recorded, Stage::Adopting]).collect();
    if !begun.is_empty() {
        let undo = snapshot.command_line("adopt --undo");
        let problem = format!(
            "the adoption of {} was interrupted, or is still running; `{undo}` puts everything back",
            list(begun)
        );
        check.error(problem, snapshot.run("adopt"));
    }
    let returning: Vec<_> = adoption.at(&[Stage::Returning]).collect();
    if !returning.is_empty() {
        let problem = format!(
            "`hermes adopt --undo` of {} was interrupted, or is still running",
            list(returning)
        );
        check.error(problem, snapshot.run("adopt --undo"));
    }
    if adoption.profiles.is_empty() && adoption.has_started_tree {
        let problem = "the tree that `hermes adopt` started runs no adopted gateway".to_owned();
        check.warning(problem, snapshot.run("adopt --undo"));
    }
    check.with_evidence(format!("{} in the journal", several(adoption.profiles.len(), "gateway")))
}

fn leftovers(supervisor: &Supervisor, snapshot: &Snapshot) -> Check {
    let mut check = Check::new("leftovers");
    let mut left = match supervisor.store().leftovers() {
        Ok(left) => left,
        Err(error) => {
            check.partial(in_one_line(&error));
            Vec::new()
        }
    };
    match &snapshot.services {
        Ok(services) => left.extend(services.actions().iter().filter_map(|action| match action {
            Action::Clear { path } if supervisor.driver().is_abandoned(path) => Some(path.clone()),
            _ => None,
        })),
        Err(why) => check.partial(why),
    }
    for path in left {
        let problem = format!("`{}` was left by an interrupted command", path.display());
        check.warning(problem, snapshot.run("doctor --fix"));
    }
    for path in supervisor.store().closed_leftovers() {
        let problem = format!("`{}` is closed to this user", path.display());
        check.warning(problem, Remedy::Root(format!("rm -rf -- {}", quote_path(&path))));
    }
    check.with_evidence(
        "checked for hidden directories beside profiles and slots, and unfinished files in them",
    )
}

/// From the plan of a boot, which lists the files of gateways that no longer exist.
fn stale_files(snapshot: &Snapshot) -> Option<Check> {
    let plan = match &snapshot.services {
        Ok(services) => services.plan.as_ref()?,
        Err(why) => return Some(Check::unknown("stale-files", why)),
    };
    let mut check = Check::new("stale-files");
    for action in plan {
        let Action::Sweep { profile } = action else { continue };
        let home = snapshot.root.profile(profile);
        let there = home.stale_when_down().into_iter().filter(|path| path.exists());
        let there: Vec<_> = there.map(|path| format!("`{}`", path.display())).collect();
        let problem = format!(
            "`{profile}` has files of a gateway that no longer exists: {}",
            there.join(", ")
        );
        check.warning(problem, snapshot.run("doctor --fix"));
    }
    Some(check.with_evidence("checked for files of gateways that no longer exist"))
}
