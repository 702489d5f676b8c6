//! The slots: one for each profile and none besides, made by this version, and nothing that
//! interrupted commands left.

use hermes_core::{ProfileName, State};
use hermes_s6::layout::GENERATION;
use hermes_s6::mend;
use hermes_s6::reconcile::Action;

use super::homes::quoted;
use super::report::{Check, Mend, several};
use super::scene::{Scene, TreeScene};
use crate::error::CliError;

pub(super) fn checks(scene: &Scene<'_>) -> Vec<Check> {
    let mut left = left_of_profiles(scene);
    let tree = match &scene.tree {
        Ok(tree) => tree,
        Err(why) => {
            left.not_all(why.clone());
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
            Action::Clear { path } if mend::is_abandoned(tree.manager.tree(), path) => {
                let problem = format!("`{}` was left by an interrupted command", path.display());
                left.warning(problem, scene.run("doctor --fix"));
            }
            Action::Sweep { profile } => {
                let home = scene.app.root().profile(profile);
                let there = home.stale_when_down().into_iter().filter(|path| path.exists());
                let there: Vec<_> = there.map(|path| format!("`{}`", path.display())).collect();
                let problem = format!(
                    "`{profile}` has files of a gateway that is no more: {}",
                    there.join(", ")
                );
                swept.warning(problem, scene.run("doctor --fix"));
            }
            _ => {}
        }
    }
    let swept = swept.saw("files of gateways that are no more are looked for");
    vec![slots(scene, tree), stale(scene, tree), renames(scene, tree), left, swept]
}

fn renames(scene: &Scene<'_>, tree: &TreeScene) -> Check {
    let mut check = Check::new("renames");
    for action in &tree.plan {
        match action {
            Action::FinishRename { profile, detail } | Action::UndoRename { profile, detail } => {
                let problem =
                    format!("a rename of `{profile}` was interrupted, or goes on: {detail}");
                check.warning(problem, scene.run("doctor --fix"));
            }
            Action::Skip { what, detail } if detail.starts_with("no journal") => {
                let mend = Mend::Run(format!("rm -- {}", quoted(what.as_ref())));
                check.error(format!("`{what}`: {detail}"), mend);
            }
            _ => {}
        }
    }
    check.saw("journals of renames that have not ended are looked for")
}

/// Whether boot would make the slot of `name` anew.
pub(super) fn replaced(plan: &[Action], name: &ProfileName) -> bool {
    plan.iter().any(|action| matches!(action, Action::Remove { profile, .. } if profile == name))
}

fn slots(scene: &Scene<'_>, tree: &TreeScene) -> Check {
    let mut check = Check::new("slots");
    let registered = |name| scene.status(name).is_some_and(|status| status.registered);
    for action in &tree.plan {
        match action {
            Action::Remove { profile, .. } if scene.status(profile).is_none() => {
                let path = tree.manager.tree().scandir.slot(profile).path().display().to_string();
                let problem = format!("the slot `{path}` has no profile");
                check.warning(problem, scene.run(&format!("gateway unregister {profile}")));
            }
            Action::Remove { profile, .. } => {
                let state = scene.status(profile).map(|status| status.state);
                // Told with its gateway.
                if !matches!(state, Some(State::Orphan | State::Stray)) {
                    let problem = format!("nobody supervises the slot of `{profile}`");
                    check.error(problem, scene.run("boot"));
                }
            }
            Action::Register { profile, detail } if !replaced(&tree.plan, profile) => {
                let detail = if detail.is_empty() { String::new() } else { format!("; {detail}") };
                let problem = format!("`{profile}` has no slot{detail}");
                check.error(problem, scene.run(&format!("gateway register {profile}")));
            }
            Action::Start { profile } if !registered(profile) => {
                let problem = format!("`{profile}` is wanted and has no slot");
                check.error(problem, scene.run(&format!("gateway start {profile}")));
            }
            Action::Skip { what, detail } if detail.starts_with("its slot") => {
                let slot = what.parse().map(|name| tree.manager.tree().scandir.slot(&name));
                let mend = match slot {
                    Ok(slot) => super::homes::permit(scene, slot.path()),
                    Err(_) => scene.run("boot"),
                };
                check.error(format!("`{what}`: {detail}"), mend);
            }
            _ => {}
        }
    }
    let slots = tree.manager.tree().scandir.profiles().map_or(0, |slots| slots.len());
    let profiles = scene.profiles.len();
    check.saw(format!("{} of {}", several(slots, "slot"), several(profiles, "profile")))
}

fn stale(scene: &Scene<'_>, tree: &TreeScene) -> Check {
    let mut check = Check::new("stale-slots");
    for profile in &scene.profiles {
        let name = &profile.profile.name;
        let slot = tree.manager.tree().scandir.slot(name);
        if slot.is_current() || !scene.status(name).is_some_and(|status| status.registered) {
            continue;
        }
        let by = slot.rendered_by().map_or_else(
            || "an unknown version".to_owned(),
            |generation| format!("generation {generation}, and this one is {GENERATION}"),
        );
        let problem =
            format!("the slot of `{name}` was made by {by} (`{}`)", slot.generation().display());
        check.warning(problem, scene.run(&format!("gateway register --refresh {name}")));
    }
    check.saw(format!("this version makes generation {GENERATION}"))
}

fn left_of_profiles(scene: &Scene<'_>) -> Check {
    let mut check = Check::new("leftovers");
    match scene.app.store.leftovers() {
        Ok(left) => {
            for path in left {
                let problem = format!("`{}` was left by an interrupted command", path.display());
                check.warning(problem, scene.run("doctor --fix"));
            }
        }
        Err(error) => check.not_all(CliError::of(error).in_one_line()),
    }
    check.saw("hidden directories beside profiles and slots, and unfinished files in them, are looked for")
}
