//! The environment of a gateway that is a program of the user's own. What stands further down wins:
//!
//! 1. what this process inherited from the supervision tree;
//! 2. `gateway.env` of `config.yaml`;
//! 3. the profile's `.env`;
//! 4. what Hermes itself sets: home, profile, that the gateway is supervised.
//!
//! `.env` wins over `gateway.env` because the Python agent reads the file itself, over everything it
//! was started with: the value of a variable must not depend on who reads it. Where the two set one
//! variable differently, a warning names it. The variables that decide which tree a process belongs to
//! can't be set by a profile.
//!
//! The built-in gateway uses no variable, so no `.env` is read for it.

use std::collections::BTreeMap;
use std::ffi::OsString;

use hermes_core::dotenv::{self, Variables};
use hermes_core::home::env as names;
use hermes_core::store::Profile;

use crate::error::GatewayError;
use crate::inherited;

/// The variables to add to this process's environment for the gateway of `profile`, whose `gateway.env`
/// is `configured`. Of a name that stands there twice the last value counts.
pub(crate) fn of(
    profile: &Profile,
    mut configured: BTreeMap<String, String>,
) -> Result<Vec<(String, OsString)>, GatewayError> {
    let (config, dotenv) = (profile.home.config(), profile.home.dotenv());
    let file = dotenv::load(&dotenv)
        .map_err(|source| GatewayError::Dotenv { profile: profile.name.clone(), source })?;
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
    let ours = [
        (names::HOME, profile.home.path().as_os_str()),
        (names::PROFILE, profile.name.as_str().as_ref()),
        (names::SUPERVISED_CHILD, "1".as_ref()),
    ];
    let outside = |name: &str| {
        let ours = ours.iter().find(|(known, _)| *known == name);
        ours.map(|(_, value)| value.to_string_lossy().into_owned())
            .or_else(|| configured.get(name).cloned())
            .or_else(|| inherited::variable(name))
    };
    let Variables { set, warnings } = file.variables(&names::DECIDING, outside);
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
    let ours = ours.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let theirs = configured.into_iter().chain(set);
    Ok(theirs.map(|(name, value)| (name, value.into())).chain(ours).collect())
}
