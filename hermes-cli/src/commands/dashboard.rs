//! `hermes dashboard`: prints a new token once and serves the dashboard (crate `hermes-dashboard`).

use hermes_dashboard::{Dashboard, Place};

use crate::app::App;
use crate::error::{CliError, exit};
use crate::output;

/// Serves until SIGTERM or SIGINT.
pub(crate) fn run(app: &App, place: Place) -> Result<u8, CliError> {
    let dashboard = Dashboard::open(&app.hermes, place)?;
    // Other output than a terminal's may be kept in a log, which must not have the token.
    if let Some(token) = dashboard.new_token().filter(|_| output::is_on_terminal()) {
        output::line(format_args!("token, printed only once: {token}"))?;
    }
    dashboard.serve()?;
    Ok(exit::SUCCESS)
}
