//! `gateway.kind: hermes-agent`: fills in the keys that run the agent's gateway on its home as it is.

use std::collections::BTreeMap;

use super::address::{self, Address};
use crate::config::{ConfigError, Draft, GatewayKind, Origin, Topology};
use crate::home::ProfileHome;

/// The command. `--replace` ends a gateway of the profile's that runs beside the supervised one.
const COMMAND: [&str; 6] = ["{program}", "-p", "{profile}", "gateway", "run", "--replace"];
/// Where the agent's API server says that it is ready.
const READY_URL: &str = "http://{host}:{port}/health";

/// The variables: log lines come at once, and the supervisor alone delays a restart.
const ENV: [(&str, &str); 2] = [("PYTHONUNBUFFERED", "1"), ("HERMES_GATEWAY_MAX_STARTS", "0")];
/// Keeps a gateway to its own profile.
pub(crate) const MULTIPLEX: (&str, &str) = ("GATEWAY_MULTIPLEX_PROFILES", "false");

/// Completes `draft` for the profile at `home`, whose gateway has this `address`: the port that the agent will
/// listen on and, if the agent is what runs, each key that is not set. Places that name different ports are an error.
pub(crate) fn apply(
    home: &ProfileHome,
    address: Address,
    draft: &mut Draft,
) -> Result<(), ConfigError> {
    let is_enabled = address.is_enabled();
    draft.gateway.port = address.port(home)?;
    if let Some(first) = address.places.into_iter().next() {
        draft.origins.keys.insert("port", Origin::File(first.place));
    }
    if draft.gateway.kind != GatewayKind::HermesAgent {
        return Ok(());
    }
    let config = &mut draft.gateway;
    let origins = &mut draft.origins;
    let ours = origins.keys.get("host");
    let gives_way = ours.is_none_or(|origin| *origin == Origin::Surroundings);
    // The agent finds a host in its own files by itself.
    let mut has_host = ours.is_some();
    if let Some(host) = address.host.filter(|_| gives_way) {
        has_host = false;
        config.host = host.value;
        origins.keys.insert("host", Origin::File(host.place));
    }
    if config.command.is_none() {
        config.command = Some(COMMAND.map(str::to_owned).into());
        origins.keys.insert("command", Origin::Preset);
    }
    // The gateway of `default` alone may serve others; the agent refuses to run another one beside it without this.
    let serves_others = config.topology == Topology::Shared && home.profile().is_default();
    let topology = (!serves_others).then_some(MULTIPLEX);
    let listens = is_enabled.then_some((address::PORT, "{port}"));
    let host = listens.filter(|_| has_host).map(|_| (address::HOST, "{host}"));
    let preset = ENV.into_iter().chain(topology).chain(listens).chain(host);
    let mut env: BTreeMap<_, _> =
        preset.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    for name in env.keys() {
        origins.env.entry(name.clone()).or_insert(Origin::Preset);
    }
    env.append(&mut config.env);
    config.env = env;
    if is_enabled && config.ready_url.is_none() {
        config.ready_url = Some(READY_URL.to_owned());
        origins.keys.insert("ready_url", Origin::Preset);
    }
    Ok(())
}
