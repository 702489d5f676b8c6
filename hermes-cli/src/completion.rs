//! Completion of the command line in shells: commands, options, and the names of profiles.
//!
//! `hermes completions SHELL` prints a script that runs this program at each completion, with the line and the variable
//! [`VARIABLE`]. So a new profile is offered at once, and a command that a new version has.

use std::any::TypeId;
use std::env;
use std::ffi::OsStr;
use std::io;

use clap::{Arg, ArgAction, Command, CommandFactory};
use clap_complete::CompleteEnv;
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use clap_complete::env::Shells;
use hermes::{Hermes, Settings};
use hermes_core::ProfileName;

use crate::agent;
use crate::args::Arguments;
use crate::called;
use crate::privilege;

/// Names the shell that asks for candidates.
const VARIABLE: &str = "_HERMES_COMPLETE";
/// The commands whose names of profiles are new ones.
const NEW_NAMES: [&str; 2] = ["create", "import"];

/// Prints candidates, if a shell asks for them. An error is an invalid question.
pub(crate) fn answer() -> Result<bool, clap::Error> {
    let directory = env::current_dir().ok();
    CompleteEnv::with_factory(definition)
        .var(VARIABLE)
        .bin(called::name())
        .try_complete(env::args_os(), directory.as_deref())
}

/// The script that has `shell` ask this program, as it was called.
pub(crate) fn script(shell: &str) -> io::Result<Vec<u8>> {
    let unknown = || io::Error::new(io::ErrorKind::Unsupported, "unknown shell");
    let shells = Shells::builtins();
    let shell = shells.completer(shell).ok_or_else(unknown)?;
    let called = env::args().next().unwrap_or_else(|| called::name().to_owned());
    // A name is looked up in the PATH at each completion.
    let program = match called.contains('/') {
        true => std::path::absolute(&called)?.display().to_string(),
        false => called,
    };
    let mut script = Vec::new();
    let name = called::name();
    shell.write_registration(VARIABLE, name, name, &program, &mut script)?;
    Ok(script)
}

/// The command line with the agent's commands and the profiles' names, without what is hidden: the engine offers a hidden
/// command where nothing else matches.
fn definition() -> Command {
    let mut command = agent::in_completions(Arguments::command());
    // Makes the options that are deferred.
    command.build();
    with_names(visible(&command))
}

/// `command` without its hidden commands.
fn visible(command: &Command) -> Command {
    // clap makes `help` again.
    let subcommands = command.get_subcommands();
    let subcommands = subcommands.filter(|it| !it.is_hide_set() && it.get_name() != "help");
    let about = command.get_about().cloned().unwrap_or_default();
    Command::new(command.get_name().to_owned())
        .about(about)
        .args(
            command
                .get_arguments()
                .filter(|argument| !argument.is_hide_set() && !is_made(argument)),
        )
        .subcommands(subcommands.map(visible))
}

/// Whether clap makes `argument` by itself, and again.
fn is_made(argument: &Arg) -> bool {
    matches!(argument.get_action(), ArgAction::Help | ArgAction::Version)
}

/// `command`, which offers the profiles wherever it takes the name of one.
fn with_names(command: Command) -> Command {
    let takes_profile =
        |argument: &Arg| argument.get_value_parser().type_id() == TypeId::of::<ProfileName>();
    let is_new = NEW_NAMES.contains(&command.get_name());
    let with_names = |argument: Arg| match takes_profile(&argument) {
        true if argument.is_global_set() || argument.get_id() == "clone_from" || !is_new => {
            argument.add(ArgValueCompleter::new(names))
        }
        _ => argument,
    };
    command.mut_args(with_names).mut_subcommands(with_names_of)
}

fn with_names_of(command: Command) -> Command {
    with_names(command)
}

/// The profiles whose names begin with `begun`.
fn names(begun: &OsStr) -> Vec<CompletionCandidate> {
    let Some(begun) = begun.to_str() else { return Vec::new() };
    let names = || {
        let hermes = Hermes::with(Settings::default(), &[]).ok()?;
        privilege::become_owner(hermes.root()).ok()?;
        hermes.store().possible_names().ok()
    };
    let names = names().unwrap_or_default().into_iter();
    let fitting = names.filter(|name| name.as_str().starts_with(begun));
    fitting.map(|name| CompletionCandidate::new(name.to_string())).collect()
}
