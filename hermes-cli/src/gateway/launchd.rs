//! `gateway start --foreground --launchd LABEL`: the gateway as launchd's job, which judges before it becomes
//! the gateway whether it may, and has its job removed where it must not (`hermes_host::launchd`).

use hermes_core::{ProfileName, fsutil};

use super::launch;
use super::notification::Notification;
use crate::app::App;
use crate::error::{CliError, exit};
use crate::output;

/// Becomes the gateway of the profile, or leaves launchd. The profile may be gone: then, too, it leaves.
pub(crate) fn run(app: &App, name: &ProfileName, label: &str) -> Result<u8, CliError> {
    let home = app.root().profile(name);
    let launchd = app.launchd()?;
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
    let ended = launch::run(app, name, Notification::in_file(readiness, std::process::id()));
    if let Err(error) = &ended
        && error.code() == exit::CONFIG
    {
        output::error(error, false);
        launcher.park(error.in_one_line())?;
        launcher.leave()?;
        return Ok(exit::SUCCESS);
    }
    ended
}
