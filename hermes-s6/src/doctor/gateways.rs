//! Checks for strays, and for processes that outlived their gateway.

use hermes_core::ProfileName;
use hermes_core::State;
use hermes_core::diagnostics::Check;

use super::View;
use crate::tree::Tree;
use crate::tree::process_tracker;

pub(super) const CHECKS: [&str; 2] = ["strays", "processes"];

pub(super) fn checks(view: View<'_>) -> Vec<Check> {
    let View { tree, snapshot, .. } = view;
    let [mut strays, mut processes] = CHECKS.map(Check::new);
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
        if matches!(status.state, State::Down | State::Parked) {
            match process_tracker::left_of(tree, name) {
                Ok(left) if left.is_empty() => {}
                Ok(left) => {
                    let titles = left.iter().map(|pid| tree.proc.title(*pid));
                    let titles = titles.collect::<Vec<_>>().join(", ");
                    let problem = format!("the gateway of `{name}` is down and has left {titles}");
                    processes.error(problem, snapshot.bring_to_intent(name));
                }
                Err(error) => processes.partial(error.to_string()),
            }
        }
    }
    vec![
        strays.with_evidence("checked the parent of each supervisor"),
        processes.with_evidence("checked for processes that outlived their gateway"),
    ]
}

fn title_of_strays(tree: &Tree, name: &ProfileName) -> String {
    let strays = tree.strays(&tree.scandir.slot(name)).unwrap_or_default();
    strays.iter().map(|(_, stray)| tree.proc.title(stray.pid)).collect::<Vec<_>>().join(", ")
}
