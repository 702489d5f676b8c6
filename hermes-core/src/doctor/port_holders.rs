//! Checks whether other processes listen on the ports of wanted gateways that are not up, and whether it can be seen
//! who listens on the ports of those that are.

use std::collections::BTreeMap;

use super::ports::{claimed, lacks_port};
use crate::diagnostics::{Check, Remedy, Snapshot, several};
use crate::driver::Driver;
use crate::gateway::Gateway;
use crate::listeners::{Holders, Listeners};
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
    let listeners = Listeners::read(&proc);
    let idle: Vec<_> =
        snapshot.gateways.iter().filter_map(|gateway| idle_port(snapshot, gateway)).collect();
    let clashing = idle.iter().map(|(_, host, port)| listeners.clashing(host, *port));
    let clashing: Vec<_> = clashing.collect();
    let answering = answering(snapshot);
    let on_port = answering.values().flat_map(|port| listeners.on_port(*port));
    let asked = clashing.iter().flatten().copied().chain(on_port);
    let holders = Holders::find(&proc, asked, gateways.iter().copied());
    for ((gateway, _, port), clashing) in idle.iter().zip(&clashing) {
        let Some(listener) = clashing.first() else { continue };
        let name = gateway.name();
        let holder = clashing.iter().find_map(|listener| holders.of(listener));
        // `ports` reports another gateway of this home; and this gateway may have come up in between.
        let now = driver.observe(gateway).ok().and_then(|status| status.pid);
        let runs = snapshot.status(name).is_some_and(|status| status.state.is_running());
        let unseen = holder.is_none() && runs;
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
    if let Some(unseen) = unseen(&listeners, &holders, &answering) {
        check.partial(unseen);
    }
    check.with_evidence(format!("{} of wanted gateways checked", several(idle.len(), "idle port")))
}

/// The host and the port of a gateway that is wanted, needs a port and is not up.
fn idle_port<'a>(snapshot: &Snapshot, gateway: &'a Gateway) -> Option<(&'a Gateway, &'a str, u16)> {
    let name = gateway.name();
    // A gateway that is restarted again and again runs at times, and is not up.
    let state = snapshot.status(name).map_or(State::Up, |status| status.state);
    let (port, settings) = (claimed(snapshot, gateway)?, &gateway.loaded().ok()?.gateway);
    let unused = settings.port.is_none() && !lacks_port(settings, gateway);
    let is_up = matches!(state, State::Up | State::Foreign);
    let is_idle = snapshot.is_to_run(name) && !is_up && !unused;
    is_idle.then_some((gateway, settings.host.as_str(), port))
}

/// The ports on which the gateways that are up answer.
fn answering(snapshot: &Snapshot) -> BTreeMap<&ProfileName, u16> {
    let is_up =
        |name: &ProfileName| snapshot.status(name).is_some_and(|status| status.state == State::Up);
    let up = snapshot.gateways.iter().filter(|gateway| is_up(gateway.name()));
    up.filter_map(|gateway| Some((gateway.name(), gateway.health_target()?.port()))).collect()
}

/// In one sentence for all gateways, whose port is held by a process that can't be seen; `None` if that of none is.
fn unseen(
    listeners: &Listeners,
    holders: &Holders,
    answering: &BTreeMap<&ProfileName, u16>,
) -> Option<String> {
    let is_unseen = |port: u16| listeners.on_port(port).iter().any(|it| holders.of(it).is_none());
    let mut names = answering.iter().filter(|(_, port)| is_unseen(**port));
    let (first, _) = names.next()?;
    let others = match names.count() {
        0 => String::new(),
        others => format!(" and of {others} more"),
    };
    Some(format!(
        "the process that listens on the port of `{first}`{others}, which is another user's, of another PID namespace, or \
         hidden by `hidepid`: any process that answers there counts as the gateway, in its readiness and liveness"
    ))
}
