//! The last step of `profile create` and `profile import`: starts the gateway and prints the profile.

use hermes::view::ProfileView;
use hermes_core::supervisor::NewService;
use hermes_core::{Gateway, ServiceManager, Supervisor};

use crate::app::App;
use crate::error::{CliError, exit};
use crate::output;

/// Starts the gateway of a new profile if `start` is set, and prints the outcome.
pub(super) fn finish(
    app: &App,
    supervisor: &Supervisor,
    gateway: &Gateway,
    service: NewService,
    start: bool,
) -> Result<u8, CliError> {
    let name = gateway.name();
    match service {
        NewService::Registered if start => {
            supervisor.start(name)?;
            output::message("its gateway is up");
        }
        NewService::Registered => {
            output::message(format_args!(
                "its gateway is registered; `hermes gateway start {name}` starts it"
            ));
        }
        NewService::Next(next) => output::message(next),
    }
    if app.json {
        let status = supervisor.observe(gateway).ok();
        output::json(&ProfileView::new(gateway, status.as_ref(), &app.profile()?))?;
    }
    Ok(exit::SUCCESS)
}
