//! The gateways' processes: where they are not as the operator wants them, or not the supervisor's.

use hermes_core::reconcile::Action;
use hermes_core::{Intent, State, Status};
use hermes_s6::tree::process_tracker;

use super::report::{Check, Remedy, several};
use super::slots::replaced;
use super::snapshot::Snapshot;

const CHECKS: [&str; 6] = ["orphans", "strays", "processes", "parked", "backoff", "wanted"];

pub(super) fn checks(snapshot: &Snapshot<'_>) -> Vec<Check> {
    let tree = match &snapshot.tree {
        Ok(tree) => tree,
        Err(why) => return CHECKS.map(|check| Check::unknown(check, why.clone())).into(),
    };
    let [mut orphans, mut strays, mut processes, mut parked, mut backoff, mut wanted] =
        CHECKS.map(Check::new);
    let mut up = 0;
    for profile in &snapshot.profiles {
        let name = &profile.profile.name;
        let status = match &profile.status {
            Ok(status) => status,
            Err(error) => {
                let remedy =
                    super::homes::permit(snapshot, tree.manager.tree().scandir.slot(name).path());
                wanted.error(format!("the status of `{name}` can't be read: {error}"), remedy);
                continue;
            }
        };
        // What is wanted is to be up afterwards; what is not is to be down.
        let is_wanted = status.intent == Some(Intent::Running);
        let verb = if is_wanted { "restart" } else { "stop" };
        let again = || snapshot.run(&format!("gateway {verb} {name}"));
        match (status.state, status.pid) {
            (State::Orphan, Some(pid)) => {
                let problem = format!("the gateway of `{name}` runs as {pid}, unsupervised");
                orphans.error(problem, again());
            }
            (State::Stray, _) => {
                let who = title_of_strays(tree.manager.tree(), name);
                let problem = format!(
                    "the gateway of `{name}` has a supervisor that no s6-svscan looks after: {who}"
                );
                strays.error(problem, again());
            }
            (State::Parked, _) => {
                parked.error(parked_because(status), again_later(snapshot, status))
            }
            (State::Backoff, _) => backoff.warning(crashing(status), again_later(snapshot, status)),
            _ => {}
        }
        up += usize::from(status.state.is_running());
        if matches!(status.state, State::Down | State::Parked) {
            match process_tracker::left_of(tree.manager.tree(), name) {
                Ok(left) if left.is_empty() => {}
                Ok(left) => {
                    let titles = left.iter().map(|pid| tree.manager.tree().proc.title(*pid));
                    let titles = titles.collect::<Vec<_>>().join(", ");
                    let problem = format!("the gateway of `{name}` is down and has left {titles}");
                    processes.error(problem, again());
                }
                Err(error) => processes.partial(error.to_string()),
            }
        }
    }
    for action in &tree.plan {
        let (name, problem, verb) = match action {
            Action::Start { profile } => (profile, "is wanted and does not run", "start"),
            Action::Stop { profile } => (profile, "is not wanted, and runs or will", "stop"),
            _ => continue,
        };
        let status = snapshot.status(name);
        let told = |s: &Status| !s.registered || matches!(s.state, State::Orphan | State::Stray);
        if replaced(&tree.plan, name) || status.is_none_or(told) {
            continue;
        }
        let remedy = snapshot.run(&format!("gateway {verb} {name}"));
        let state = status.map_or(State::Down, |status| status.state);
        let problem = format!("the gateway of `{name}` {problem}: it is {state}");
        match action {
            Action::Start { .. } => wanted.error(problem, remedy),
            _ => wanted.warning(problem, remedy),
        }
    }
    let looked = snapshot.profiles.len();
    let count = |check: &Check| several(check.findings.len(), "gateway");
    let (gave_up, crash) = (count(&parked), count(&backoff));
    vec![
        orphans
            .evidence(format!("{} of their profiles' locks looked at", several(looked, "holder"))),
        strays.evidence("each supervisor's parent is looked at"),
        processes.evidence("what is left of gateways that are down is looked for"),
        parked.evidence(format!("{gave_up} gave up")),
        backoff.evidence(format!("{crash} waiting to be started again after a death")),
        wanted.evidence(format!("{} of {} up", up, several(looked, "gateway"))),
    ]
}

fn title_of_strays(tree: &hermes_s6::Tree, name: &hermes_core::ProfileName) -> String {
    let strays = tree.strays(&tree.scandir.slot(name)).unwrap_or_default();
    strays.iter().map(|(_, stray)| tree.proc.title(stray.pid)).collect::<Vec<_>>().join(", ")
}

pub(super) fn parked_because(status: &Status) -> String {
    let (reason, since) = match &status.parked {
        Some(parked) => (parked.reason.as_str(), parked.since),
        None => ("no reason is told", None),
    };
    let since = since.map_or_else(String::new, |since| format!(" since {since:.0}"));
    let name = &status.profile;
    format!(
        "the gateway of `{name}` is parked{since}: {reason} (`hermes gateway logs {name}` shows what it said)"
    )
}

pub(super) fn crashing(status: &Status) -> String {
    let name = &status.profile;
    let waits = status
        .backoff
        .as_ref()
        .map_or_else(|| "is being started again".to_owned(), |b| b.summary());
    let last = status.last_exit.map_or_else(String::new, |exit| format!(", last with {exit}"));
    format!(
        "the gateway of `{name}` {waits}{last} (`hermes gateway logs {name}` shows what it said)"
    )
}

/// What starts it again, once what it died of is repaired.
pub(super) fn again_later(snapshot: &Snapshot<'_>, status: &Status) -> Remedy {
    snapshot.run(&format!("gateway start {}", status.profile))
}
