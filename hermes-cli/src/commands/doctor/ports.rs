//! Ports: that each gateway that needs one has one, that no two name the same, and that nobody else
//! listens where a wanted gateway is to.

use std::collections::BTreeMap;
use std::net::{IpAddr, ToSocketAddrs};

use hermes_core::config::{GatewayConfig, Placeholders};
use hermes_core::listeners;
use hermes_core::store::{FIRST_PORT, Profile};
use hermes_core::{Intent, Proc, State};

use super::report::{Check, Remedy, several};
use super::snapshot::{ProfileSnapshot, Snapshot};

pub(super) fn checks(snapshot: &Snapshot<'_>) -> Vec<Check> {
    vec![claims(snapshot), holders(snapshot)]
}

fn claims(snapshot: &Snapshot<'_>) -> Check {
    let mut check = Check::new("ports");
    let mut claims: BTreeMap<u16, Vec<&ProfileSnapshot>> = BTreeMap::new();
    for snapshot in &snapshot.profiles {
        if let Some(port) = port_of(snapshot) {
            claims.entry(port).or_default().push(snapshot);
        }
    }
    for profile in &snapshot.profiles {
        let Ok(loaded) = &profile.config else { continue };
        let name = &profile.profile.name;
        if lacks_port(&loaded.gateway, &profile.profile) && !name.is_default() {
            let which = if loaded.gateway.command.is_none() { "built-in " } else { "" };
            let problem = format!("`{name}` names no port, and its {which}gateway needs one");
            check.error(problem, snapshot.run(&format!("profile port {name}")));
        }
    }
    let proc = Proc::default();
    let mut free = (FIRST_PORT..=u16::MAX).filter(|port| !claims.contains_key(port));
    for (port, claimants) in claims.iter().filter(|(_, claimants)| claimants.len() > 1) {
        // Whoever is up keeps it, else the first.
        let up = claimants.iter().position(|claimant| {
            claimant.status.as_ref().is_ok_and(|status| status.state.is_running())
        });
        let svscan_view = up.unwrap_or(0);
        for (i, claimant) in claimants.iter().enumerate().filter(|(i, _)| *i != svscan_view) {
            let (first, other) = (&claimants[svscan_view.min(i)], &claimants[svscan_view.max(i)]);
            let (first, other) = (&first.profile.name, &other.profile.name);
            let problem = format!("port {port} is named by `{first}`, `{other}`");
            let remedy = free.find(|port| listeners::on_port(&proc, *port).is_empty()).map_or_else(
                || Remedy::Do("no port is left".to_owned()),
                |free| snapshot.run(&format!("profile port {} {free}", claimant.profile.name)),
            );
            check.error(problem, remedy);
        }
    }
    let named = claims.values().map(Vec::len).sum();
    check.evidence(format!(
        "{} named by {}",
        several(claims.len(), "port"),
        several(named, "profile")
    ))
}

/// The port that a profile claims: `default` the one that it falls back to, once it is wanted.
fn port_of(snapshot: &ProfileSnapshot) -> Option<u16> {
    let wanted = snapshot.profile.name.is_default() && snapshot.intent == Some(Intent::Running);
    snapshot.config.as_ref().ok()?.gateway.port.or(wanted.then_some(FIRST_PORT))
}

/// Whether a gateway can't start without a port, and its configuration names none.
fn lacks_port(gateway: &GatewayConfig, profile: &Profile) -> bool {
    let home = profile.home.path().to_string_lossy();
    let placeholders = Placeholders {
        profile: profile.name.as_str(),
        home: &home,
        host: &gateway.host,
        port: gateway.port,
    };
    let fills = gateway.filled_command(&placeholders).is_ok()
        && gateway.filled_env(&placeholders).is_ok()
        && gateway.filled_ready_url(&placeholders).is_ok();
    gateway.port.is_none() && (gateway.command.is_none() || !fills)
}

fn holders(snapshot: &Snapshot<'_>) -> Check {
    let mut check = Check::new("port-holders");
    let tree = match &snapshot.tree {
        Ok(tree) => tree,
        Err(why) => return Check::unknown("port-holders", why.clone()),
    };
    let gateways: Vec<_> =
        snapshot.profiles.iter().filter_map(|profile| profile.status.as_ref().ok()?.pid).collect();
    let mut looked = 0;
    for profile in &snapshot.profiles {
        // One that tries again and again runs now and then, and is not up for that.
        let state = profile.status.as_ref().map_or(State::Up, |status| status.state);
        let wanted = profile.intent == Some(Intent::Running);
        let (Some(port), Ok(config)) = (port_of(profile), &profile.config) else { continue };
        let unused =
            config.gateway.port.is_none() && !lacks_port(&config.gateway, &profile.profile);
        if !wanted || state == State::Up || unused {
            continue;
        }
        looked += 1;
        let proc = &tree.manager.tree().proc;
        let mut listeners = listeners::on_port(proc, port);
        listeners.retain(|listener| clash(&config.gateway.host, listener.address));
        let Some(listener) = listeners.first() else { continue };
        let holder = listeners::process(proc, &listeners);
        // Another gateway of ours is told above, and this one may have come up meanwhile.
        let now = snapshot.observe(&profile.profile.name).and_then(|status| status.pid);
        let unseen = holder.is_none() && state.is_running();
        if unseen || holder.is_some_and(|holder| gateways.contains(&holder) || now == Some(holder))
        {
            continue;
        }
        let name = &profile.profile.name;
        let who = holder.map_or_else(
            || "a process that this user may not see".to_owned(),
            |pid| proc.title(pid),
        );
        let address = listener.address;
        let problem = format!(
            "`{name}` is wanted and not up, and its port {port} is held at {address} by {who}"
        );
        let remedy =
            format!("end it, or `{}`", snapshot.app.line(&format!("profile port {name} NUMBER")));
        check.error(problem, Remedy::Do(remedy));
    }
    check.evidence(format!(
        "{} of wanted gateways that are not up looked at",
        several(looked, "port")
    ))
}

/// Whether who listens at `address` keeps others from listening at `host`.
fn clash(host: &str, address: IpAddr) -> bool {
    let wildcard = |address: &IpAddr| address.is_unspecified();
    let Ok(hosts) = (host, 0).to_socket_addrs() else { return true };
    let mut hosts = hosts.map(|host| host.ip().to_canonical());
    wildcard(&address) || hosts.any(|host| wildcard(&host) || host == address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_address_or_all_of_them_clash() {
        for (host, address, clashes) in [
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1", "0.0.0.0", true),
            ("127.0.0.1", "::", true),
            ("127.0.0.1", "127.0.0.2", false),
            ("0.0.0.0", "10.0.0.1", true),
            ("::1", "127.0.0.1", false),
        ] {
            assert_eq!(clash(host, address.parse().unwrap()), clashes, "{host} {address}");
        }
    }
}
