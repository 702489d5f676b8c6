//! Checks whether other processes listen on the ports of wanted gateways that are not up, and whether it can be seen
//! who listens on the ports of those that are.

use std::collections::BTreeMap;

use super::ports::{claimed, lacks_port};
use crate::diagnostics::{Check, Remedy, Snapshot, several};
use crate::driver::Driver;
use crate::listeners;
use crate::name::ProfileName;
use crate::proc::Proc;
use crate::process_lock;
use crate::status::State;

pub(super) fn check(driver: &dyn Driver, snapshot: &Snapshot) -> Check {
    let mut check = Check::new("port-holders");
    let statuses = match &snapshot.services {
        Ok(services) => &services.statuses,
        Err(why) => return Check::unknown("port-holders", why),
    };
    let gateways: Vec<_> =
        statuses.values().filter_map(|status| status.as_ref().ok()?.pid).collect();
    let proc = Proc::default();
    let mut checked = 0;
    for gateway in &snapshot.gateways {
        let name = gateway.name();
        // A gateway that is restarted again and again runs at times, and is not up.
        let state = snapshot.status(name).map_or(State::Up, |status| status.state);
        let (Some(port), Ok(loaded)) = (claimed(snapshot, gateway), gateway.loaded()) else {
            continue;
        };
        let settings = &loaded.gateway;
        let unused = settings.port.is_none() && !lacks_port(settings, gateway);
        let is_foreign = state == State::Foreign;
        if !snapshot.is_to_run(name) || state == State::Up || is_foreign || unused {
            continue;
        }
        checked += 1;
        let listeners = listeners::clashing(&proc, &settings.host, port);
        let Some(listener) = listeners.first() else { continue };
        let holder = listeners::process(&proc, &listeners);
        // `ports` reports another gateway of this home; and this gateway may have come up in between.
        let now = driver.observe(gateway).ok().and_then(|status| status.pid);
        let unseen = holder.is_none() && state.is_running();
        // A gateway that lost its supervisor is for `orphans` to report; a process of its own may listen for it.
        let own = process_lock::holder(&gateway.home().gateway_lock());
        let own = own.ok().flatten().and_then(|holder| holder.pid);
        let is_own = |pid| proc.ancestry(pid).iter().any(|one| [now, own].contains(&Some(*one)));
        if unseen || holder.is_some_and(|holder| gateways.contains(&holder) || is_own(holder)) {
            continue;
        }
        let who = holder.map_or_else(
            || "a process that this user may not see".to_owned(),
            |pid| proc.title(pid),
        );
        let address = listener.address;
        let problem = format!(
            "`{name}` is wanted and not up, and its port {port} is held at {address} by {who}"
        );
        let other = snapshot.command_line(&format!("profile port {name} NUMBER"));
        check.error(problem, Remedy::Do(format!("end it, or `{other}`")));
    }
    if let Some(unseen) = unseen(&proc, snapshot) {
        check.partial(unseen);
    }
    check.with_evidence(format!("{} of wanted gateways checked", several(checked, "idle port")))
}

/// In one sentence for all gateways, whose port is held by a process that can't be seen; `None` if that of none is.
fn unseen(proc: &Proc, snapshot: &Snapshot) -> Option<String> {
    let is_up =
        |name: &ProfileName| snapshot.status(name).is_some_and(|status| status.state == State::Up);
    let mut ports = BTreeMap::new();
    for gateway in snapshot.gateways.iter().filter(|gateway| is_up(gateway.name())) {
        if let Some(target) = gateway.health_target() {
            ports.insert(gateway.name(), target.port());
        }
    }
    let unseen = listeners::unseen(proc, &ports.values().copied().collect());
    let names: Vec<_> = ports.iter().filter(|(_, port)| unseen.contains(port)).collect();
    let (first, _) = names.first()?;
    let others = match names.len() - 1 {
        0 => String::new(),
        others => format!(" and of {others} more"),
    };
    Some(format!(
        "the process that listens on the port of `{first}`{others}, which is another user's, of another PID namespace, or \
         hidden by `hidepid`: any process that answers there counts as the gateway, in its readiness and liveness"
    ))
}
