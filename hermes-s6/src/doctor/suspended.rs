//! Checks for processes of the tree that SIGSTOP has suspended.

use std::io;

use hermes_core::diagnostics::{Check, Remedy};
use hermes_core::reconcile::Suspended;

use super::View;
use crate::protocol::resume;
use crate::tree::suspended;

pub(super) fn check(view: View<'_>) -> Check {
    let View { tree, snapshot, .. } = view;
    let mut check = Check::new("suspended");
    let mut found = Vec::new();
    let mut look = |seen: io::Result<Vec<Suspended>>| match seen {
        Ok(seen) => found.extend(seen),
        Err(error) => check.partial(error.to_string()),
    };
    look(suspended::of_svscan(tree));
    for gateway in &snapshot.gateways {
        let name = gateway.name();
        if !snapshot.status(name).is_some_and(|status| status.registered) {
            continue;
        }
        look(suspended::of_slot(tree, name));
        look(suspended::gateway_of(tree, name).map(Vec::from_iter));
    }
    for process in found {
        let works = process.profile.map_or_else(
            || "starts and ends no supervisor".to_owned(),
            |name| format!("does nothing for the gateway of `{name}`"),
        );
        let problem = format!("{} is suspended (SIGSTOP) and {works}", process.title);
        check.error(problem, Remedy::Run(resume::command(process.pid)));
    }
    check.with_evidence("checked the state of s6-svscan, supervisors, loggers and gateways")
}
