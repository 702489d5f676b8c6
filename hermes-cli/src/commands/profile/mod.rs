//! `hermes profile`: create, delete, rename, list, show, use. `archive` has export and import, `new` the last step of
//! create and import, `port` the port, `alias` a command of its own.

mod alias;
mod archive;
mod new;
mod port;

use hermes::view::ProfileView;
use hermes_core::parallel;
use hermes_core::supervisor::NewService;
use hermes_core::{Gateway, Proc, ProfileName, Status, listeners};

use crate::app::App;
use crate::args::Profile as Command;
use crate::error::{CliError, exit};
use crate::output::{self, Column};

pub(crate) fn run(app: &App, command: Command) -> Result<u8, CliError> {
    match command {
        Command::Create { name, port, start, clone_from } => {
            create(app, &name, port, start, clone_from.as_ref())
        }
        Command::Delete { name, yes, keep_logs } => delete(app, &name, yes, keep_logs),
        Command::Rename { from, to } => rename(app, &from, &to),
        Command::List => list(app),
        Command::Show { name } => show(app, name),
        Command::Use { name } => choose(app, &name),
        Command::Alias { name, remove } => alias::run(app, &name, remove),
        Command::Port { name, explain: true, .. } => port::explain(app, &name),
        Command::Port { name, port, .. } => port::set(app, &name, port),
        Command::Export { name, output, force, include } => {
            archive::export(app, &name, &include, output, force)
        }
        Command::Import { file, name, start, max_size } => {
            archive::import(app, &file, name, start, max_size)
        }
    }
}

fn create(
    app: &App,
    name: &ProfileName,
    port: Option<u16>,
    start: bool,
    like: Option<&ProfileName>,
) -> Result<u8, CliError> {
    let supervisor = app.supervisor()?;
    let (profile, service) = supervisor.create_profile(name, port, start, like)?;
    if let Some(port) = port {
        warn_of_listener(port);
    }
    let gateway = Gateway::new(profile);
    // A gateway of the Python agent's may listen nowhere.
    let port = gateway.port().ok().flatten();
    let port = port.map_or_else(String::new, |port| format!(", port {port}"));
    output::message(format_args!("created profile `{name}`{port}"));
    if let Some(other) = like {
        output::message(format_args!(
            "it has what makes `{other}`, secrets included: two gateways with one bot's token take each other's messages"
        ));
    }
    new::finish(app, &supervisor, &gateway, service, start)
}

/// Warns if somebody listens on `port`, who may make room for the gateway before it starts.
fn warn_of_listener(port: u16) {
    if !listeners::on_port(&Proc::default(), port).is_empty() {
        let holder = listeners::title_of_holder(port);
        let holder = holder.unwrap_or_else(|| "another user's process".to_owned());
        output::warning(format_args!("{holder} listens on port {port}"));
    }
}

fn delete(app: &App, name: &ProfileName, yes: bool, keep_logs: bool) -> Result<u8, CliError> {
    let profile = app.store().deletable(name)?;
    if !yes {
        let linked = app.store().linked_home(&profile).ok().flatten();
        let home = linked.as_deref().unwrap_or(profile.home.path()).display();
        let question =
            format!("This removes `{home}` and everything in it. Type `{name}` to confirm:");
        match output::ask(&question) {
            Some(answer) if answer == name.as_str() => {}
            Some(_) => {
                return Err(CliError::new(format!(
                    "`{name}` was not deleted: the answer was not `{name}`"
                )));
            }
            None => {
                let error =
                    CliError::new(format!("`{name}` was not deleted: stdin is not a terminal"));
                return Err(error.with_hint("`-y` deletes without asking").with_code(exit::USAGE));
            }
        }
    }
    app.supervisor()?.delete_profile(name, keep_logs)?;
    output::message(format_args!("deleted profile `{name}`"));
    alias::follow(app, name, None);
    Ok(exit::SUCCESS)
}

fn rename(app: &App, from: &ProfileName, to: &ProfileName) -> Result<u8, CliError> {
    let supervisor = app.supervisor()?;
    let gateway = supervisor.rename(from, to)?;
    output::message(format_args!("renamed profile `{from}` to `{to}`"));
    alias::follow(app, from, Some(to));
    let status = supervisor.observe(&gateway).ok();
    match &status {
        Some(status) if status.registered => {
            output::message(format_args!("its gateway is registered and {}", status.state));
        }
        _ => {
            if let NewService::Next(next) = supervisor.next_step(to) {
                output::message(next);
            }
        }
    }
    let view = ProfileView::new(&gateway, status.as_ref(), &app.profile()?);
    if app.json {
        output::json(&view)?;
    }
    Ok(exit::SUCCESS)
}

const COLUMNS: [Column; 6] = [
    Column::new(""),
    Column::new("PROFILE"),
    Column::new("PORT"),
    Column::optional("INTENT", 2),
    Column::new("STATE"),
    Column::optional("HOME", 1),
];

fn list(app: &App) -> Result<u8, CliError> {
    let listing = app.store().list()?;
    let chosen = app.profile()?;
    let gateways: Vec<_> = listing.profiles.into_iter().map(Gateway::new).collect();
    let statuses = app.reachable().ok().and_then(|services| services.observe_many(&gateways).ok());
    let statuses = statuses.unwrap_or_default().into_iter().map(Result::ok);
    let statuses = statuses.chain(std::iter::repeat_with(|| None));
    let gateways = gateways.iter().zip(statuses).collect();
    let views = parallel::compute(gateways, |(gateway, status): (_, Option<Status>)| {
        ProfileView::new(gateway, status.as_ref(), &chosen)
    });
    if app.json {
        output::json(&views)?;
    } else {
        output::table(&COLUMNS, views.iter().map(row))?;
    }
    for skipped in listing.skipped {
        output::warning(format_args!("skipped `{}`: {}", skipped.path.display(), skipped.reason));
    }
    for view in views {
        if let Some(problem) = view.problem {
            output::warning(problem);
        }
    }
    Ok(exit::SUCCESS)
}

fn row(view: &ProfileView) -> Vec<String> {
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
    let gateway = Gateway::new(app.store().get(name.as_ref().unwrap_or(&chosen))?);
    let status = app.reachable().ok().and_then(|services| services.observe(&gateway).ok());
    let view = ProfileView::new(&gateway, status.as_ref(), &chosen);
    if app.json {
        output::json(&view)?;
        return Ok(exit::SUCCESS);
    }
    output::line(format_args!("profile  {}", view.profile))?;
    output::line(format_args!("home     {}", view.home))?;
    output::line(format_args!("port     {}", output::or_dash(view.port)))?;
    output::line(format_args!("intent   {}", output::or_dash(view.intent)))?;
    output::line(format_args!("state    {}", output::or_dash(view.state)))?;
    if let Ok(loaded) = gateway.loaded() {
        let command = loaded.gateway.command.as_ref().map(|command| command.join(" "));
        let command = command.unwrap_or_else(|| "the built-in gateway".to_owned());
        output::line(format_args!("runs     {command}"))?;
    }
    if let Some(problem) = view.problem {
        output::warning(problem);
    }
    Ok(exit::SUCCESS)
}

fn choose(app: &App, name: &ProfileName) -> Result<u8, CliError> {
    app.store().set_active(name)?;
    output::message(format_args!("default profile is now `{name}`"));
    Ok(exit::SUCCESS)
}
