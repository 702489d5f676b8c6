//! `gateway start --foreground --launchd LABEL`: the process of a launchd job. It checks whether it may
//! become the gateway, and removes its job if not (`hermes_host::launchd`).

use hermes_core::error_chain::in_one_line;
use hermes_core::settings::Surroundings;
use hermes_core::{Driver, ProfileName, fsutil};
use hermes_gateway::Notification;
use hermes_host::Launchd;

use crate::app::App;
use crate::error::{CliError, exit};
use crate::output;

/// Becomes the gateway of the profile, or removes its job, also if the profile does not exist any more.
pub(super) fn run(app: &App, name: &ProfileName, label: &str) -> Result<u8, CliError> {
    let home = app.root().profile(name);
    let launchd = Launchd::connect(app.hermes.environment())?;
    let launcher = launchd.launcher(label, name, &home);
    match launcher.objection() {
        Ok(None) => {}
        Ok(Some(why)) => {
            output::message(format!("the gateway of `{name}` is not started: {why}"));
            launcher.leave()?;
            return Ok(exit::SUCCESS);
        }
        // The gateway runs even if launchd does not answer.
        Err(error) => output::warning(CliError::from(error).in_one_line()),
    }
    let readiness = home.readiness();
    // A leftover readiness file names another process.
    let _ = fsutil::remove_file_if_there(&readiness);
    let notification = Notification::to_file(readiness, std::process::id());
    // What another gateway has left is launchd's to end.
    match hermes_gateway::run(app.store(), name, &Surroundings::default(), notification, || {}) {
        // Nobody else removes the job of a profile that is gone.
        Err(error) if error.is_permanent() || error.is_gone() => {
            let reason = in_one_line(&error);
            output::error(&error.into(), false);
            launcher.park(reason)?;
            launcher.leave()?;
        }
        ended => ended?,
    }
    Ok(exit::SUCCESS)
}
