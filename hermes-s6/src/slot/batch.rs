//! Brings many gateways down and removes their slots at the same time, with one look at the machine's processes and one
//! scan of s6-svscan for all of them.

use std::collections::BTreeMap;
use std::time::Instant;

use hermes_core::parallel;
use hermes_core::{DriverError, fsutil};

use crate::slot::lifecycle::{bring_down, bring_service_down, end_former_logger};
use crate::slot::quick_stop::{Stop, Stopped, end_rest, stop_together};
use crate::slot::registry;
use crate::tree::Tree;
use crate::tree::process_tracker::ProcessTracker;

/// How many services are stopped in parallel that do not stop with the others, each with a thread and some descriptors.
const JOBS: usize = 64;

/// [`bring_down`] of many gateways at the same time, with the outcome of each in their order. Looks for the processes that
/// they leave once for all with the same stop budget, not once for each.
pub(crate) fn bring_down_many(tree: &Tree, gateways: &[Stop<'_>]) -> Vec<Result<(), DriverError>> {
    let mut budgets = BTreeMap::<_, Vec<_>>::new();
    for (place, gateway) in gateways.iter().copied().enumerate() {
        budgets.entry(gateway.1.kill_after()).or_default().push((place, gateway));
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
    gateways: Vec<(usize, Stop<'_>)>,
) -> Vec<(usize, Result<(), DriverError>)> {
    let started = Instant::now();
    let names: Vec<_> = gateways.iter().map(|(_, (name, _))| (*name).clone()).collect();
    let kill_at = gateways.first().map_or(started, |(_, (_, stop))| started + stop.kill_after());
    let mut tracker = ProcessTracker::of(tree, &names);
    let stops: Vec<_> = gateways.iter().map(|(_, gateway)| *gateway).collect();
    let stopped = stop_together(tree, &stops, kill_at).into_iter().zip(gateways).collect();
    let svscan = tree.svscan_view_of(names.len()).map_err(DriverError::from);
    let down = parallel::map(stopped, JOBS, |(stopped, (place, gateway))| {
        let (name, stop_timeout) = gateway;
        let since = if stopped == Stopped::Not { Instant::now() } else { started };
        let down = match (stopped, &svscan) {
            (Stopped::Down, Ok(svscan)) => end_rest(tree, svscan, name),
            _ => bring_service_down(tree, name, stop_timeout, since),
        };
        (place, gateway, down)
    });
    // A supervisor would start a gateway again that is ended here, and one that could not be stopped is left alone.
    for (_, (name, _), _) in down.iter().filter(|(_, _, down)| down.is_err()) {
        tracker.spare(tree, name);
    }
    let ended = tracker.end(tree, kill_at);
    let conclude = |(place, (name, stop_timeout), down): (_, Stop<'_>, Result<(), DriverError>)| {
        let outcome = down.and_then(|()| match &ended {
            Ok(()) => {
                end_former_logger(tree, name);
                Ok(())
            }
            // The process of one is left: each looks for its own.
            Err(_) => bring_down(tree, name, stop_timeout),
        });
        (place, outcome)
    };
    parallel::map(down, JOBS, conclude)
}

/// Brings the gateways down as [`bring_down_many`] does, and removes their slots, with the outcome of each in their order.
pub(crate) fn remove_many(tree: &Tree, gateways: &[Stop<'_>]) -> Vec<Result<(), DriverError>> {
    let down = bring_down_many(tree, gateways).into_iter().zip(gateways);
    let down: Vec<Result<_, DriverError>> = down
        .map(|(down, (name, _))| {
            down?;
            let slot = tree.scandir.slot(name);
            Ok(fsutil::exists(slot.path())?.then_some(slot))
        })
        .collect();
    let slots: Vec<_> = down.iter().flatten().flatten().cloned().collect();
    let mut retired = registry::retire_many(tree, &slots).into_iter();
    let conclude = |slot: Result<Option<_>, _>| match slot? {
        Some(_) => retired.next().unwrap_or(Ok(())),
        None => Ok(()),
    };
    down.into_iter().map(conclude).collect()
}
