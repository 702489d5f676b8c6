//! Checks that each gateway of the Python agent's serves the profiles that it should (`gateway.topology`).

use std::path::Path;

use crate::agent::{Locks, MULTIPLEX, Served};
use crate::config::{GatewayConfig, GatewayKind, Topology};
use crate::diagnostics::{Check, Remedy, Services, Snapshot, several};
use crate::dotenv;
use crate::gateway::Gateway;
use crate::name::ProfileName;
use crate::proc::Proc;
use crate::reconcile::Action;
use crate::status::State;

/// The agent's key that limits whom the gateway of `default` serves, from version 0.20 on.
const ALLOWLIST: &str = "gateway.multiplex_profile_allowlist";

pub(super) fn check(snapshot: &Snapshot) -> Check {
    let mut check = Check::new("topology");
    let services = match &snapshot.services {
        Ok(services) => services,
        Err(why) => return Check::unknown("topology", why),
    };
    let locks = Locks::default();
    let mut checked = 0;
    for gateway in &snapshot.gateways {
        // `foreign` reports one that nothing supervises.
        let pid = snapshot.status(gateway.name()).filter(|status| status.state != State::Foreign);
        let pid = pid.and_then(|status| status.pid);
        let (Some(pid), Some(config)) = (pid, of_agent(gateway)) else { continue };
        checked += 1;
        let Served::Others(others) = Served::of(&locks, gateway.home()) else { continue };
        let is_isolated = config.topology == Topology::Isolated;
        let others = others.iter().filter(|name| is_isolated || has_own(snapshot, name));
        let others: Vec<_> = others.map(|name| format!("`{name}`")).collect();
        if others.is_empty() {
            continue;
        }
        let (name, others) = (gateway.name(), others.join(", "));
        match is_isolated {
            true => check.error(
                format!("the gateway of `{name}` serves {others}, and its `gateway.topology` is `isolated`"),
                isolate(snapshot, gateway, config, pid),
            ),
            false => check.error(
                format!("the gateway of `{name}` serves {others}, whose `gateway.topology` is `isolated`"),
                separate(snapshot, gateway),
            ),
        }
    }
    stand_down(&mut check, snapshot, services);
    check.with_evidence(format!("{} of the Python agent checked", several(checked, "gateway")))
}

/// The settings of a gateway of the agent's.
fn of_agent(gateway: &Gateway) -> Option<&GatewayConfig> {
    let config = &gateway.loaded().ok()?.gateway;
    (config.kind == GatewayKind::HermesAgent).then_some(config)
}

/// Whether the profile is to have a gateway of its own.
fn has_own(snapshot: &Snapshot, name: &ProfileName) -> bool {
    let config = snapshot.gateway(name).and_then(of_agent);
    config.is_some_and(|config| config.topology == Topology::Isolated)
}

/// What keeps the gateway, which runs as `pid`, to its own profile.
fn isolate(snapshot: &Snapshot, gateway: &Gateway, config: &GatewayConfig, pid: u32) -> Remedy {
    let home = gateway.home();
    let restart = format!("gateway restart {}", gateway.name());
    let then = snapshot.command_line(&restart);
    let remove = |what: &str, file: &Path| {
        Remedy::Do(format!("remove `{what}` from `{}`, then `{then}`", file.display()))
    };
    let dotenv = dotenv::load(&home.dotenv()).unwrap_or_default();
    let (variable, off) = MULTIPLEX;
    if dotenv.bindings().iter().any(|binding| binding.name == variable) {
        return remove(variable, &home.dotenv());
    }
    if config.env.get(variable).is_some_and(|value| value != off) {
        return remove(&format!("gateway.env.{variable}"), &home.config());
    }
    let running = Proc::default().variable(pid, variable).ok().flatten();
    match running.is_some_and(|value| value == off) {
        // A version that takes no notice of the variable.
        true => Remedy::Do(format!(
            "set `{ALLOWLIST}: []` in `{}`, then `{then}`",
            home.config().display()
        )),
        false => snapshot.run(&restart),
    }
}

/// What keeps the shared gateway from profiles that have one of their own.
fn separate(snapshot: &Snapshot, gateway: &Gateway) -> Remedy {
    let then = snapshot.command_line(&format!("gateway restart {}", gateway.name()));
    Remedy::Do(format!(
        "leave them out of `{ALLOWLIST}` in `{}`, then `{then}`; or set `gateway.topology: shared` for them, too",
        gateway.home().config().display()
    ))
}

/// Finds gateways that run beside that of `default`, which serves their profiles.
fn stand_down(check: &mut Check, snapshot: &Snapshot, services: &Services) {
    for action in services.actions() {
        if let Action::StandDown { profile } = action {
            let problem = format!(
                "the gateway of `{profile}` runs or will, and `default`'s gateway serves the profile, too"
            );
            check.warning(problem, snapshot.run("boot"));
        }
    }
}
