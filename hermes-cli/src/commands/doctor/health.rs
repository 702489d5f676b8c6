//! `doctor --health`: in one line, whether every wanted gateway is up. A container's health check runs it.

use std::time::Duration;

use hermes_core::driver::{DriverError, During};
use hermes_core::status::{Reason, ReasonKind, Status};
use hermes_core::{Gateway, Intent, ProfileName, State, liveness, parallel};
use serde::Serialize;

use hermes::view::StatusView;

use super::super::models;
use crate::app::App;
use crate::error::{CliError, exit};
use crate::output;

/// How many gateways are named: a container's health log keeps little text.
const NAMED: usize = 5;
/// How many gateways are asked at the same time for whom they work, and how long a step of the answer may take.
const JOBS: usize = 8;
const ON_THE_SPOT: Duration = Duration::from_secs(2);

#[derive(Serialize)]
struct Health {
    healthy: bool,
    wanted: usize,
    /// The wanted gateways that are not healthy.
    missing: Vec<StatusView>,
}

/// Checks the wanted gateways only.
pub(crate) fn run(app: &App) -> Result<u8, CliError> {
    if hermes::is_client() {
        output::message("healthy: nothing is supervised here");
        return Ok(exit::SUCCESS);
    }
    let mut wanted = app.store().possible_names()?;
    // Read here, since no supervisor is needed if no gateway is wanted.
    wanted.retain(|name| Intent::is_wanted(Intent::read(&app.root().profile(name)).ok()));
    // A health check has two answers: an error counts as unhealthy.
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
        let missing: Vec<_> = health.missing.iter().map(|view| problem(&view.status)).collect();
        output::line(summary(health.wanted, &missing))?;
    }
    Ok(if health.healthy { exit::SUCCESS } else { exit::FAILURE })
}

/// The wanted gateways that are not healthy.
fn missing(app: &App, wanted: &[ProfileName]) -> Result<Vec<StatusView>, CliError> {
    let mut missing = Vec::new();
    if wanted.is_empty() {
        return Ok(missing);
    }
    let services = app.reachable()?;
    let reading = |name: &ProfileName| format!("read the status of `{name}`");
    let gateway = |name| {
        let profile = app.store().get(name).map_err(DriverError::from);
        profile.map(Gateway::new).during(&reading(name))
    };
    let gateways = wanted.iter().map(gateway).collect::<Result<Vec<_>, _>>()?;
    let statuses = services.observe_many(&gateways).during("read the status of the gateways")?;
    let statuses = statuses.into_iter().zip(wanted);
    let statuses = statuses.map(|(status, name)| status.during(&reading(name)));
    let mut statuses = statuses.collect::<Result<Vec<_>, _>>()?;
    if !services.is_watched() {
        liveness::ask_now(gateways.iter().zip(&mut statuses));
    }
    let names = app.store().names()?;
    let statuses = gateways.iter().zip(statuses).collect();
    let statuses =
        parallel::map(statuses, JOBS, |(gateway, status)| isolated(gateway, status, &names));
    for status in statuses {
        if status.is_missing() {
            missing.push(StatusView::from(status));
        }
    }
    Ok(missing)
}

/// The status with the reason of a gateway that serves another of the `profiles`, although it is to be isolated.
fn isolated(gateway: &Gateway, status: Status, profiles: &[ProfileName]) -> Status {
    let is_asked = status.state == State::Up && status.is_healthy();
    let gateway = Some(gateway).filter(|_| is_asked);
    let other = gateway.and_then(|gateway| models::other_served(gateway, profiles, ON_THE_SPOT));
    let reason = other.map(|text| Reason { kind: ReasonKind::Topology, text });
    Status { reason: status.reason.or(reason), ..status }
}

fn problem(status: &Status) -> String {
    let is_up = format!("`{}` is {}", status.profile, status.word());
    match &status.reason {
        Some(reason)
            if matches!(
                reason.kind,
                ReasonKind::Logger | ReasonKind::Suspended | ReasonKind::Topology
            ) =>
        {
            format!("{is_up}, but {}", reason.text)
        }
        _ => is_up,
    }
}

fn summary(wanted: usize, missing: &[String]) -> String {
    if missing.is_empty() {
        return format!("healthy: gateways wanted and up: {wanted}");
    }
    let named = missing.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = match missing.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("unhealthy: of {wanted} wanted gateways {} not healthy: {named}{more}", missing.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_names_five_gateways_at_most() {
        let line = |count: usize| {
            summary(
                9,
                &(0..count).map(|number| format!("`p{number}` is parked")).collect::<Vec<_>>(),
            )
        };
        assert_eq!(line(0), "healthy: gateways wanted and up: 9");
        assert_eq!(line(1), "unhealthy: of 9 wanted gateways 1 not healthy: `p0` is parked");
        assert!(line(9).ends_with("`p4` is parked and 4 more"), "{}", line(9));
    }
}
