//! `hermes profile alias`: a command of a profile's own, `~/.local/bin/NAME`, which is `hermes -p NAME`.

use std::env;
use std::path::{Path, PathBuf};

use hermes_core::shell::{quote, quote_path};
use hermes_core::{ProfileName, fsutil, writers};

use crate::app::App;
use crate::error::{CliError, exit};
use crate::output;

/// The second line of every alias, by which it is recognised.
const MARK: &str = "# Made by `hermes profile alias`.";

pub(super) fn run(app: &App, name: &ProfileName, remove: bool) -> Result<u8, CliError> {
    let path = path(name)?;
    if remove {
        let message = match self::remove(name)? {
            true => format!("removed `{}`", path.display()),
            false => format!("there is no alias `{}`", path.display()),
        };
        output::message(message);
        return Ok(exit::SUCCESS);
    }
    app.store().get(name)?;
    make(app, name, &path)?;
    output::message(format_args!("`{name}` is now `hermes -p {name}`, by `{}`", path.display()));
    let directory = path.parent();
    let searched = hermes::variable("PATH").unwrap_or_default();
    if !env::split_paths(&searched).any(|searched| Some(searched.as_path()) == directory) {
        let directory = directory.unwrap_or(&path).display();
        output::warning(format_args!("`{directory}` is not in PATH; a new login may add it"));
    }
    Ok(exit::SUCCESS)
}

/// Removes the alias of a profile that was deleted, and makes one for `new`, if it has a new name. A failure is a warning:
/// the profile has changed.
pub(super) fn follow(app: &App, old: &ProfileName, new: Option<&ProfileName>) {
    let followed = || {
        if !remove(old)? {
            return Ok(());
        }
        new.map_or(Ok(()), |new| make(app, new, &path(new)?))
    };
    if let Err::<(), CliError>(error) = followed() {
        output::warning(error.in_one_line());
    }
}

fn path(name: &ProfileName) -> Result<PathBuf, CliError> {
    let home = hermes::variable("HOME").filter(|home| !home.is_empty());
    let home = home.ok_or_else(|| CliError::new("the variable HOME is not set"))?;
    Ok(Path::new(&home).join(".local/bin").join(name.as_str()))
}

/// Writes the alias, unless another program has the name.
fn make(app: &App, name: &ProfileName, path: &Path) -> Result<(), CliError> {
    let failed = || CliError::new(format!("failed to make the alias `{name}`"));
    let taken = |other: &Path| {
        let why = format!("`{}` is another program", other.display());
        failed().because(why).with_hint(format!("`hermes -p {name}` needs no alias"))
    };
    if fsutil::exists(path).map_err(|error| failed().because(error))? && !is_alias(path) {
        return Err(taken(path));
    }
    let searched = hermes::variable("PATH").unwrap_or_default();
    let found = env::split_paths(&searched).map(|directory| directory.join(name.as_str()));
    if let Some(other) = found.into_iter().find(|it| it != path && it.is_file()) {
        return Err(taken(&other));
    }
    let program = hermes_core::program::path().map_err(|error| failed().because(error))?;
    let home = match hermes::variable(hermes_core::home::env::HOME) {
        Some(_) => format!("export HERMES_HOME={}\n", quote_path(app.root().path())),
        None => String::new(),
    };
    let (program, profile) = (quote_path(&program), quote(name.as_str()));
    let script = format!("#!/bin/sh\n{MARK}\n{home}exec {program} -p {profile} \"$@\"\n");
    let write = || {
        writers::create_directory(path.parent().unwrap_or(path))?;
        fsutil::write_durably(path, script.as_bytes(), 0o755)
    };
    write().map_err(|error| failed().because(error))
}

/// Removes the alias of `name`, and nothing else. `false` if there is none.
fn remove(name: &ProfileName) -> Result<bool, CliError> {
    let path = path(name)?;
    if !is_alias(&path) {
        return Ok(false);
    }
    fsutil::remove_file_if_there(&path).map_err(|error| {
        CliError::new(format!("failed to remove the alias `{name}`")).because(error)
    })
}

fn is_alias(path: &Path) -> bool {
    fsutil::read_up_to(path, 4096)
        .is_ok_and(|text| String::from_utf8_lossy(&text).lines().nth(1) == Some(MARK))
}
