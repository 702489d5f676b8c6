//! The `hermes` program.
//!
//! [`args`] is what was typed, [`app`] what it means here (home, profile, backend), [`commands`] what
//! is done, [`gateway`] the gateway process itself, [`dashboard`] the page. Only this crate reads the environment, prints,
//! and picks a backend.

mod app;
mod args;
mod commands;
mod dashboard;
mod error;
mod escape;
mod gateway;
mod hooks;
mod output;
mod privilege;
mod way;

use std::process::ExitCode;

use clap::Parser;

use crate::args::Arguments;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let json = arguments.global.json;
    output::print_warnings_of_libraries();
    match commands::run(arguments) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            output::error(&error, json);
            ExitCode::from(error.code())
        }
    }
}
