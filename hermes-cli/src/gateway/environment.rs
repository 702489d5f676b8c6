//! The environment of a gateway that is a program of the user's own. What stands further down wins:
//!
//! 1. what the supervision tree was started with;
//! 2. `gateway.env` of `config.yaml`;
//! 3. the profile's `.env`;
//! 4. what Hermes itself says: home, profile, that it is supervised.
//!
//! `.env` wins over `gateway.env` because the Python agent reads the file itself, over everything it
//! was started with: what a variable is must not depend on who reads it. Where the two name one
//! variable, a warning says so. The variables that decide which tree a process belongs to are in
//! nobody's gift.
//!
//! The built-in gateway uses no variable, so no `.env` is read for it.

use std::collections::BTreeMap;
use std::ffi::OsString;

use hermes_core::dotenv::{self, DotenvError, Variables};
use hermes_core::error_chain::in_one_line;
use hermes_core::home::env as names;
use hermes_core::store::Profile;

use crate::app;
use crate::error::{CliError, exit};
use crate::output;

/// What to add to this process's environment for the gateway of `profile`, in the order in which it
/// counts. Warns on stderr, which is the gateway's log.
pub(super) fn of(
    profile: &Profile,
    mut configured: BTreeMap<String, String>,
) -> Result<Vec<(String, OsString)>, CliError> {
    let (config, dotenv) = (profile.home.config(), profile.home.dotenv());
    let file = dotenv::load(&dotenv).map_err(|error| unusable(profile, error))?;
    configured.retain(|name, _| {
        let reserved = names::DECIDING.contains(&name.as_str());
        if reserved {
            output::warning(format_args!(
                "`gateway.env.{name}` in `{}` is ignored: it is the supervision tree's alone",
                config.display()
            ));
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
            .or_else(|| app::environment(name))
    };
    let Variables { set, warnings } = file.variables(&names::DECIDING, outside);
    warnings.iter().for_each(output::warning);
    for (name, value) in &set {
        if configured.get(name).is_some_and(|other| other != value) {
            output::warning(format_args!(
                "`{name}` in `{}` wins over `gateway.env.{name}` in `{}`",
                dotenv.display(),
                config.display()
            ));
        }
    }
    let ours = ours.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let theirs = configured.into_iter().chain(set);
    Ok(theirs.map(|(name, value)| (name, value.into())).chain(ours).collect())
}

fn unusable(profile: &Profile, error: DotenvError) -> CliError {
    let code = if error.is_permanent() { exit::CONFIG } else { exit::FAILURE };
    let hint = error.hint();
    let error = CliError::new(format!("failed to load the `.env` of `{}`", profile.name))
        .because(in_one_line(&error))
        .with_code(code);
    match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}
