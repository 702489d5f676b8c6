//! `gateway.kind: hermes-agent`: fills in the keys that run the agent's gateway on its home as it is.

use std::collections::BTreeMap;

use super::address::{self, Address};
use crate::config::{AgentKeys, ConfigError, Draft, GatewayKind, Topology};
use crate::home::ProfileHome;

/// The command. `--replace` ends a gateway of the profile's that runs beside the supervised one.
const COMMAND: [&str; 6] = ["{program}", "-p", "{profile}", "gateway", "run", "--replace"];
/// Where the agent's API server says that it is ready.
const READY_URL: &str = "http://{host}:{port}/health";

/// The variables: log lines come at once, and the supervisor alone delays a restart.
const ENV: [(&str, &str); 2] = [("PYTHONUNBUFFERED", "1"), ("HERMES_GATEWAY_MAX_STARTS", "0")];
/// Keeps a gateway to its own profile.
const ISOLATED: (&str, &str) = ("GATEWAY_MULTIPLEX_PROFILES", "false");

/// Completes `draft` for the profile at `home`, whose `config.yaml` has the agent's `keys`: the port that the agent will
/// listen on and, if the agent is what runs, each key that is not set. Places that name different ports are an error.
pub(crate) fn apply(
    home: &ProfileHome,
    keys: &AgentKeys,
    draft: &mut Draft,
) -> Result<(), ConfigError> {
    let address = Address::of(home, keys, draft);
    draft.gateway.port = address.port()?;
    if draft.gateway.kind != GatewayKind::HermesAgent {
        return Ok(());
    }
    let has_host = draft.has_host;
    let config = &mut draft.gateway;
    if let Some(host) = address.host.filter(|_| !has_host) {
        config.host = host;
    }
    config.command.get_or_insert_with(|| COMMAND.map(str::to_owned).into());
    let topology = (config.topology == Topology::Isolated).then_some(ISOLATED);
    let listens = address.is_enabled.then_some((address::PORT, "{port}"));
    let host = listens.filter(|_| has_host).map(|_| (address::HOST, "{host}"));
    let preset = ENV.into_iter().chain(topology).chain(listens).chain(host);
    let mut env: BTreeMap<_, _> =
        preset.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    env.append(&mut config.env);
    config.env = env;
    if address.is_enabled {
        config.ready_url.get_or_insert_with(|| READY_URL.to_owned());
    }
    Ok(())
}
