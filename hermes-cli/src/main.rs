//! The `hermes` program, with the backends that are built in.

use std::process::ExitCode;

fn main() -> ExitCode {
    hermes_cli::Cli::new().run()
}
