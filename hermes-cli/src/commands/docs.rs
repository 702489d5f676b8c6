//! `hermes completions` and `hermes man`, generated from the definition of the arguments.

use std::path::Path;

use clap::CommandFactory;
use clap_complete::shells;
use hermes_core::writers;

use crate::agent;
use crate::args::{Arguments, Shell};
use crate::called;
use crate::error::{CliError, exit};
use crate::output;

pub(crate) fn completions(shell: Shell) -> Result<u8, CliError> {
    let mut command = agent::in_completions(Arguments::command());
    let (name, mut text) = (called::name(), Vec::new());
    match shell {
        Shell::Bash => clap_complete::generate(shells::Bash, &mut command, name, &mut text),
        Shell::Elvish => clap_complete::generate(shells::Elvish, &mut command, name, &mut text),
        Shell::Fish => clap_complete::generate(shells::Fish, &mut command, name, &mut text),
        Shell::Powershell => {
            clap_complete::generate(shells::PowerShell, &mut command, name, &mut text);
        }
        Shell::Zsh => clap_complete::generate(shells::Zsh, &mut command, name, &mut text),
    }
    output::raw(&text)?;
    Ok(exit::SUCCESS)
}

pub(crate) fn man(directory: Option<&Path>) -> Result<u8, CliError> {
    let failed = |error| CliError::new("failed to write the manual").because(error);
    let command = Arguments::command();
    match directory {
        Some(directory) => {
            writers::create_directory(directory).map_err(failed)?;
            clap_mangen::generate_to(command, directory).map_err(failed)?;
        }
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(command).render(&mut page).map_err(failed)?;
            output::raw(&page)?;
        }
    }
    Ok(exit::SUCCESS)
}
