//! `hermes dashboard`: prints the token once and serves the dashboard, which is a crate of its own.

use hermes_dashboard::{Dashboard, Place};

use crate::app::App;
use crate::error::{CliError, exit};
use crate::output;

/// Serves until a signal asks for the end.
pub(crate) fn run(app: &App, place: Place) -> Result<u8, CliError> {
    let dashboard = Dashboard::open(&app.hermes, place)?;
    // What is not a terminal may be kept, and a log is no place for a token.
    if let Some(token) = dashboard.new_token().filter(|_| output::is_on_terminal()) {
        output::line(format_args!("token, told this once: {token}"))?;
    }
    dashboard.serve()?;
    Ok(exit::SUCCESS)
}
