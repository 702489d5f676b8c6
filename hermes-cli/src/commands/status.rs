//! `hermes gateway status` and `list`: the status of gateways.

use hermes::view::StatusView;
use hermes_core::agent::Locks;
use hermes_core::diagnostics::Finding;
use hermes_core::manager::ManagerError;
use hermes_core::size;
use hermes_core::status::{ReasonKind, Status};
use hermes_core::usage::Usage;
use hermes_core::{Gateway, ProfileName, ServiceManager, State, Supervisor};

use crate::app::App;
use crate::args::ProfileSelector;
use crate::error::{CliError, exit};
use crate::output;

fn row(view: &StatusView) -> Vec<String> {
    let Status { profile, pid, since, intent, ready, deaths, last_exit, .. } = &view.status;
    vec![
        profile.to_string(),
        view.status.word(),
        output::or_dash(*pid),
        since.map_or_else(|| "-".to_owned(), output::age),
        output::or_dash(*intent),
        match ready {
            Some(true) => "yes",
            Some(false) => "no",
            None => "-",
        }
        .to_owned(),
        deaths.to_string(),
        output::or_dash(view.status.port),
        output::or_dash(view.status.kind),
        output::or_dash(*last_exit),
    ]
}

const HEADER: [&str; 10] =
    ["PROFILE", "STATE", "PID", "SINCE", "INTENT", "READY", "DEATHS", "PORT", "RUNS", "LAST EXIT"];
/// The columns of `--wide`, after those of [`HEADER`].
const WIDE: [&str; 3] = ["MEMORY", "CPU", "PROCESSES"];

fn wide_row(view: &StatusView) -> Vec<String> {
    let wide = match &view.usage {
        Some(usage) => [memory(usage), cpu(usage), usage.processes.to_string()],
        None => ["-", "-", "-"].map(str::to_owned),
    };
    row(view).into_iter().chain(wide).collect()
}

/// `82.0 MiB pss`
fn memory(usage: &Usage) -> String {
    format!("{} {}", size::shown(usage.memory_bytes), usage.memory_kind.word())
}

/// The processor time so far: `12.3 s`.
fn cpu(usage: &Usage) -> String {
    format!("{:.1} s", usage.cpu.as_secs_f64())
}

/// `status`: exits with 0 if the gateway runs, 3 if not; with `--all` 1 if a wanted gateway is not healthy.
pub(crate) fn status(
    app: &App,
    selector: ProfileSelector,
    probe: bool,
    wide: bool,
) -> Result<u8, CliError> {
    let services = supervisor(app, &selector)?;
    let names = names(app, &selector)?;
    let single = !selector.all && names.len() == 1;
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
        StatusView::measure(views.iter_mut());
    }
    match views.first() {
        Some(view) if single && app.json => output::json(view)?,
        Some(view) if single => describe(view)?,
        _ => print(app, &views, wide)?,
    }
    warn_of_findings(app, &services);
    if let Some(code) = failed {
        return Ok(code);
    }
    Ok(match selector.all {
        true if views.iter().any(|view| view.status.is_missing()) => exit::FAILURE,
        false if !views.iter().all(|view| view.status.state.is_running() || view.healthy) => {
            exit::NOT_RUNNING
        }
        _ => exit::SUCCESS,
    })
}

/// The supervisor in charge. Where no tree runs, names those of the selected gateways that run outside of any supervisor.
fn supervisor(app: &App, selector: &ProfileSelector) -> Result<Supervisor, CliError> {
    let error = match app.reachable() {
        Ok(services) => return Ok(services),
        Err(error) => error,
    };
    let locks = Locks::default();
    let mut foreign = Vec::new();
    // An error below is a lesser one.
    for name in names(app, selector).unwrap_or_default() {
        let Ok(Some(profile)) = app.store().find(&name) else { continue };
        if let Some(pid) = Gateway::new(profile).foreign(&locks, None) {
            output::message(format_args!(
                "`{name}` is foreign: process {pid} is the gateway, outside of any supervisor"
            ));
            foreign.push(name.to_string());
        }
    }
    // `adopt` starts a tree; a service manager of the host has to answer by itself.
    Err(match foreign.is_empty() || app.supervisor()?.supports_installation() {
        true => error,
        false => {
            let them = if foreign.len() == 1 { "it" } else { "them" };
            error.with_hint(format!("`hermes adopt {}` has {them} supervised", foreign.join(" ")))
        }
    })
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
    let services = supervisor(app, &ProfileSelector { all: true, names: Vec::new() })?;
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
        true => {
            output::table(&[HEADER.as_slice(), &WIDE].concat(), views.iter().map(wide_row))?;
        }
        false => output::table(&HEADER, views.iter().map(row))?,
    }
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

fn describe(view: &StatusView) -> Result<(), CliError> {
    let status = &view.status;
    let line = |name: &str, value: String| output::line(format_args!("{name:<9}  {value}"));
    line("profile", status.profile.to_string())?;
    line("state", status.word())?;
    line("pid", output::or_dash(status.pid))?;
    line(
        "since",
        status.since.map_or_else(
            || "-".to_owned(),
            |since| format!("{since:.0} ({} ago)", output::age(since)),
        ),
    )?;
    line("intent", output::or_dash(status.intent))?;
    line(
        "ready",
        match status.ready {
            Some(true) => "yes".to_owned(),
            Some(false) => "no".to_owned(),
            None => "-".to_owned(),
        },
    )?;
    line("deaths", format!("{} in the last hour", status.deaths))?;
    line("last exit", output::or_dash(status.last_exit))?;
    line("port", output::or_dash(view.status.port))?;
    line("runs", output::or_dash(view.status.kind))?;
    if status.state == State::Served {
        line("served by", ProfileName::default_profile().to_string())?;
    }
    if let Some(usage) = &view.usage {
        line("memory", memory(usage))?;
        line("cpu", cpu(usage))?;
        line("processes", usage.processes.to_string())?;
    }
    // That of a parked one has a line of its own.
    if let Some(reason) = status.reason.as_ref().filter(|it| it.kind != ReasonKind::Parked) {
        line("reason", reason.text.clone())?;
    }
    if let Some(backoff) = &status.backoff {
        line("backoff", backoff.summary())?;
    }
    if let Some(parked) = &status.parked {
        line("parked", parked.reason.clone())?;
        output::message(format_args!(
            "`hermes gateway start {}` tries again, once that is fixed",
            status.profile
        ));
    }
    Ok(())
}

/// The profiles of a command: all, the named ones, or the default profile.
pub(crate) fn names(app: &App, selector: &ProfileSelector) -> Result<Vec<ProfileName>, CliError> {
    if selector.all {
        return Ok(app.store().possible_names()?);
    }
    if selector.names.is_empty() {
        return Ok(vec![app.profile()?]);
    }
    Ok(selector.names.clone())
}
