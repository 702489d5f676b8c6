//! `hermes profile`: create, delete, rename, list, show, use, port. In `archive`: export, import.

use hermes_core::config;
use hermes_core::parallel;
use hermes_core::store::{Profile, StoreError};
use hermes_core::{Intent, ProfileName, State, Status};
use serde::Serialize;

use crate::app::{App, Services};
use crate::args::Profile as Command;
use crate::commands::archive;
use crate::error::{CliError, exit};
use crate::output;
use crate::profile_service::{self, Registered};

pub(crate) fn run(app: &App, command: Command) -> Result<u8, CliError> {
    match command {
        Command::Create { name, port, start } => create(app, &name, port, start),
        Command::Delete { name, yes, keep_logs } => delete(app, &name, yes, keep_logs),
        Command::Rename { from, to } => rename(app, &from, &to),
        Command::List => list(app),
        Command::Show { name } => show(app, name),
        Command::Use { name } => choose(app, &name),
        Command::Port { name, port } => set_port(app, &name, port),
        Command::Export { name, output, force } => archive::export(app, &name, output, force),
        Command::Import { file, name, start, max_size } => {
            archive::import(app, &file, name, start, max_size)
        }
    }
}

/// One profile, as `list` and `show` print it.
#[derive(Serialize)]
pub(crate) struct View {
    profile: ProfileName,
    home: String,
    chosen: bool,
    port: Option<u16>,
    intent: Option<Intent>,
    /// What the supervisor says, where one answers.
    state: Option<State>,
    /// What is wrong with it.
    problem: Option<String>,
}

impl View {
    /// The profile as it is now.
    pub(crate) fn of(
        app: &App,
        services: Option<&Services>,
        profile: &Profile,
        chosen: &ProfileName,
    ) -> Self {
        let status = services.and_then(|services| services.status(&profile.name).ok());
        Self::with(app, status, profile, chosen)
    }

    fn with(app: &App, status: Option<Status>, profile: &Profile, chosen: &ProfileName) -> Self {
        let (port, wrong_config) = match app.store.port(profile) {
            Ok(port) => (port, None),
            Err(error) => (None, Some(error.to_string())),
        };
        // Where the status has none, why is told here.
        let known = status.as_ref().and_then(|status| status.intent);
        let (intent, wrong_intent) = match known.map_or_else(|| Intent::read(&profile.home), Ok) {
            Ok(intent) => (Some(intent), None),
            Err(error) => (None, Some(error.to_string())),
        };
        Self {
            profile: profile.name.clone(),
            home: profile.home.path().display().to_string(),
            chosen: profile.name == *chosen,
            port,
            intent,
            state: status.map(|status| status.state),
            problem: wrong_config.or(wrong_intent),
        }
    }
}

fn create(app: &App, name: &ProfileName, port: Option<u16>, start: bool) -> Result<u8, CliError> {
    let registrar = app.registrar()?;
    let (profile, registered) = make(app, &registrar, name, port, start)?;
    let port = app.store.port(&profile).ok().flatten().unwrap_or_default();
    output::message(format_args!("created profile `{name}`, port {port}"));
    finish(app, &registrar, &profile, registered, start)
}

/// Makes a profile and registers its gateway, which is not started yet.
pub(crate) fn make(
    app: &App,
    registrar: &Services,
    name: &ProfileName,
    port: Option<u16>,
    start: bool,
) -> Result<(Profile, Registered), CliError> {
    registrar.check_name(name)?;
    let profile = app.store.create(name, port, first_intent(registrar, start))?;
    let registered = profile_service::created(app, registrar, name)?;
    Ok((profile, registered))
}

/// The intent that a new profile begins with.
pub(super) fn first_intent(registrar: &Services, start: bool) -> Intent {
    // Where it can be started now, it is the start that records so, once it may.
    let later = start && !registrar.supports_runtime_registration();
    if later { Intent::Running } else { Intent::Stopped }
}

/// Starts the gateway of a new profile if that was asked for, and tells what became of it.
pub(super) fn finish(
    app: &App,
    registrar: &Services,
    profile: &Profile,
    registered: Registered,
    start: bool,
) -> Result<u8, CliError> {
    let name = &profile.name;
    match registered {
        Registered::Yes if start => {
            registrar.start(name)?;
            output::message("its gateway is up");
        }
        Registered::Yes => {
            output::message(format_args!(
                "its gateway is registered; `hermes gateway start {name}` starts it"
            ));
        }
        Registered::Later(next) => output::message(next),
    }
    if app.json {
        output::json(&View::of(app, Some(registrar), profile, &app.profile()?))?;
    }
    Ok(exit::SUCCESS)
}

fn delete(app: &App, name: &ProfileName, yes: bool, keep_logs: bool) -> Result<u8, CliError> {
    let profile = deletable(app, name)?;
    if !yes {
        let home = profile.home.path().display();
        let question =
            format!("This removes `{home}` with all that is in it. Type `{name}` to go on:");
        match output::ask(&question) {
            Some(answer) if answer == name.as_str() => {}
            Some(_) => {
                return Err(CliError::new(format!("nothing was deleted: that is not `{name}`")));
            }
            None => {
                let error =
                    CliError::new(format!("`{name}` was not deleted: nobody is here to be asked"));
                return Err(error.with_hint("`-y` deletes without asking").with_code(exit::USAGE));
            }
        }
    }
    profile_service::delete(app, name, keep_logs)?;
    output::message(format_args!("deleted profile `{name}`"));
    Ok(exit::SUCCESS)
}

/// The profile, if it is one that may be deleted.
pub(crate) fn deletable(app: &App, name: &ProfileName) -> Result<Profile, CliError> {
    if name.is_default() {
        // It is the store that refuses it, before anything is touched.
        app.store.delete(name, true)?;
    }
    Ok(app.store.get(name)?)
}

fn rename(app: &App, from: &ProfileName, to: &ProfileName) -> Result<u8, CliError> {
    let registrar = app.registrar()?;
    registrar.check_name(to)?;
    let registered = profile_service::rename(app, &registrar, from, to)?;
    output::message(format_args!("renamed profile `{from}` to `{to}`"));
    let profile = app.store.get(to)?;
    let view = View::of(app, Some(&registrar), &profile, &app.profile()?);
    match (registered, view.state) {
        (Registered::Later(next), _) => output::message(next),
        (Registered::Yes, Some(state)) => {
            output::message(format_args!("its gateway is registered and {state}"));
        }
        (Registered::Yes, None) => output::message("its gateway is registered"),
    }
    if app.json {
        output::json(&view)?;
    }
    Ok(exit::SUCCESS)
}

fn list(app: &App) -> Result<u8, CliError> {
    let listing = app.store.list()?;
    let chosen = app.profile()?;
    let names: Vec<_> = listing.profiles.iter().map(|profile| profile.name.clone()).collect();
    let statuses = app.services().ok().and_then(|services| services.statuses(&names).ok());
    let statuses = statuses.unwrap_or_default().into_iter().map(Result::ok);
    let statuses = statuses.chain(std::iter::repeat_with(|| None));
    let profiles = listing.profiles.iter().zip(statuses).collect();
    let view = |(profile, status)| View::with(app, status, profile, &chosen);
    let views: Vec<_> = parallel::compute(profiles, view);
    if app.json {
        output::json(&views)?;
    } else {
        output::table(&["", "PROFILE", "PORT", "INTENT", "STATE", "HOME"], views.iter().map(row))?;
    }
    for skipped in listing.skipped {
        output::warning(format_args!(
            "`{}` is passed over: {}",
            skipped.path.display(),
            skipped.reason
        ));
    }
    for view in views {
        if let Some(problem) = view.problem {
            output::warning(problem);
        }
    }
    Ok(exit::SUCCESS)
}

fn row(view: &View) -> Vec<String> {
    vec![
        if view.chosen { "*" } else { "" }.to_owned(),
        view.profile.to_string(),
        output::or_dash(view.port),
        output::or_dash(view.intent),
        output::or_dash(view.state),
        view.home.clone(),
    ]
}

fn show(app: &App, name: Option<ProfileName>) -> Result<u8, CliError> {
    let chosen = app.profile()?;
    let profile = app.store.get(&name.unwrap_or_else(|| chosen.clone()))?;
    let view = View::of(app, app.services().ok().as_ref(), &profile, &chosen);
    if app.json {
        output::json(&view)?;
        return Ok(exit::SUCCESS);
    }
    output::line(format_args!("profile  {}", view.profile))?;
    output::line(format_args!("home     {}", view.home))?;
    output::line(format_args!("port     {}", output::or_dash(view.port)))?;
    output::line(format_args!("intent   {}", output::or_dash(view.intent)))?;
    output::line(format_args!("state    {}", output::or_dash(view.state)))?;
    if let Ok(loaded) = config::load(&profile.home.config()) {
        let command = loaded.gateway.command.map(|command| command.join(" "));
        let command = command.unwrap_or_else(|| "the built-in gateway".to_owned());
        output::line(format_args!("runs     {command}"))?;
    }
    if let Some(problem) = view.problem {
        output::warning(problem);
    }
    Ok(exit::SUCCESS)
}

fn choose(app: &App, name: &ProfileName) -> Result<u8, CliError> {
    app.store.set_active(name)?;
    output::message(format_args!("commands that name no profile now mean `{name}`"));
    Ok(exit::SUCCESS)
}

fn set_port(app: &App, name: &ProfileName, port: Option<u16>) -> Result<u8, CliError> {
    let profile = app.store.get(name)?;
    let path = profile.home.config();
    // A port that is given may mend a file that can't be read as it is.
    let named = match port {
        Some(_) => None,
        None => app.store.port(&profile).map_err(StoreError::from)?,
    };
    let (port, written) = match named {
        Some(port) => (port, false),
        None => (app.store.set_port(&profile, port)?, true),
    };
    if app.json {
        output::json(&serde_json::json!({ "profile": name, "port": port, "written": written }))?;
    } else {
        output::line(port)?;
    }
    if written {
        let path = path.display();
        output::message(format_args!(
            "wrote it into `{path}`; `hermes gateway restart {}` makes a gateway that runs use it",
            profile.name
        ));
    }
    Ok(exit::SUCCESS)
}
