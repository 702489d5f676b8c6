//! The supervisor that a status is read from. If no supervisor answers, what runs outside of any is named.

use hermes_core::agent::Locks;
use hermes_core::{Gateway, ProfileName, Supervisor};

use crate::app::App;
use crate::error::CliError;
use crate::output;

/// The supervisor in charge. Where no tree runs, names those of the gateways `names` that run outside of any supervisor.
pub(super) fn supervisor(app: &App, names: &[ProfileName]) -> Result<Supervisor, CliError> {
    let error = match app.reachable() {
        Ok(services) => return Ok(services),
        Err(error) => error,
    };
    let locks = Locks::default();
    let mut foreign = Vec::new();
    for name in names {
        // An error here is a lesser one.
        let Ok(Some(profile)) = app.store().find(name) else { continue };
        if let Some(pid) = Gateway::new(profile).foreign(&locks, None) {
            output::message(format_args!(
                "`{name}` is foreign: process {pid} is the gateway, outside of any supervisor"
            ));
            foreign.push(name.to_string());
        }
    }
    // `adopt` starts a tree; a service manager of the host has to answer by itself.
    Err(match foreign.is_empty() || app.supervisor()?.supports_installation() {
        true => error,
        false => {
            let them = if foreign.len() == 1 { "it" } else { "them" };
            error.with_hint(format!("`hermes adopt {}` has {them} supervised", foreign.join(" ")))
        }
    })
}
