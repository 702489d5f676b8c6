//! The environment of a gateway with a `gateway.command`. Later sources win:
//!
//! 1. this process's environment, inherited from the supervision tree;
//! 2. `gateway.env` of `config.yaml`;
//! 3. the profile's `.env`;
//! 4. the variables of Hermes: home, profile, and the mark of a supervised gateway.
//!
//! `.env` wins over `gateway.env` because the Python agent reads `.env` itself and prefers it to its
//! environment: both readers must get the same value. If the two sources set a variable differently, a
//! warning names it. A profile can't set the variables that decide which tree a process belongs to.
//!
//! The built-in gateway uses no variables, so no `.env` is read for it.

use std::collections::BTreeMap;
use std::ffi::OsString;

use hermes_core::agent::Program;
use hermes_core::config::GatewayKind;
use hermes_core::dotenv::{self, Variables};
use hermes_core::home::env as names;
use hermes_core::store::Profile;

use crate::error::GatewayError;
use crate::inherited;

const PATH: &str = "PATH";
/// The start of the names of the variables that decide where the Python agent's API server listens, and with which key.
const API_SERVER: &str = "API_SERVER_";

/// The inherited variables that are not for the gateway of `profile`: in a container they give an address and a key to the
/// gateway of `default`, and the other gateways of the Python agent would take the same.
pub(crate) fn of_default_alone(profile: &Profile, kind: GatewayKind) -> Vec<OsString> {
    match kind {
        GatewayKind::HermesAgent if !profile.name.is_default() => inherited::names(API_SERVER),
        _ => Vec::new(),
    }
}

/// The variables to add to this process's environment for the gateway of `profile`, whose `gateway.env`
/// is `configured`. The Python agent's `program` finds itself: its directory leads `PATH`. If a name occurs twice, the last value counts.
pub(crate) fn of(
    profile: &Profile,
    mut configured: BTreeMap<String, String>,
    program: Option<&Program>,
) -> Result<Vec<(String, OsString)>, GatewayError> {
    let (config, dotenv) = (profile.home.config(), profile.home.dotenv());
    let failed = |source| GatewayError::Dotenv { profile: profile.name.clone(), source };
    let file = dotenv::load(&dotenv).map_err(failed)?;
    configured.retain(|name, _| {
        let reserved = names::DECIDING.contains(&name.as_str());
        if reserved {
            log::warn!(
                "`gateway.env.{name}` in `{}` is ignored: it is reserved for the supervision tree",
                config.display()
            );
        }
        !reserved
    });
    let own = [
        (names::HOME, profile.home.path().as_os_str()),
        (names::PROFILE, profile.name.as_str().as_ref()),
        (names::SUPERVISED_CHILD, "1".as_ref()),
    ];
    let outside = |name: &str| {
        let own = own.iter().find(|(known, _)| *known == name);
        own.map(|(_, value)| value.to_string_lossy().into_owned())
            .or_else(|| configured.get(name).cloned())
            .or_else(|| inherited::variable(name))
    };
    let Variables { set, warnings } = file.variables(&names::DECIDING, outside).map_err(failed)?;
    for warning in warnings {
        log::warn!("{warning}");
    }
    for (name, value) in &set {
        if configured.get(name).is_some_and(|other| other != value) {
            log::warn!(
                "`{name}` in `{}` wins over `gateway.env.{name}` in `{}`",
                dotenv.display(),
                config.display()
            );
        }
    }
    let own = own.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let of_profile = configured.into_iter().chain(set);
    let mut all: Vec<(String, OsString)> =
        of_profile.map(|(name, value)| (name, value.into())).chain(own).collect();
    if let Some(program) = program {
        let named = |name: &str| {
            all.iter().rfind(|(known, _)| known == name).map(|(_, value)| value.clone())
        };
        let path = named(PATH).or_else(|| inherited::variable(PATH).map(OsString::from));
        all.push((PATH.to_owned(), program.leading(path)));
        all.push((names::AGENT_BIN.to_owned(), program.path.clone().into()));
    }
    Ok(all)
}
