//! Checks the gateways' processes: their states against the intents, orphans, and what runs outside of any supervisor.

use jiff::{SignedDuration, Timestamp};
use rustix::fs::Access;

use crate::diagnostics::{
    Check, Expected, Remedy, Services, Snapshot, is_accessible, permit, several,
};
use crate::intent::Intent;
use crate::name::ProfileName;
use crate::reconcile::Action;
use crate::status::{State, Status};

const CHECKS: [&str; 7] =
    ["orphans", "foreign", "parked", "backoff", "starting", "unresponsive", "wanted"];
/// How long a gateway may take to become ready, as long as `gateway start` waits by default.
const STARTING: SignedDuration = SignedDuration::from_secs(30);

pub(super) fn checks(snapshot: &Snapshot) -> Vec<Check> {
    let services = match &snapshot.services {
        Ok(services) => services,
        Err(why) => return CHECKS.map(|check| Check::unknown(check, why)).into(),
    };
    let [
        mut orphans,
        mut foreign,
        mut parked,
        mut backoff,
        mut starting,
        mut unresponsive,
        mut wanted,
    ] = CHECKS.map(Check::new);
    let mut up = 0;
    for gateway in &snapshot.gateways {
        let name = gateway.name();
        let status = match services.statuses.get(name) {
            Some(Ok(status)) => status,
            Some(Err(error)) => {
                let problem = format!("the status of `{name}` can't be read: {error}");
                let lock = gateway.home().gateway_lock();
                let remedy = match lock.exists() && !is_accessible(&lock, Access::READ_OK) {
                    true => permit(&snapshot.root, &lock, Expected::File),
                    false => {
                        let hint = error.hint().unwrap_or("remove the cause, and run it again");
                        Remedy::Do(hint.to_owned())
                    }
                };
                wanted.error(problem, remedy);
                continue;
            }
            None => continue,
        };
        match (status.state, status.pid) {
            (State::Orphan, Some(pid)) => {
                let problem = format!("the gateway of `{name}` runs as {pid}, unsupervised");
                orphans.error(problem, snapshot.bring_to_intent(name));
            }
            (State::Orphan, None) => {
                let problem =
                    format!("the gateway of `{name}` runs elsewhere: its lock is held there");
                let remedy = "stop it on that host, or in that container".to_owned();
                orphans.error(problem, Remedy::Do(remedy));
            }
            (State::Foreign, Some(pid)) => {
                let problem =
                    format!("the gateway of `{name}` runs as {pid}, outside of any supervisor");
                foreign.error(problem, snapshot.run(&format!("adopt {name}")));
            }
            (State::Parked, _) => parked.error(parked_because(status), start(snapshot, name)),
            (State::Starting, Some(_)) => {
                if let Some(problem) = starts_for_long(status) {
                    let logs = snapshot.command_line(&format!("gateway logs {name}"));
                    starting.error(problem, Remedy::Do(format!("`{logs}` shows its output")));
                }
            }
            (State::Up, _) if status.is_unresponsive() => {
                let text = status.reason.as_ref().map_or("", |reason| reason.text.as_str());
                let problem = format!("the gateway of `{name}` is up and does not answer: {text}");
                unresponsive.error(problem, snapshot.run(&format!("gateway restart {name}")));
            }
            (State::Backoff, _) => backoff.warning(crashing(status), start(snapshot, name)),
            _ => {}
        }
        up += usize::from(status.state.is_running());
    }
    for (status, intent) in unwanted_states(snapshot, services) {
        let (name, state) = (&status.profile, status.state);
        match intent {
            Intent::Running => {
                let problem = match state.is_running() {
                    true => "is wanted, and nothing would bring it up again".to_owned(),
                    false => format!("is wanted and {state}"),
                };
                let problem = format!("the gateway of `{name}` {problem}");
                wanted.error(problem, start(snapshot, name));
            }
            Intent::Stopped => {
                let problem = format!(
                    "the gateway of `{name}` is not wanted, and runs or will: it is {state}"
                );
                wanted.warning(problem, snapshot.run(&format!("gateway stop {name}")));
            }
        }
    }
    let checked = snapshot.gateways.len();
    let count = |check: &Check| several(check.findings().len(), "gateway");
    let (gave_up, crash) = (count(&parked), count(&backoff));
    let strangers = count(&foreign);
    let (slow, hang) = (count(&starting), count(&unresponsive));
    vec![
        orphans.with_evidence(format!("{} checked", several(checked, "gateway lock"))),
        foreign.with_evidence(format!("{strangers} outside of any supervisor")),
        parked.with_evidence(format!("{gave_up} parked")),
        backoff.with_evidence(format!("{crash} waiting for a restart after a death")),
        starting.with_evidence(format!("{slow} not ready for long")),
        unresponsive.with_evidence(format!("{hang} up and silent")),
        wanted.with_evidence(format!("{} of {} up", up, several(checked, "gateway"))),
    ]
}

/// Compares the states of the gateways, now and after a restart of the supervisor, with their intents. Other
/// checks report missing, parked and crashing gateways.
fn unwanted_states<'a>(
    snapshot: &'a Snapshot,
    services: &'a Services,
) -> Vec<(&'a Status, Intent)> {
    let statuses = snapshot.gateways.iter().filter_map(|gateway| snapshot.status(gateway.name()));
    let Some(plan) = &services.plan else {
        let unwanted = |status: &'a Status| match (status.state, status.intent?) {
            (State::Down, Intent::Running) => Some((status, Intent::Running)),
            (state, Intent::Stopped) if state.is_running() => Some((status, Intent::Stopped)),
            _ => None,
        };
        return statuses.filter_map(unwanted).collect();
    };
    // The plan of a boot shows what the supervisor will do; a status does not.
    let changed = |action: &'a Action| {
        let (name, intent) = match action {
            Action::Start { profile } => (profile, Intent::Running),
            Action::Stop { profile } => (profile, Intent::Stopped),
            _ => return None,
        };
        let status = snapshot.status(name)?;
        let elsewhere = !status.registered
            || matches!(status.state, State::Orphan | State::Stray | State::Foreign)
            || services.is_to_be_removed(name);
        (!elsewhere).then_some((status, intent))
    };
    plan.iter().filter_map(changed).collect()
}

fn parked_because(status: &Status) -> String {
    let (reason, since) = match &status.parked {
        Some(parked) => (parked.reason.as_str(), parked.since),
        None => ("no reason was recorded", None),
    };
    let since = since.map_or_else(String::new, |since| format!(" since {since:.0}"));
    let name = &status.profile;
    format!(
        "the gateway of `{name}` is parked{since}: {reason} (`hermes gateway logs {name}` shows its output)"
    )
}

/// The problem of a gateway that should be ready by now.
fn starts_for_long(status: &Status) -> Option<String> {
    let age = Timestamp::now().duration_since(status.since?);
    let name = &status.profile;
    let reason = status.reason.as_ref().map_or_else(String::new, |it| format!(": {}", it.text));
    let seconds = age.as_secs();
    (age >= STARTING)
        .then(|| format!("the gateway of `{name}` is not ready after {seconds} s{reason}"))
}

fn crashing(status: &Status) -> String {
    let name = &status.profile;
    let waits = status
        .backoff
        .as_ref()
        .map_or_else(|| "is being started again".to_owned(), |backoff| backoff.summary());
    let last = status.last_exit.map_or_else(String::new, |exit| format!(", last with {exit}"));
    format!("the gateway of `{name}` {waits}{last} (`hermes gateway logs {name}` shows its output)")
}

/// The command that starts it, once the cause of its death is repaired.
fn start(snapshot: &Snapshot, name: &ProfileName) -> Remedy {
    snapshot.run(&format!("gateway start {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostics::Severity;
    use crate::home::RootHome;
    use crate::status::Parked;
    use crate::store::Store;

    const PROFILES: [(&str, State, Intent); 7] = [
        ("crashes", State::Backoff, Intent::Running),
        ("down", State::Down, Intent::Running),
        ("fine", State::Up, Intent::Running),
        ("foreign", State::Foreign, Intent::Stopped),
        ("gave-up", State::Parked, Intent::Running),
        ("lone", State::Orphan, Intent::Stopped),
        ("unwanted", State::Up, Intent::Stopped),
    ];

    /// The findings about [`PROFILES`] with this plan.
    fn findings(plan: Option<Vec<Action>>) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("profiles")).unwrap();
        let store = Store::new(RootHome::new(dir.path()));
        let status = |(name, state, intent): (&str, _, _)| {
            let name = name.parse().unwrap();
            store.create(&name, None, intent).unwrap();
            let parked = Parked { reason: "exit 78".to_owned(), since: None };
            let status = Status {
                registered: true,
                state,
                pid: Some(7),
                intent: Some(intent),
                parked: (state == State::Parked).then_some(parked),
                ..Status::unsupervised(&name)
            };
            (name, Ok(status))
        };
        let statuses = PROFILES.into_iter().map(status).collect();
        let mut snapshot = Snapshot::of_profiles(&store, " --scandir /s");
        snapshot.services = Ok(Services { statuses, plan });
        let checks = checks(&snapshot);
        let findings = checks.iter().flat_map(Check::findings);
        let problem = |problem: &str| problem.split(" (").next().unwrap_or_default().to_owned();
        findings
            .map(|found| {
                let severity = if found.severity == Severity::Error { "error" } else { "warning" };
                format!(
                    "{severity}: {}: {}; {}",
                    found.check,
                    problem(&found.problem),
                    found.remedy
                )
            })
            .collect()
    }

    const STATES: [&str; 4] = [
        "error: orphans: the gateway of `lone` runs as 7, unsupervised; hermes gateway stop lone --scandir /s",
        "error: foreign: the gateway of `foreign` runs as 7, outside of any supervisor; hermes adopt foreign --scandir /s",
        "error: parked: the gateway of `gave-up` is parked: exit 78; hermes gateway start gave-up --scandir /s",
        "warning: backoff: the gateway of `crashes` is being started again; hermes gateway start crashes --scandir /s",
    ];
    const DOWN: &str = "error: wanted: the gateway of `down` is wanted and down; hermes gateway start down --scandir /s";
    const UP: &str = "warning: wanted: the gateway of `unwanted` is not wanted, and runs or will: it is up; \
                      hermes gateway stop unwanted --scandir /s";

    #[test]
    fn where_services_are_installed_intent_and_state_decide() {
        assert_eq!(findings(None), [&STATES[..], &[DOWN, UP]].concat());
    }

    #[test]
    fn where_there_is_a_plan_it_decides_and_each_fault_is_found_once() {
        assert_eq!(findings(Some(Vec::new())), STATES);
        let start = |name: &str| Action::Start { profile: name.parse().unwrap() };
        let stop = |name: &str| Action::Stop { profile: name.parse().unwrap() };
        let plan = vec![start("down"), stop("lone"), stop("unwanted"), start("gone")];
        assert_eq!(findings(Some(plan)), [&STATES[..], &[DOWN, UP]].concat());
        let replaced = Action::Remove { profile: "down".parse().unwrap(), detail: "unsupervised" };
        assert_eq!(findings(Some(vec![replaced, start("down")])), STATES);
    }
}
