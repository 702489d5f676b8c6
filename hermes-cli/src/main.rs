//! The `hermes` program.
//!
//! [`args`] is what was typed, [`app`] what it means here (home, profile, backend), [`commands`] what
//! is done, [`dashboard`] the page. Only this crate prints and picks a backend, and of the others only
//! `hermes-gateway`, which is the gateway process, reads the environment.

mod app;
mod args;
mod commands;
mod dashboard;
mod error;
mod escape;
mod output;
mod privilege;
mod profile_service;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};

use crate::args::Arguments;

fn main() -> ExitCode {
    let arguments = arguments();
    let json = arguments.global.json;
    output::print_records_of_libraries();
    match commands::run(arguments) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            output::error(&error, json);
            ExitCode::from(error.code())
        }
    }
}

/// What was typed; where that is no command the process ends here.
fn arguments() -> Arguments {
    let mut command = Arguments::command();
    let parsed = command.try_get_matches_from_mut(std::env::args_os());
    let parsed = parsed.and_then(|mut matches| Arguments::from_arg_matches_mut(&mut matches));
    let arguments = parsed.unwrap_or_else(|error| error.format(&mut command).exit());
    // Its thousand parts are freed with the process: one by one that takes 3 % of a short command.
    std::mem::forget(command);
    arguments
}
