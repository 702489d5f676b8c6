//! Ports that several profiles name, as a clone and its source do: found before the first gateway is stopped.

use std::collections::BTreeMap;

use hermes_core::{Gateway, ProfileName, process_lock};

use super::plan::Row;
use crate::app::App;
use crate::error::CliError;
use crate::output;

/// A profile that names a port.
struct Claim {
    profile: ProfileName,
    /// Whether its gateway runs.
    runs: bool,
    /// Whether the plan starts it.
    starts: bool,
}

impl Claim {
    fn of(gateway: &Gateway, rows: &[Row]) -> Self {
        let row = rows.iter().find(|row| row.profile == *gateway.name());
        let is_supervised =
            || process_lock::holder(&gateway.home().gateway_lock()).ok().flatten().is_some();
        Self {
            profile: gateway.name().clone(),
            runs: row.map_or_else(is_supervised, |row| row.pid.is_some()),
            starts: row.is_some_and(|row| row.starts),
        }
    }

    fn needs_it(&self) -> bool {
        self.runs || self.starts
    }
}

/// Fails if the plan starts a gateway on the port of another one that runs, or that it starts, too. Reports a port that a
/// gateway of the plan has and that another one, which stays down, names.
pub(super) fn check(app: &App, rows: &[Row]) -> Result<(), CliError> {
    let mut claims: BTreeMap<u16, Vec<Claim>> = BTreeMap::new();
    for gateway in app.store().list()?.profiles.into_iter().map(Gateway::new) {
        if let Some(port) = gateway.port().ok().flatten() {
            claims.entry(port).or_default().push(Claim::of(&gateway, rows));
        }
    }
    for (port, mut claimants) in claims {
        if !claimants.iter().any(|claim| claim.starts) {
            continue;
        }
        // The one that runs keeps it, else the first one.
        claimants.sort_by_key(|claim| (!claim.runs, !claim.needs_it()));
        let (keeper, others) = claimants.split_first().expect("one starts");
        if let Some(Claim { profile, .. }) = others.iter().find(|other| other.needs_it()) {
            let keeper = &keeper.profile;
            return Err(CliError::new(format!("failed to adopt the gateway of `{profile}`"))
                .because(format!("port {port} belongs to the gateway of `{keeper}`"))
                .with_hint(format!("`hermes profile port {profile} NUMBER` assigns another")));
        }
        for Claim { profile, .. } in others {
            output::message(format_args!(
                "`{profile}` stays down, and names port {port} of `{}`: `hermes profile port {profile} NUMBER` assigns another",
                keeper.profile
            ));
        }
    }
    Ok(())
}
