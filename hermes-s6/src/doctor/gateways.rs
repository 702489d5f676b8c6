//! Checks for strays, for loggers whose log directory another process has, and for processes that outlived
//! their gateway.

use hermes_core::ProfileName;
use hermes_core::State;
use hermes_core::diagnostics::{Check, Expected, Remedy, Snapshot, permit};
use hermes_core::status::{ReasonKind, Status};

use super::View;
use crate::slot::logger::former_logger;
use crate::tree::Tree;
use crate::tree::process_tracker;

pub(super) const CHECKS: [&str; 3] = ["strays", "loggers", "processes"];

pub(super) fn checks(view: View<'_>) -> Vec<Check> {
    let View { tree, snapshot, .. } = view;
    let [mut strays, mut loggers, mut processes] = CHECKS.map(Check::new);
    let mut down = Vec::new();
    for gateway in &snapshot.gateways {
        let name = gateway.name();
        let Some(status) = snapshot.status(name) else { continue };
        if status.state == State::Stray {
            let who = title_of_strays(tree, name);
            let problem = format!(
                "the gateway of `{name}` has a supervisor that no s6-svscan looks after: {who}"
            );
            strays.error(problem, snapshot.bring_to_intent(name));
        }
        if status.registered && status.state != State::Stray {
            match former_logger(tree, name) {
                Ok(None) => {
                    if let Some(problem) = silenced(snapshot, status) {
                        let remedy = "remove the cause: its output waits until then".to_owned();
                        loggers.error(problem, Remedy::Do(remedy));
                    }
                }
                Ok(Some(logger)) => {
                    let who = tree.proc.title(logger.pid);
                    let problem =
                        format!("nobody reads the output of `{name}`: {who} has its log directory");
                    loggers.error(problem, snapshot.bring_to_intent(name));
                }
                Err(error) => {
                    let log = snapshot.root.gateway_logs(name);
                    let remedy = permit(&snapshot.root, &log, Expected::Directory);
                    loggers.error(format!("the log of `{name}` can't be reached: {error}"), remedy);
                }
            }
        }
        if matches!(status.state, State::Down | State::Parked) {
            down.push(name);
        }
    }
    match process_tracker::left_of_each(tree, &down) {
        Ok(left) => {
            for (name, left) in down.iter().filter_map(|name| Some((*name, left.get(name)?))) {
                let titles = left.iter().map(|pid| tree.proc.title(*pid));
                let titles = titles.collect::<Vec<_>>().join(", ");
                let problem = format!("the gateway of `{name}` is down and has left {titles}");
                processes.error(problem, snapshot.bring_to_intent(name));
            }
        }
        Err(error) => processes.partial(error.to_string()),
    }
    vec![
        strays.with_evidence("checked the parent of each supervisor"),
        loggers.with_evidence("checked the lock of each log directory"),
        processes.with_evidence("checked for processes that outlived their gateway"),
    ]
}

/// The problem of a gateway whose output can't be logged. `obstacles` reports an entry in the place of the directory.
fn silenced(snapshot: &Snapshot, status: &Status) -> Option<String> {
    let reason = status.reason.as_ref().filter(|reason| reason.kind == ReasonKind::Logger)?;
    let name = &status.profile;
    let is_directory = snapshot.root.gateway_logs(name).is_dir();
    is_directory.then(|| {
        format!("the output of `{name}` can't be logged, which will block it: {}", reason.text)
    })
}

fn title_of_strays(tree: &Tree, name: &ProfileName) -> String {
    let strays = tree.strays(&tree.scandir.slot(name)).unwrap_or_default();
    strays.iter().map(|(_, stray)| tree.proc.title(stray.pid)).collect::<Vec<_>>().join(", ")
}
