//! One file per command, and `following` for those that follow something.

mod adopt;
mod boot;
mod config;
mod dashboard;
mod distant_events;
mod docs;
mod doctor;
mod events;
mod following;
mod gateway;
pub(crate) mod logs;
mod models;
pub(crate) mod profile;
pub(crate) mod status;
#[cfg(target_os = "linux")]
mod up;
#[cfg(not(target_os = "linux"))]
#[path = "up_elsewhere.rs"]
mod up;

use hermes_core::driver::Backend;
use hermes_core::end_signals::{self, Held};
use hermes_core::{interruption, waiting};
use hermes_dashboard::Place;

use crate::agent;
use crate::app::App;
use crate::args::{Arguments, Command, Gateway};
use crate::error::{CliError, exit};
use crate::interrupted;
use crate::output;
use crate::privilege;

/// Runs the command and returns the exit code. `held` are the signals that were held back until now.
pub(crate) fn run(
    arguments: Arguments,
    backends: &[Backend],
    held: Option<Held>,
) -> Result<u8, CliError> {
    let Arguments { global, command } = arguments;
    // `up` registers them first; every other command lets them through.
    let runs_tree =
        matches!(command, Command::Up { stop: false, detach: false, become_svscan: None, .. });
    let held = held.filter(|_| runs_tree);
    if interrupted::shows_waits_of(&command) {
        waiting::observe(output::observer(global.json));
    }
    if interrupted::ends_waits_of(&command) {
        interruption::enable(end_signals::is_ignored);
    }
    // Only root may change the owner of files.
    let keep_root = matches!(command, Command::Boot { delegate: true, .. });
    let system = global.system;
    // Commands like `completions` need no home and no backend.
    let app = || {
        let app = App::new(global, backends)?;
        match (keep_root, system) {
            (true, _) => {}
            (false, true) => privilege::act_as_owner(app.root())?,
            (false, false) => privilege::become_owner(app.root())?,
        }
        Ok::<_, CliError>(app)
    };
    match command {
        Command::Profile(command) => profile::run(&app()?, command),
        Command::Gateway(command) => gateway::run(&app()?, command),
        Command::Status(args) => gateway::run(&app()?, Gateway::Status(args)),
        Command::Ps => gateway::run(&app()?, Gateway::List),
        Command::Start(args) => gateway::run(&app()?, Gateway::Start(args)),
        Command::Stop(which) => gateway::run(&app()?, Gateway::Stop(which)),
        Command::Restart(which) => gateway::run(&app()?, Gateway::Restart(which)),
        Command::Logs(args) => gateway::run(&app()?, Gateway::Logs(args)),
        Command::Top(args) => status::top(&app()?, args),
        Command::Topic(text) => output::raw(text.as_bytes()).map(|()| exit::SUCCESS),
        Command::Config(command) => config::run(&app()?, command),
        Command::Events(which) => events::run(&app()?, which),
        Command::Down | Command::Up { stop: true, .. } => up::stop(&app()?),
        Command::Up { become_svscan: Some(parent), .. } => up::become_svscan(&app()?, parent),
        Command::Up { detach: true, .. } => up::background::run(&app()?),
        Command::Up { adopt: true, .. } => up::adopt(&app()?, held),
        Command::Up { service, session_leader, .. } => {
            up::run(&app()?, service, session_leader, held)
        }
        Command::Adopt(args) => adopt::run(&app()?, args),
        Command::Boot { delegate: true, .. } => up::delegate(&app()?),
        Command::Boot { dry_run, jobs, .. } => boot::run(&app()?, dry_run, jobs),
        Command::Doctor { health: true, .. } => doctor::health(&app()?),
        Command::Doctor { fix, .. } => doctor::run(&app()?, fix),
        Command::Dashboard { host, port, origins, open, .. } => {
            let place = Place::new(host, port, &origins)?;
            dashboard::run(&app()?, place, open)
        }
        Command::Agent { arguments } => agent::run(&app()?, &arguments),
        Command::Completions { shell } => docs::completions(shell),
        Command::Man { directory } => docs::man(directory.as_deref()),
    }
}
