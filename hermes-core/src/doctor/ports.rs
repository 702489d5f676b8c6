//! Checks that each gateway that needs a port has one, and that no two have the same.

use std::collections::BTreeMap;

use crate::config::{GatewayConfig, GatewayKind, Placeholders};
use crate::diagnostics::{Check, Remedy, Snapshot, several};
use crate::gateway::Gateway;
use crate::store::{FIRST_PORT, is_free};

pub(super) fn check(snapshot: &Snapshot) -> Check {
    let mut check = Check::new("ports");
    let mut claims: BTreeMap<u16, Vec<&Gateway>> = BTreeMap::new();
    for gateway in &snapshot.gateways {
        if let Some(port) = claimed(snapshot, gateway) {
            claims.entry(port).or_default().push(gateway);
        }
    }
    for gateway in &snapshot.gateways {
        let Ok(loaded) = gateway.loaded() else { continue };
        let name = gateway.name();
        if lacks_port(&loaded.gateway, gateway) && !name.is_default() {
            let which = if loaded.gateway.kind == GatewayKind::BuiltIn { "built-in " } else { "" };
            let problem = format!("`{name}` names no port, and its {which}gateway needs one");
            check.error(problem, snapshot.run(&format!("profile port {name}")));
        }
    }
    let runs = |gateway: &&Gateway| {
        snapshot.status(gateway.name()).is_some_and(|status| status.state.is_running())
    };
    let mut unnamed = (FIRST_PORT..=u16::MAX).filter(|port| !claims.contains_key(port));
    for (port, claimants) in claims.iter().filter(|(_, claimants)| claimants.len() > 1) {
        // The gateway that is up keeps it, else the first one.
        let keeper = claimants.iter().position(runs).unwrap_or(0);
        for (i, claimant) in claimants.iter().enumerate().filter(|(i, _)| *i != keeper) {
            let (first, other) = (claimants[keeper.min(i)].name(), claimants[keeper.max(i)].name());
            let problem = format!("port {port} is named by `{first}`, `{other}`");
            let remedy = unnamed.find(|port| is_free(*port)).map_or_else(
                || Remedy::Do("no port is left".to_owned()),
                |free| snapshot.run(&format!("profile port {} {free}", claimant.name())),
            );
            check.error(problem, remedy);
        }
    }
    let named = claims.values().map(Vec::len).sum();
    check.with_evidence(format!(
        "{} named by {}",
        several(claims.len(), "port"),
        several(named, "profile")
    ))
}

/// The port that a gateway claims. The gateway of `default` claims its fallback port if it is wanted.
pub(super) fn claimed(snapshot: &Snapshot, gateway: &Gateway) -> Option<u16> {
    let names_one = gateway.loaded().ok()?.gateway.port.is_some();
    let port = gateway.port().ok().flatten();
    port.filter(|_| names_one || snapshot.is_to_run(gateway.name()))
}

/// Whether a gateway can't start without a port, and its configuration names none.
pub(super) fn lacks_port(settings: &GatewayConfig, gateway: &Gateway) -> bool {
    let home = gateway.home().path().to_string_lossy();
    let placeholders = Placeholders {
        profile: gateway.name().as_str(),
        home: &home,
        host: &settings.host,
        port: settings.port,
        // Another check reports a missing program.
        program: Some(""),
    };
    let fills = settings.filled_command(&placeholders).is_ok()
        && settings.filled_env(&placeholders).is_ok()
        && settings.filled_ready_url(&placeholders).is_ok();
    settings.port.is_none() && (settings.kind == GatewayKind::BuiltIn || !fills)
}
