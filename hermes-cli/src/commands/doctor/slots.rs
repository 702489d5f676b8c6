//! The slots: one for each profile and none besides, made by this version, and nothing that
//! interrupted commands left.

use hermes_core::Driver;
use hermes_core::reconcile::Action;
use hermes_core::{ProfileName, State};
use hermes_s6::slot::layout::GENERATION;

use super::homes::quoted;
use super::report::{Check, Remedy, several};
use super::snapshot::{Snapshot, TreeSnapshot};
use crate::error::CliError;

pub(super) fn checks(snapshot: &Snapshot<'_>) -> Vec<Check> {
    let mut left = left_of_profiles(snapshot);
    let tree = match &snapshot.tree {
        Ok(tree) => tree,
        Err(why) => {
            left.partial(why.clone());
            let unseen = |check| Check::unknown(check, why.clone());
            return vec![
                unseen("slots"),
                unseen("stale-slots"),
                unseen("renames"),
                left,
                unseen("stale-files"),
            ];
        }
    };
    let mut swept = Check::new("stale-files");
    for action in &tree.plan {
        match action {
            Action::Clear { path } if tree.manager.is_abandoned(path) => {
                let problem = format!("`{}` was left by an interrupted command", path.display());
                left.warning(problem, snapshot.run("doctor --fix"));
            }
            Action::Sweep { profile } => {
                let home = snapshot.app.root().profile(profile);
                let there = home.stale_when_down().into_iter().filter(|path| path.exists());
                let there: Vec<_> = there.map(|path| format!("`{}`", path.display())).collect();
                let problem = format!(
                    "`{profile}` has files of a gateway that is no more: {}",
                    there.join(", ")
                );
                swept.warning(problem, snapshot.run("doctor --fix"));
            }
            _ => {}
        }
    }
    let swept = swept.evidence("files of gateways that are no more are looked for");
    vec![slots(snapshot, tree), stale(snapshot, tree), renames(snapshot, tree), left, swept]
}

fn renames(snapshot: &Snapshot<'_>, tree: &TreeSnapshot) -> Check {
    let mut check = Check::new("renames");
    for action in &tree.plan {
        match action {
            Action::FinishRename { profile, detail } | Action::UndoRename { profile, detail } => {
                let problem =
                    format!("a rename of `{profile}` was interrupted, or goes on: {detail}");
                check.warning(problem, snapshot.run("doctor --fix"));
            }
            Action::Skip { what, detail } if detail.starts_with("no journal") => {
                let remedy = Remedy::Run(format!("rm -- {}", quoted(what.as_ref())));
                check.error(format!("`{what}`: {detail}"), remedy);
            }
            _ => {}
        }
    }
    check.evidence("journals of renames that have not ended are looked for")
}

/// Whether boot would make the slot of `name` anew.
pub(super) fn replaced(plan: &[Action], name: &ProfileName) -> bool {
    plan.iter().any(|action| matches!(action, Action::Remove { profile, .. } if profile == name))
}

fn slots(snapshot: &Snapshot<'_>, tree: &TreeSnapshot) -> Check {
    let mut check = Check::new("slots");
    let registered = |name| snapshot.status(name).is_some_and(|status| status.registered);
    for action in &tree.plan {
        match action {
            Action::Remove { profile, .. } if snapshot.status(profile).is_none() => {
                let path = tree.manager.tree().scandir.slot(profile).path().display().to_string();
                let problem = format!("the slot `{path}` has no profile");
                check.warning(problem, snapshot.run(&format!("gateway unregister {profile}")));
            }
            Action::Remove { profile, .. } => {
                let state = snapshot.status(profile).map(|status| status.state);
                // Told with its gateway.
                if !matches!(state, Some(State::Orphan | State::Stray)) {
                    let problem = format!("nobody supervises the slot of `{profile}`");
                    check.error(problem, snapshot.run("boot"));
                }
            }
            Action::Register { profile, detail } if !replaced(&tree.plan, profile) => {
                let detail = if detail.is_empty() { String::new() } else { format!("; {detail}") };
                let problem = format!("`{profile}` has no slot{detail}");
                check.error(problem, snapshot.run(&format!("gateway register {profile}")));
            }
            Action::Start { profile } if !registered(profile) => {
                let problem = format!("`{profile}` is wanted and has no slot");
                check.error(problem, snapshot.run(&format!("gateway start {profile}")));
            }
            Action::Skip { what, detail } if detail.starts_with("its slot") => {
                let slot = what.parse().map(|name| tree.manager.tree().scandir.slot(&name));
                let remedy = match slot {
                    Ok(slot) => super::homes::permit(snapshot, slot.path()),
                    Err(_) => snapshot.run("boot"),
                };
                check.error(format!("`{what}`: {detail}"), remedy);
            }
            _ => {}
        }
    }
    let slots = tree.manager.tree().scandir.profiles().map_or(0, |slots| slots.len());
    let profiles = snapshot.profiles.len();
    check.evidence(format!("{} of {}", several(slots, "slot"), several(profiles, "profile")))
}

fn stale(snapshot: &Snapshot<'_>, tree: &TreeSnapshot) -> Check {
    let mut check = Check::new("stale-slots");
    for profile in &snapshot.profiles {
        let name = &profile.profile.name;
        let slot = tree.manager.tree().scandir.slot(name);
        if slot.is_current() || !snapshot.status(name).is_some_and(|status| status.registered) {
            continue;
        }
        let by = slot.rendered_by().map_or_else(
            || "an unknown version".to_owned(),
            |generation| format!("generation {generation}, and this one is {GENERATION}"),
        );
        let problem =
            format!("the slot of `{name}` was made by {by} (`{}`)", slot.generation().display());
        check.warning(problem, snapshot.run(&format!("gateway register --refresh {name}")));
    }
    check.evidence(format!("this version makes generation {GENERATION}"))
}

fn left_of_profiles(snapshot: &Snapshot<'_>) -> Check {
    let mut check = Check::new("leftovers");
    match snapshot.app.store().leftovers() {
        Ok(left) => {
            for path in left {
                let problem = format!("`{}` was left by an interrupted command", path.display());
                check.warning(problem, snapshot.run("doctor --fix"));
            }
        }
        Err(error) => check.partial(CliError::of(error).in_one_line()),
    }
    check.evidence("hidden directories beside profiles and slots, and unfinished files in them, are looked for")
}
