//! `hermes dashboard`: prints a new token once and serves the dashboard (crate `hermes-dashboard`).

use hermes_dashboard::{Dashboard, Page, Place};

use crate::app::App;
use crate::browser;
use crate::error::{CliError, exit};
use crate::output;

/// Serves until SIGTERM or SIGINT; with `open`, in the browser.
pub(crate) fn run(app: &App, place: Place, open: bool) -> Result<u8, CliError> {
    let dashboard = Dashboard::open(&app.hermes, place)?;
    // Other output than a terminal's may be kept in a log, which must not have the token.
    if let Some(token) = dashboard.new_token().filter(|_| output::is_on_terminal()) {
        output::line(format_args!("token, printed only once: {token}"))?;
    }
    dashboard.serve(|page| {
        if open {
            show(page);
        }
    })?;
    Ok(exit::SUCCESS)
}

/// Opens the page. The dashboard goes on if that fails.
fn show(page: &Page) {
    let url = page.url().to_owned();
    let failed = move |why: String| {
        output::warning(format_args!("no browser was opened: {why}; the page is at {url}"));
    };
    let programs = browser::programs(hermes::variable);
    if programs.is_empty() {
        return failed("BROWSER, DISPLAY and WAYLAND_DISPLAY are not set".to_owned());
    }
    match page.write_sign_in_file() {
        Ok(file) => browser::open(programs, file, failed),
        Err(error) => failed(CliError::from(error).to_string()),
    }
}
