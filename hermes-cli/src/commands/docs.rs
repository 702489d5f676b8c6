//! `hermes completions` and `hermes man`, generated from the definition of the arguments.

use std::io;
use std::path::Path;

use clap::CommandFactory;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};
use fs_err as fs;
use hermes_core::{State, writers};

use crate::args::{Arguments, Shell};
use crate::completion;
use crate::error::{CliError, exit};
use crate::output;
use crate::reference;
use crate::states;

pub(crate) fn completions(shell: Shell) -> Result<u8, CliError> {
    let name = match shell {
        Shell::Bash => "bash",
        Shell::Elvish => "elvish",
        Shell::Fish => "fish",
        Shell::Powershell => "powershell",
        Shell::Zsh => "zsh",
    };
    let script = completion::script(name)
        .map_err(|error| CliError::new("failed to print the completion script").because(error))?;
    output::raw(&script)?;
    Ok(exit::SUCCESS)
}

pub(crate) fn man(directory: Option<&Path>) -> Result<u8, CliError> {
    let failed = |error| CliError::new("failed to write the manual").because(error);
    match directory {
        Some(directory) => {
            writers::create_directory(directory).map_err(failed)?;
            clap_mangen::generate_to(Arguments::command(), directory).map_err(failed)?;
            let page = main_page().map_err(failed)?;
            fs::write(directory.join("hermes.1"), page).map_err(failed)?;
        }
        None => output::raw(&main_page().map_err(failed)?)?,
    }
    Ok(exit::SUCCESS)
}

/// The page of the program itself: its options and commands, then what `reference` has.
fn main_page() -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    Man::new(Arguments::command()).render(&mut page)?;
    let states = State::ALL.map(|state| (state.to_string(), states::meaning(state)));
    let mut roff = Roff::new();
    section(&mut roff, "STATES", states.iter().map(|(state, text)| (state.as_str(), *text)));
    section(&mut roff, "FILES", reference::FILES);
    section(&mut roff, "EXAMPLES", reference::EXAMPLES);
    roff.to_writer(&mut page)?;
    Ok(page)
}

/// A section of the manual: each term with its text.
fn section<'a>(
    roff: &mut Roff,
    title: &str,
    entries: impl IntoIterator<Item = (&'a str, &'a str)>,
) {
    roff.control("SH", [title]);
    for (term, text) in entries {
        roff.control("TP", []).text([bold(term)]).text([roman(text)]);
    }
}
