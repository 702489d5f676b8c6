//! Brings many gateways down at the same time, with one look at the machine's processes for all of them.

use std::collections::BTreeMap;
use std::time::Instant;

use hermes_core::parallel;
use hermes_core::{DriverError, Gateway};

use crate::slot::lifecycle::{bring_down, bring_service_down, end_former_logger};
use crate::tree::Tree;
use crate::tree::process_tracker::ProcessTracker;

/// [`bring_down`] of many gateways at the same time, with the outcome of each in their order. Looks for the processes that
/// they leave once for all with the same stop budget, not once for each.
pub(crate) fn bring_down_many(tree: &Tree, gateways: &[Gateway]) -> Vec<Result<(), DriverError>> {
    let mut budgets = BTreeMap::<_, Vec<_>>::new();
    for (place, gateway) in gateways.iter().enumerate() {
        budgets.entry(gateway.stop_timeout().kill_after()).or_default().push((place, gateway));
    }
    let budgets: Vec<_> = budgets.into_values().collect();
    let jobs = budgets.len();
    let outcomes = parallel::map(budgets, jobs, |gateways| bring_down_alike(tree, gateways));
    let mut outcomes: Vec<_> = outcomes.into_iter().flatten().collect();
    outcomes.sort_by_key(|(place, _)| *place);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

/// [`bring_down_many`] of gateways that have the same stop budget, each with its place.
fn bring_down_alike(
    tree: &Tree,
    gateways: Vec<(usize, &Gateway)>,
) -> Vec<(usize, Result<(), DriverError>)> {
    let started = Instant::now();
    let names: Vec<_> = gateways.iter().map(|(_, gateway)| gateway.name().clone()).collect();
    let kill_at =
        gateways.first().map_or(started, |(_, it)| started + it.stop_timeout().kill_after());
    let mut tracker = ProcessTracker::of(tree, &names);
    // Each waits for its own events.
    let jobs = gateways.len();
    let down = parallel::map(gateways, jobs, |(place, gateway)| {
        let name = gateway.name();
        (place, gateway, bring_service_down(tree, name, gateway.stop_timeout(), started))
    });
    // A supervisor would start a gateway again that is ended here, and one that could not be stopped is left alone.
    for (_, gateway, _) in down.iter().filter(|(_, _, down)| down.is_err()) {
        tracker.spare(tree, gateway.name());
    }
    let ended = tracker.end(tree, kill_at);
    let conclude = |(place, gateway, down): (usize, &Gateway, Result<(), DriverError>)| {
        let outcome = down.and_then(|()| match &ended {
            Ok(()) => {
                end_former_logger(tree, gateway.name());
                Ok(())
            }
            // The process of one is left: each looks for its own.
            Err(_) => bring_down(tree, gateway.name(), gateway.stop_timeout()),
        });
        (place, outcome)
    };
    parallel::map(down, jobs, conclude)
}
