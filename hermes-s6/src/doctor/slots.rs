//! Checks that each profile has a slot of this version with its own scripts, and that no other slot exists.

use hermes_core::diagnostics::{Check, Expected, Remedy, permit, several};
use hermes_core::reconcile::Action;
use hermes_core::{ProfileName, State, fsutil};

use super::View;
use crate::slot::layout::{GENERATION, ServiceDir};
use crate::slot::render::{self, Scripts};
use crate::tree::Tree;
use crate::tree::survey::hint_for_newer;

pub(super) const CHECKS: [&str; 2] = ["slots", "stale-slots"];

pub(super) fn checks(view: View<'_>) -> Vec<Check> {
    vec![slots(view), stale(view)]
}

fn slots(view: View<'_>) -> Check {
    let View { tree, snapshot, services, .. } = view;
    let mut check = Check::new("slots");
    let registered = |name| snapshot.status(name).is_some_and(|status| status.registered);
    // The check of its gateway reports it.
    let reported = |name| {
        let status = snapshot.status(name);
        status.is_some_and(|status| matches!(status.state, State::Orphan | State::Stray))
    };
    for action in services.actions() {
        match action {
            Action::Remove { profile, .. } if snapshot.status(profile).is_none() => {
                let path = tree.scandir.slot(profile).path().display().to_string();
                let problem = format!("the slot `{path}` has no profile");
                check.warning(problem, snapshot.run(&format!("gateway unregister {profile}")));
            }
            Action::Remove { profile, .. } if !reported(profile) => {
                let problem = format!("nobody supervises the slot of `{profile}`");
                check.error(problem, snapshot.run("boot"));
            }
            Action::Register { profile, detail } if !services.is_to_be_removed(profile) => {
                let detail = if detail.is_empty() { String::new() } else { format!("; {detail}") };
                let problem = format!("`{profile}` has no slot{detail}");
                check.error(problem, snapshot.run(&format!("gateway register {profile}")));
            }
            Action::Start { profile } if !registered(profile) && !reported(profile) => {
                let problem = format!("`{profile}` is wanted and has no slot");
                check.error(problem, snapshot.run(&format!("gateway start {profile}")));
            }
            Action::Unreadable { what, detail } if detail.starts_with("its slot") => {
                let slot = what.parse().map(|name| tree.scandir.slot(&name));
                let remedy = match slot {
                    Ok(slot) => permit(&snapshot.root, slot.path(), Expected::Directory),
                    Err(_) => snapshot.run("boot"),
                };
                check.error(format!("`{what}`: {detail}"), remedy);
            }
            _ => {}
        }
    }
    let slots = tree.scandir.profiles().map_or(0, |slots| slots.len());
    let profiles = snapshot.gateways.len();
    check.with_evidence(format!("{} of {}", several(slots, "slot"), several(profiles, "profile")))
}

fn stale(view: View<'_>) -> Check {
    let View { tree, snapshot, .. } = view;
    let mut check = Check::new("stale-slots");
    for gateway in &snapshot.gateways {
        let name = gateway.name();
        let slot = tree.scandir.slot(name);
        if !snapshot.status(name).is_some_and(|status| status.registered) {
            continue;
        }
        let refresh = || snapshot.run(&format!("gateway register --refresh {name}"));
        if slot.is_current() {
            for problem in changed_scripts(tree, name, &slot) {
                check.warning(problem, refresh());
            }
            continue;
        }
        if let Err(problem) = slot.refuse_newer() {
            let hint = Remedy::Do(hint_for_newer(name));
            check.warning(format!("the slot of `{name}` is not this version's: {problem}"), hint);
            continue;
        }
        let by = slot.rendered_by().map_or_else(
            || "an unknown version".to_owned(),
            |generation| format!("generation {generation}, and this one is {GENERATION}"),
        );
        let problem =
            format!("the slot of `{name}` was made by {by} (`{}`)", slot.generation().display());
        check.warning(problem, refresh());
    }
    check.with_evidence(format!("this version writes generation {GENERATION}"))
}

/// What differs between the scripts of a slot and those that this program renders for it.
fn changed_scripts(tree: &Tree, name: &ProfileName, slot: &ServiceDir) -> Vec<String> {
    let variables = slot.extra_env().ok();
    let rendered = variables.and_then(|it| render::scripts(&tree.programs, name, &it).ok());
    let Some(Scripts { run, finish, log_run }) = rendered else { return Vec::new() };
    let mut changed = Vec::new();
    for (file, text) in [("run", run), ("finish", finish), ("log/run", log_run)] {
        let path = slot.path().join(file);
        let problem = match fsutil::read_if_there(&path) {
            Ok(Some(bytes)) if bytes == text.as_bytes() => continue,
            Ok(Some(_)) => "differs from what this version renders".to_owned(),
            Ok(None) => "is missing".to_owned(),
            Err(error) => format!("can't be read: {error}"),
        };
        changed.push(format!("in the slot of `{name}`, `{}` {problem}", path.display()));
    }
    changed
}
