//! `gateway start --foreground --launchd LABEL`: the gateway as launchd's job, which judges before it becomes
//! the gateway whether it may, and has its job removed where it must not (`hermes_host::launchd`).

use hermes_core::error_chain::in_one_line;
use hermes_core::{Driver, ProfileName, fsutil};
use hermes_gateway::Notification;
use hermes_host::Launchd;

use crate::app::App;
use crate::error::{CliError, exit};
use crate::output;

/// Becomes the gateway of the profile, or leaves launchd. The profile may be gone: then, too, it leaves.
pub(super) fn run(app: &App, name: &ProfileName, label: &str) -> Result<u8, CliError> {
    let home = app.root().profile(name);
    let launchd = Launchd::connect(app.hermes.environment())?;
    let launcher = launchd.launcher(label, &home);
    match launcher.objection() {
        Ok(None) => {}
        Ok(Some(why)) => {
            output::message(format!("the gateway of `{name}` is not started: {why}"));
            launcher.leave()?;
            return Ok(exit::SUCCESS);
        }
        // That launchd gives no answer is no reason not to run.
        Err(error) => output::warning(CliError::from(error).in_one_line()),
    }
    let readiness = home.readiness();
    // One that is left of another process names that one.
    let _ = fsutil::remove_file_if_there(&readiness);
    let notification = Notification::to_file(readiness, std::process::id());
    match hermes_gateway::run(app.store(), name, notification) {
        Err(error) if error.is_permanent() => {
            let reason = in_one_line(&error);
            output::error(&error.into(), false);
            launcher.park(reason)?;
            launcher.leave()?;
        }
        ended => ended?,
    }
    Ok(exit::SUCCESS)
}
