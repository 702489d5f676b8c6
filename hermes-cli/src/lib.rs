//! The command-line program `hermes`, as a library, so that a program of another name can have backends of
//! its own.
//!
//! ```no_run
//! # use hermes::core::driver::Backend;
//! # fn backend() -> Backend { hermes::backends::BUILT_IN[0] }
//! fn main() -> std::process::ExitCode {
//!     hermes_cli::Cli::new().backend(backend()).run()
//! }
//! ```
//!
//! `args` is the command line, `app` what it means here (home, profile, backend), `commands` what is done.
//! Only this crate prints.

mod app;
mod args;
mod commands;
mod error;
mod escape;
mod output;
mod privilege;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};
use hermes_core::driver::Backend;

use crate::args::Arguments;

/// The program: its command line is that of this process.
#[derive(Debug, Default)]
pub struct Cli {
    backends: Vec<Backend>,
}

impl Cli {
    /// The program with the backends that are built in.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with one more backend, asked before those that are built in.
    #[must_use]
    pub fn backend(mut self, backend: Backend) -> Self {
        self.backends.push(backend);
        self
    }

    /// Runs the command that this process's arguments name, prints its outcome, and returns the exit code
    /// for the process. Blocks until the command is done.
    pub fn run(&self) -> ExitCode {
        let arguments = arguments();
        let json = arguments.global.json;
        output::print_records_of_libraries();
        match commands::run(arguments, &self.backends) {
            Ok(code) => ExitCode::from(code),
            Err(error) => {
                output::error(&error, json);
                ExitCode::from(error.code())
            }
        }
    }
}

/// The parsed command line; the process ends here if it names no command.
fn arguments() -> Arguments {
    let mut command = Arguments::command();
    let parsed = command.try_get_matches_from_mut(std::env::args_os());
    let parsed = parsed.and_then(|mut matches| Arguments::from_arg_matches_mut(&mut matches));
    let arguments = parsed.unwrap_or_else(|error| error.format(&mut command).exit());
    // Its thousand parts are freed with the process: one by one that takes 3 % of a short command.
    std::mem::forget(command);
    arguments
}
