//! `hermes config`: shows, checks and edits the configuration of gateways.

mod check;
mod edit;
mod show;

use crate::app::App;
use crate::args::Config as Command;
use crate::error::CliError;

pub(crate) fn run(app: &App, command: Command) -> Result<u8, CliError> {
    match command {
        Command::Show { name, effective } => show::run(app, name, effective),
        Command::Check { name } => check::run(app, name),
        Command::Edit { name } => edit::run(app, name),
    }
}
