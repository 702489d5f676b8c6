//! `doctor --health`: in one line, whether every wanted gateway is up. What a container's health check runs.

use hermes_core::{Intent, ProfileName, State};
use serde::Serialize;

use super::super::status::{self, View};
use crate::app::App;
use crate::args::Which;
use crate::error::{CliError, exit};
use crate::output;

/// How many are named; a health check keeps little of what it is told.
const NAMED: usize = 5;

#[derive(Serialize)]
struct Health {
    healthy: bool,
    wanted: usize,
    /// The wanted ones that are not up.
    missing: Vec<View>,
}

/// Looks at what is wanted, and at nothing else.
pub(crate) fn run(app: &App) -> Result<u8, CliError> {
    if app.is_client() {
        output::message("healthy: nothing is supervised here");
        return Ok(exit::SUCCESS);
    }
    let mut wanted = status::names(app, &Which { names: Vec::new(), all: true })?;
    // An intent that can't be read is one that nobody can say is met.
    wanted.retain(|name| !matches!(Intent::read(&app.root().profile(name)), Ok(Intent::Stopped)));
    // There are two answers: what can't be seen is not known to be well.
    let missing = match missing(app, &wanted) {
        Ok(missing) => missing,
        Err(error) => {
            output::error(&error, app.json);
            return Ok(exit::FAILURE);
        }
    };
    let health = Health { healthy: missing.is_empty(), wanted: wanted.len(), missing };
    if app.json {
        output::json(&health)?;
    } else {
        output::line(told(&health))?;
    }
    Ok(if health.healthy { exit::SUCCESS } else { exit::FAILURE })
}

/// Those of the wanted that are not up.
fn missing(app: &App, wanted: &[ProfileName]) -> Result<Vec<View>, CliError> {
    let mut missing = Vec::new();
    if wanted.is_empty() {
        return Ok(missing);
    }
    let services = app.services()?;
    for name in wanted {
        let status = services.status(name)?;
        if status.state != State::Up {
            missing.push(View::new(app, status));
        }
    }
    Ok(missing)
}

fn told(health: &Health) -> String {
    let wanted = health.wanted;
    if health.healthy {
        return format!("healthy: gateways wanted and up: {wanted}");
    }
    let of = |view: &View| format!("`{}` is {}", view.status.profile, view.status.state);
    let count = health.missing.len();
    let named: Vec<_> = health.missing.iter().take(NAMED).map(of).collect();
    let more = count.saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("unhealthy: of {wanted} wanted gateways {count} not up: {}{more}", named.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stays_one_that_is_read() {
        let view = |number: usize| {
            let status = hermes_core::Status {
                profile: format!("p{number}").parse().unwrap(),
                registered: true,
                state: State::Parked,
                pid: None,
                since: None,
                intent: Some(Intent::Running),
                ready: None,
                deaths: 0,
                last_exit: None,
                parked: None,
                backoff: None,
            };
            View { status, uptime_seconds: None, port: None }
        };
        let told = |count| {
            told(&Health {
                healthy: count == 0,
                wanted: 9,
                missing: (0..count).map(view).collect(),
            })
        };
        assert_eq!(told(0), "healthy: gateways wanted and up: 9");
        assert_eq!(told(1), "unhealthy: of 9 wanted gateways 1 not up: `p0` is parked");
        assert!(told(9).ends_with("`p4` is parked and 4 more"), "{}", told(9));
    }
}
