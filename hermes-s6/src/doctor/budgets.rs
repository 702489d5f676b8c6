//! Checks the chain of stop budgets: gateway, slot, tree, container. Each must wait longer than the one inside it,
//! or it kills a process that is about to end in order.

use hermes_core::config::StopTimeout;
use hermes_core::diagnostics::{Check, Snapshot, several};
use hermes_core::fsutil;

use super::View;
use crate::tree::Tree;

/// How much longer a container's stop takes than the longest stop of a gateway.
const CONTAINER_BEYOND: u64 = 2;
/// The bounds of a stop under s6-overlay, in milliseconds.
const GRACES: [&str; 2] = ["S6_SERVICES_GRACETIME", "S6_KILL_GRACETIME"];

pub(super) fn slots(view: View<'_>) -> Check {
    let View { tree, snapshot, .. } = view;
    let mut check = Check::new("stop-budget");
    let mut seen = 0;
    for gateway in &snapshot.gateways {
        let (name, Ok(loaded)) = (gateway.name(), gateway.loaded()) else { continue };
        let slot = tree.scandir.slot(name);
        let bytes = match fsutil::read_if_there(&slot.timeout_kill()) {
            Ok(Some(bytes)) => bytes,
            Ok(None) if !slot.path().exists() => continue,
            Ok(None) => Vec::new(),
            Err(error) => {
                check.partial(error.to_string());
                continue;
            }
        };
        seen += 1;
        let kill = String::from_utf8_lossy(&bytes).trim().parse::<u128>().unwrap_or_default();
        let stop = loaded.gateway.stop_timeout;
        if kill == stop.kill_after().as_millis() {
            continue;
        }
        let verdict = match kill {
            0 => "never kills it".to_owned(),
            kill if kill < stop.kill_after().as_millis() => {
                format!("kills it after {kill} ms, while it may still be at work")
            }
            kill => format!("kills it after {kill} ms only"),
        };
        let problem = format!(
            "`{name}` has a stop_timeout of {} s, and its slot {verdict} (`{}`)",
            stop.seconds(),
            slot.timeout_kill().display()
        );
        // Of the commands that write it, this is the one that changes nothing else.
        check.warning(problem, snapshot.bring_to_intent(name));
    }
    let agree = seen - check.findings().len();
    check.with_evidence(format!(
        "{agree} of {} with the right time until a kill; {}",
        several(seen, "slot"),
        chain(longest(snapshot))
    ))
}

/// The longest stop of all profiles, which is the tree's.
fn longest(snapshot: &Snapshot) -> StopTimeout {
    let configs = snapshot.gateways.iter().filter_map(|gateway| gateway.loaded().ok());
    configs.map(|loaded| loaded.gateway.stop_timeout).max().unwrap_or_default()
}

/// Every link of the chain, each longer than the one before it.
fn chain(stop: StopTimeout) -> String {
    format!(
        "the longest stop: open requests are closed after {} s, SIGKILL follows after {} s, everything has ended \
         after {} s; a container needs a stop timeout of {} s",
        stop.drain().as_secs(),
        stop.kill_after().as_secs(),
        stop.seconds(),
        stop.seconds() + CONTAINER_BEYOND
    )
}

/// The budget that can't be seen from inside the container, with its minimum.
pub(super) fn container(tree: &Tree, snapshot: &Snapshot) -> Check {
    let longest = longest(snapshot).seconds();
    let mut evidence = format!(
        "the longest stop takes {longest} s; how long a container is given to stop can't be seen \
         from inside: `docker run --stop-timeout {}`",
        longest + CONTAINER_BEYOND
    );
    if let Ok(View { svscan, .. }) = View::of(tree, snapshot) {
        let value = |name: &&str| {
            let value = tree.variable(svscan, name)?;
            Some(format!("; {name} is {} ms", value.display()))
        };
        evidence.extend(GRACES.iter().filter_map(value));
    }
    Check::new("container-stop").with_evidence(evidence).as_info()
}
