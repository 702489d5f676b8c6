//! `hermes gateway`: dispatches its commands, and runs those that change gateways for many profiles.

mod launchd;
mod pod;

use std::time::Duration;

use hermes::view::{ErrorView, StatusView};
use hermes_core::events::Journal;
use hermes_core::manager::ManagerError;
use hermes_core::parallel;
use hermes_core::settings::Surroundings;
use hermes_core::supervisor::Pace;
use hermes_core::{
    Driver, Intent, ProfileName, RegisterOptions, ServiceManager, State, Status, Supervisor,
};
use hermes_gateway::Notification;
use hermes_host::Systemd;
use rustix::process::{Resource, Rlimit};

use super::{logs, status, up};
use crate::app::App;
use crate::args::gateway::{Register, Restart, Start};
use crate::args::{Gateway, ProfileSelector};
use crate::error::{CliError, exit};
use crate::interrupted;
use crate::output;

/// What a profile is whose own gateway stays down.
const SERVED: &str = "served by `default`'s gateway";
/// How many gateways a command changes in parallel.
const JOBS: usize = 8;

pub(crate) fn run(app: &App, command: Gateway) -> Result<u8, CliError> {
    match command {
        Gateway::Start(args) => start(app, args),
        Gateway::Run => foreground(app, Vec::new(), &Surroundings::default()),
        Gateway::Status(args) => status::status(app, args),
        Gateway::List => status::list(app),
        Gateway::Logs(args) => logs::run(app, args),
        Gateway::Install { which, start } => {
            let code = each(app, &which, JOBS, "installed", |services, name| {
                services.install(name)?;
                if start { services.start(name).map(Some) } else { Ok(None) }
            })?;
            status::warn_of_findings(app, &app.reachable()?);
            Ok(code)
        }
        Gateway::Uninstall(which) => each(app, &which, JOBS, "uninstalled", |services, name| {
            services.uninstall(name).map(|()| None)
        }),
        Gateway::Wanted => wanted(app),
        Gateway::Ended => {
            let systemd = Systemd::connect(app.hermes.environment())?;
            systemd.record_end(&app.single_profile(Vec::new())?)?;
            Ok(exit::SUCCESS)
        }
        Gateway::AwaitReady { url, answer_within, pid, health, file, detach } => {
            let timeout = answer_within.map(Duration::from_secs);
            let events = Journal::new(app.root()).of(&app.single_profile(Vec::new())?);
            hermes_gateway::await_ready(&url, timeout, pid, &health, file, detach, events)?;
            Ok(exit::SUCCESS)
        }
        Gateway::Pod(args) => pod::run(app, args),
        Gateway::AfterDeath { group, pace } => up::after_death(app, group.as_deref(), &pace.into()),
        Gateway::Stop(which) => batch(app, &which, "down", |services, names| {
            raise_descriptor_limit();
            services.stop_many(&names).into_iter().map(|outcome| outcome.map(Some)).collect()
        }),
        Gateway::Restart(Restart { which, pace }) => {
            batch(app, &which, "up again", |services, names| {
                raise_descriptor_limit();
                let outcomes = services.restart_many(&names, pace.into());
                outcomes.into_iter().map(|outcome| outcome.map(Some)).collect()
            })
        }
        Gateway::Register(args) => register(app, args),
        Gateway::Unregister(which) => batch(app, &which, "unregistered", |services, names| {
            let outcomes = services.unregister_many(&names);
            outcomes.into_iter().map(|outcome| outcome.map(|()| None)).collect()
        }),
    }
}

fn start(app: &App, args: Start) -> Result<u8, CliError> {
    let Start { which, pace, foreground, launchd, default_host: host, defaults } = args;
    match launchd {
        Some(label) => launchd::run(app, &app.single_profile(which.names)?, &label),
        None if foreground => self::foreground(app, which.names, &Surroundings { host, defaults }),
        None => batch(app, &which, "up", |services, names| {
            services.start_many(&names, pace.into()).into_iter().map(|it| it.map(Some)).collect()
        }),
    }
}

fn foreground(
    app: &App,
    names: Vec<ProfileName>,
    surroundings: &Surroundings,
) -> Result<u8, CliError> {
    let name = app.single_profile(names)?;
    let end_leftovers = up::leftovers_of_orphan(app, &name);
    let notification = Notification::inherited();
    hermes_gateway::run(app.store(), &name, surroundings, notification, end_leftovers)?;
    Ok(exit::SUCCESS)
}

fn register(app: &App, args: Register) -> Result<u8, CliError> {
    let Register { which, env, start, refresh, pace } = args;
    let pace = Pace::from(pace);
    let options = RegisterOptions { extra_env: env.into_iter().collect(), start_now: start };
    // With --all, refresh only the slots that another version created, and do not stop the others.
    let outdated = match refresh && which.all && options.extra_env.is_empty() {
        true => Some(app.reachable()?.outdated()?),
        false => None,
    };
    let is_due = |name: &ProfileName| outdated.as_ref().is_none_or(|it| it.contains(name));
    batch(app, &which, "registered", |services, names| {
        let due: Vec<_> = names.iter().filter(|name| is_due(name)).cloned().collect();
        let registered = match refresh {
            true => services.refresh_many(&due, &options, pace.jobs),
            false => services.register_many(&due, &options, pace.jobs),
        };
        let mut registered = registered.into_iter();
        let done = |name| if is_due(name) { registered.next() } else { None }.unwrap_or(Ok(()));
        let done: Vec<_> = names.iter().map(done).collect();
        let to_start = names.iter().zip(&done).filter(|(_, done)| start && done.is_ok());
        let to_start: Vec<_> = to_start.map(|(name, _)| name.clone()).collect();
        let mut started = services.start_many(&to_start, pace).into_iter();
        let with_start = |done: Result<(), _>| done.and_then(|()| started.next().transpose());
        done.into_iter().map(with_start).collect()
    })
}

/// Calls `act`, which returns the status if it is news, for every profile that `which` selects and reports each outcome. The failure of a single
/// profile is the command's error; of several failures, the first decides the exit code.
fn each(
    app: &App,
    which: &ProfileSelector,
    jobs: usize,
    done: &str,
    act: impl Fn(&Supervisor, &ProfileName) -> Result<Option<Status>, ManagerError> + Sync,
) -> Result<u8, CliError> {
    batch(app, which, done, |services, names| {
        parallel::map(names, jobs, |name| act(services, &name))
    })
}

/// As [`each`], for an operation on many gateways at a time, which returns the outcome of each in their order.
fn batch(
    app: &App,
    which: &ProfileSelector,
    done: &str,
    act: impl Fn(&Supervisor, Vec<ProfileName>) -> Vec<Result<Option<Status>, ManagerError>>,
) -> Result<u8, CliError> {
    let services = app.reachable()?;
    let mut names = app.selected(which)?;
    let single = names.len() == 1 && !which.all;
    names.retain(|name| !which.all || services.driver().can_run(name));
    // The gateway of `default` may serve the others, which then need none of their own.
    let is_server = |name: &mut ProfileName| name.is_default() && services.default_is_shared();
    let server: Vec<_> = names.extract_if(.., is_server).collect();
    let batches = [server, names].into_iter().filter(|names| !names.is_empty());
    let outcomes = batches.flat_map(|names| names.clone().into_iter().zip(act(&services, names)));
    let outcomes: Vec<_> = outcomes.collect();
    let done_or_not: Vec<_> = outcomes.iter().map(|(name, it)| (name, it.is_ok())).collect();
    if let Some(interrupted) = interrupted::of_gateways(app.root(), done, &done_or_not) {
        return Err(interrupted);
    }
    let mut code = exit::SUCCESS;
    let mut reports = Vec::new();
    for (name, result) in outcomes {
        let result = result.map_err(CliError::from);
        match result {
            Ok(status) => {
                let is_served = status.is_some_and(|status| status.state == State::Served);
                let done = if is_served { SERVED } else { done };
                output::message(format_args!("`{name}` is {done}"));
                if app.json {
                    reports.push(report(&services, &name));
                }
            }
            Err(error) if single => return Err(error),
            Err(error) => {
                output::error(&error, false);
                code = if code == exit::SUCCESS { error.code() } else { code };
                if app.json {
                    let report = ErrorView { profile: Some(name), ..error.view() };
                    reports.push(serde_json::json!(report));
                }
            }
        }
    }
    match reports.as_slice() {
        _ if !app.json => {}
        [report] if single => output::json(report)?,
        reports => output::json(&reports)?,
    }
    Ok(code)
}

/// As far as allowed: the more files this process may open, the more gateways stop at the same time.
fn raise_descriptor_limit() {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, ..limit };
    let _ = rustix::process::setrlimit(Resource::Nofile, raised);
}

/// The status after the change. An unregistered slot may not have a profile any more.
fn report(services: &Supervisor, name: &ProfileName) -> serde_json::Value {
    let status = services.status(name).map(StatusView::from);
    let report = status.ok().and_then(|view| serde_json::to_value(view).ok());
    report.unwrap_or_else(|| serde_json::json!({ "profile": name, "registered": false }))
}

/// Whether `default`'s gateway serves the profile. If that can't be found out, the gateway is started, as the intent says.
fn is_served(app: &App, name: &ProfileName) -> bool {
    let services = app.hermes.supervisor().map_err(CliError::from);
    let is_served = services.and_then(|services| Ok(services.is_served(name)?));
    is_served.unwrap_or_else(|error| {
        output::warning(error.in_one_line());
        false
    })
}

/// Runs before a unit's gateway: succeeds if the intent is `running` and `default`'s gateway does not serve the profile.
/// An unreadable intent is a failure.
fn wanted(app: &App) -> Result<u8, CliError> {
    let name = app.single_profile(Vec::new())?;
    let profile = app.store().get(&name).map_err(CliError::from);
    let intent = profile.and_then(|profile| Intent::read(&profile.home).map_err(CliError::of));
    match intent {
        Ok(Intent::Running) if is_served(app, &name) => {
            output::message(format_args!("`{name}` is {SERVED}"));
            Ok(exit::FAILURE)
        }
        Ok(Intent::Running) => Ok(exit::SUCCESS),
        Ok(Intent::Stopped) => Ok(exit::FAILURE),
        Err(error) => Err(error.with_code(exit::FAILURE)),
    }
}
