//! `hermes gateway status` and `list`: the status of gateways.

mod columns;
mod single;
mod supervisor;
mod top;

use hermes::view::StatusView;
use hermes_core::diagnostics::Finding;
use hermes_core::manager::ManagerError;
use hermes_core::status::ReasonKind;
use hermes_core::{ProfileName, ServiceManager, Supervisor};

use self::supervisor::supervisor;
pub(crate) use self::top::top;
use crate::app::App;
use crate::args::gateway;
use crate::error::{CliError, exit};
use crate::output;

/// `status`: exits with 0 if the named gateway runs, 3 if not; of all, with 1 if a wanted gateway is not healthy.
pub(crate) fn status(app: &App, args: gateway::Status) -> Result<u8, CliError> {
    let gateway::Status { which, probe, wide } = args;
    let chosen = if which.all { None } else { chosen(app, which.names) };
    let all = chosen.is_none();
    let names = match chosen {
        Some(names) => names,
        None => app.store().possible_names()?,
    };
    let services = supervisor(app, &names)?;
    let single = !all && names.len() == 1;
    let mut views = Vec::new();
    let mut failed = None;
    for view in views_of(&services, &names, probe)? {
        match view {
            Ok(view) => views.push(view),
            Err(error) if single => return Err(error.into()),
            // An error of one gateway must not hide the others.
            Err(error) => {
                let error = CliError::from(error);
                output::error(&error, false);
                failed = failed.or(Some(error.code()));
            }
        }
    }
    if wide {
        StatusView::measure(&services, views.iter_mut());
    }
    match views.first() {
        Some(view) if single && app.json => output::json(view)?,
        Some(view) if single => single::print(app, view)?,
        _ => print(app, &views, wide)?,
    }
    warn_of_findings(app, &services);
    if let Some(code) = failed {
        return Ok(code);
    }
    Ok(match all {
        true if views.iter().any(|view| view.status.is_missing()) => exit::FAILURE,
        false if !views.iter().all(|view| view.status.state.is_running() || view.healthy) => {
            exit::NOT_RUNNING
        }
        _ => exit::SUCCESS,
    })
}

/// The profiles that the command line or `HERMES_HOME` names; `None` for all.
fn chosen(app: &App, mut names: Vec<ProfileName>) -> Option<Vec<ProfileName>> {
    if names.is_empty() {
        names.extend(app.named_profile().or_else(|| app.hermes.home_profile()).cloned());
    }
    Some(names).filter(|names| !names.is_empty())
}

/// Prints the findings about the backend as warnings, with their remedies.
pub(super) fn warn_of_findings(app: &App, services: &Supervisor) {
    for Finding { problem, remedy, .. } in app.hermes.backend_findings(services) {
        output::warning(problem);
        output::message(format_args!("  fix: {remedy}"));
    }
}

/// `list`: prints the gateways that have a service.
pub(crate) fn list(app: &App) -> Result<u8, CliError> {
    let services = supervisor(app, &app.store().possible_names().unwrap_or_default())?;
    let mut views = Vec::new();
    let mut names = services.list_services()?;
    names.sort_by(ProfileName::cmp_for_listing);
    let mut code = exit::SUCCESS;
    let verb = if services.supports_installation() { "uninstall" } else { "unregister" };
    for view in views_of(&services, &names, false)? {
        match view {
            Ok(view) => views.push(view),
            Err(ManagerError::NoSuchProfile { profile }) => output::warning(format_args!(
                "the service of `{profile}` has no profile; `hermes gateway {verb} {profile}` removes it"
            )),
            // An error of one gateway must not hide the others.
            Err(error) => {
                let error = CliError::from(error);
                output::error(&error, false);
                code = error.code();
            }
        }
    }
    print(app, &views, false)?;
    Ok(code)
}

fn views_of(
    services: &Supervisor,
    names: &[ProfileName],
    probe: bool,
) -> Result<Vec<Result<StatusView, ManagerError>>, ManagerError> {
    let mut statuses = match names {
        [name] => vec![services.status(name)],
        names => services.statuses(names)?,
    };
    if probe {
        services.ask_now(statuses.iter_mut().flatten());
    }
    Ok(statuses.into_iter().map(|status| status.map(StatusView::from)).collect())
}

fn print(app: &App, views: &[StatusView], wide: bool) -> Result<(), CliError> {
    if app.json {
        return output::json(&views);
    }
    match wide {
        true => output::table(&columns::wide(), views.iter().map(columns::wide_row))?,
        false => output::table(&columns::COLUMNS, views.iter().map(columns::row))?,
    };
    for view in views {
        let profile = &view.status.profile;
        if let Some(backoff) = &view.status.backoff {
            output::message(format_args!("`{profile}` {}", backoff.summary()));
        }
        // A death was reported with the time of the next start.
        if let Some(reason) =
            view.status.reason.as_ref().filter(|it| it.kind != ReasonKind::Backoff)
        {
            output::message(format_args!("`{profile}` is {}: {}", view.status.word(), reason.text));
        }
    }
    Ok(())
}
