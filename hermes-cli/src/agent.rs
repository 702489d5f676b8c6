//! Runs the Python agent in place of this program, and says in help and completions that its commands are there.
//!
//! Both programs are called `hermes`. `words` decides whose a command line is.

mod words;

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

use hermes::{Hermes, Settings};
use hermes_core::ProfileName;
use hermes_core::agent::Program;
use hermes_core::home::env as names;

pub(crate) use self::words::{Line, whose};
use crate::app::App;
use crate::called;
use crate::error::{CliError, exit};
use crate::privilege;
use crate::reference;

/// How deep command lines that were passed on may be within each other. The agent's own commands run this program again
/// now and then, but not that often.
const DEEPEST: u32 = 8;

/// What completion says of a command of the agent's.
const ABOUT: &str = "A command of the Python agent";

/// Executes the agent with `arguments`, and returns only on failure.
pub(crate) fn run(app: &App, arguments: &[OsString]) -> Result<u8, CliError> {
    let chosen = words::profile(arguments).or_else(|| app.hermes.profile().ok());
    let profile = chosen.unwrap_or_else(ProfileName::default_profile);
    let line = arguments.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
    let failed = || CliError::new(format!("failed to run the Python agent's `hermes {line}`"));
    let program = app.hermes.agent(&profile).map_err(|source| {
        // Without the agent its words are as unknown as any other.
        failed().because(source).with_code(exit::USAGE)
    })?;
    let path = program.path.display();
    let depth = hermes::text(names::AGENT_DEPTH).and_then(|text| text.parse().ok()).unwrap_or(0);
    if depth >= DEEPEST {
        let why = format!("`{path}` leads back to this program, {depth} times by now");
        return Err(failed().because(why).with_hint(format!(
            "`gateway.program` in config.yaml or {} names the agent's own program",
            names::AGENT
        )));
    }
    let mut command = Command::new(&program.path);
    command.args(arguments).env(names::AGENT_DEPTH, (depth + 1).to_string());
    command.env(names::AGENT_BIN, &program.path);
    // Only if it is the agent for certain: a wrapper could find itself there for ever.
    if program.version.is_some() {
        command.env("PATH", program.leading(hermes::variable("PATH")));
    }
    // Where the home is another one than the agent's default, as in a container.
    if hermes::variable(names::HOME).is_none() {
        command.env(names::HOME, app.root().path());
    }
    let error = command.exec();
    Err(failed().because(error).with_hint(format!("`{path}` is its program: {}", program.found)))
}

/// The agent's program for a command line that names no profile, unless this program runs no command of the agent's by
/// itself. Root looks as the home's owner.
fn present() -> Option<Program> {
    if called::is_hermesctl() {
        return None;
    }
    let hermes = Hermes::with(Settings::default(), &[]).ok()?;
    privilege::become_owner(hermes.root()).ok()?;
    hermes.agent(&hermes.profile().ok()?).ok()
}

/// `command` with the agent in its help, if the agent is there.
pub(crate) fn in_help(command: clap::Command) -> clap::Command {
    let Some(Program { path, version, .. }) = present() else { return command };
    let version = version.map(|version| format!(" {version}")).unwrap_or_default();
    let found = format!(
        "The Python agent{version} is at `{}`.\n\
         Its commands are there, too: `hermes chat`, `hermes setup`, `hermes agent --help`.",
        path.display()
    );
    let long = format!("{}\n{found}", reference::TEXT);
    command.after_help(found).after_long_help(long)
}

/// `command` with the agent's commands, if the agent is there, for completion.
pub(crate) fn in_completions(command: clap::Command) -> clap::Command {
    if present().is_none() {
        return command;
    }
    with_its_words(command).mut_subcommand(words::AGENT, with_its_words)
}

/// `command` with each of the agent's commands that it lacks.
fn with_its_words(command: clap::Command) -> clap::Command {
    let with = |command: clap::Command, words: &'static str| {
        let lacked = words.split(' ').filter(|word| command.find_subcommand(word).is_none());
        let added: Vec<_> = lacked.map(|word| clap::Command::new(word).about(ABOUT)).collect();
        command.subcommands(added)
    };
    words::COMMANDS.iter().fold(command, |command, (group, words)| match *group {
        "" => with(command, words),
        group => command.mut_subcommand(group, |group| with(group, words)),
    })
}
