//! The command-line program `hermes` as a library, so that another program can add its own backends.
//!
//! ```no_run
//! # use hermes::core::driver::Backend;
//! # fn backend() -> Backend { hermes::backends::BUILT_IN[0] }
//! fn main() -> std::process::ExitCode {
//!     hermes_cli::Cli::new().backend(backend()).run()
//! }
//! ```
//!
//! `agent` takes the lines that are the Python agent's, `args` parses the others, `app` resolves home, profile and backend, `commands` runs the commands.
//! Only this crate prints.

mod agent;
mod app;
mod args;
mod browser;
mod called;
mod commands;
mod completion;
mod error;
mod escape;
mod hints;
mod interrupted;
mod output;
mod privilege;
mod reference;
mod states;

use std::io;
use std::net::IpAddr;
use std::process::ExitCode;

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue};
use clap::{CommandFactory, FromArgMatches};
use hermes_core::driver::Backend;
use hermes_core::{end_signals, hosts};
use hermes_host::getent::Getent;

use crate::agent::Line;
use crate::args::{Arguments, Command, Global};

/// The program. It reads the command line of this process.
#[derive(Debug, Default)]
pub struct Cli {
    backends: Vec<Backend>,
}

impl Cli {
    /// The program with the built-in backends.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a backend, which takes precedence over the built-in ones.
    #[must_use]
    pub fn backend(mut self, backend: Backend) -> Self {
        self.backends.push(backend);
        self
    }

    /// Runs the command on this process's command line, prints its outcome, and returns the exit code. Blocks
    /// until the command is done.
    pub fn run(&self) -> ExitCode {
        if cfg!(target_feature = "crt-static") {
            hosts::set_ask(ask_getent);
        }
        match completion::answer() {
            Ok(true) => return ExitCode::SUCCESS,
            Ok(false) => {}
            Err(error) => error.exit(),
        }
        // A tree that ends before it has begun ends in order, too.
        let held = end_signals::hold().ok();
        let arguments = arguments();
        // A reader of lines expects nothing but lines.
        let json = arguments.global.json && !arguments.command.prints_lines();
        output::print_records_of_libraries();
        match commands::run(arguments, &self.backends, held) {
            Ok(code) => ExitCode::from(code),
            Err(error) => {
                let error = interrupted::instead_of(&error).unwrap_or(error);
                output::error(&error, json);
                ExitCode::from(error.code())
            }
        }
    }
}

/// The addresses that the machine's name services know for `host`.
fn ask_getent(host: &str) -> io::Result<Option<Vec<IpAddr>>> {
    let getent = Getent::find(&hermes::variable("PATH").unwrap_or_default());
    getent.map(|getent| getent.addresses(host)).transpose()
}

/// Parses the command line. For `--help`, `--version` and usage errors, clap ends the process here.
fn arguments() -> Arguments {
    let mut command = Arguments::command();
    let line: Vec<_> = std::env::args_os().skip(1).collect();
    if let [help, topic] = line.as_slice()
        && help == "help"
        && let Some(text) = topic.to_str().and_then(reference::topic)
    {
        return Arguments { global: Global::default(), command: Command::Topic(text) };
    }
    match agent::whose(&command, &line, called::is_hermesctl()) {
        Line::Agents(arguments) => {
            let json = arguments.iter().any(|argument| argument == "--json");
            let global = Global { json, ..Global::default() };
            return Arguments { global, command: Command::Agent { arguments } };
        }
        Line::Bare => command = agent::in_help(command),
        Line::Ours => {}
    }
    let parsed = command.try_get_matches_from_mut(std::env::args_os());
    let parsed = parsed.and_then(|mut matches| Arguments::from_arg_matches_mut(&mut matches));
    let arguments = parsed.unwrap_or_else(|error| {
        let error = with_hint(error).format(&mut command);
        // `--help` and `--version` are no errors.
        if error.use_stderr() && std::env::args_os().any(|argument| argument == "--json") {
            output::usage_error(&error);
        }
        error.exit()
    });
    // Not freed: freeing its thousand parts would take 3 % of the time of a short command.
    std::mem::forget(command);
    arguments
}

/// `error` with what to type instead, if its word is another program's.
fn with_hint(mut error: clap::Error) -> clap::Error {
    let unknown = match error.get(ContextKind::InvalidSubcommand) {
        Some(ContextValue::String(word)) => word.clone(),
        _ => return error,
    };
    let mut words = std::env::args().skip(1);
    let group = words.find(|word| hints::GROUPS.contains(&word.as_str()) || *word == unknown);
    let group = group.filter(|group| *group != unknown).unwrap_or_default();
    if let Some(instead) = hints::instead_of(&group, &unknown) {
        let tip = StyledStr::from(called::named(&format!("type {instead}")).into_owned());
        error.remove(ContextKind::SuggestedSubcommand);
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip]));
    }
    error
}
