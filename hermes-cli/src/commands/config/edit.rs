//! `hermes config edit`: a copy of a profile's `config.yaml` in an editor, which takes the file's place once it is right.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use fs_err as fs;
use hermes_core::store::{Profile, StoreError};
use hermes_core::{ProfileName, ServiceManager, config};
use serde_json::json;
use tempfile::TempDir;

use super::check;
use crate::app::App;
use crate::error::{CliError, exit};
use crate::output;

/// Runs the user's editor, which may be a command with options, as git and crontab do.
const EDITOR: &str = r#"eval "${VISUAL:-${EDITOR:-vi}} \"\$@\"""#;

pub(super) fn run(app: &App, name: Option<ProfileName>) -> Result<u8, CliError> {
    let name = name.map_or_else(|| app.profile(), Ok)?;
    let profile = app.store().get(&name)?;
    let path = profile.home.config();
    let old = config::read(&path).map_err(StoreError::from)?;
    let copy = Copy::of(&profile, &old)?;
    let new = loop {
        copy.edit()?;
        let new = config::read(&copy.path).map_err(StoreError::from)?;
        if new == old {
            output::message(format_args!("`{}` was not changed", path.display()));
            return finish(app, &name, false);
        }
        let error = match check::check(&profile, &new) {
            Ok(warnings) => {
                check::warn(&name, &warnings)?;
                break new;
            }
            Err(error) => error,
        };
        check::report(&name, &error, &error.quotes_in(&new))?;
        if !is_edited_again() {
            let what = format!("`{}` is as it was: the edited text can't be used", path.display());
            return Err(copy.keep(CliError::new(what)));
        }
    };
    if let Err(error) = app.store().replace_config(&profile, &old, &new) {
        return Err(copy.keep(error.into()));
    }
    output::message(format_args!("wrote `{}`", path.display()));
    finish(app, &name, true)
}

/// Asks what becomes of a text that can't be used.
fn is_edited_again() -> bool {
    loop {
        let Some(answer) = output::ask("(e)dit it again, or (k)eep the old file?") else {
            return false;
        };
        match answer.trim().to_ascii_lowercase().as_str() {
            "e" | "edit" => return true,
            "k" | "keep" => return false,
            _ => {}
        }
    }
}

/// Offers a restart to a gateway that runs with the old configuration.
fn finish(app: &App, name: &ProfileName, is_changed: bool) -> Result<u8, CliError> {
    if app.json {
        output::json(&json!({ "profile": name, "changed": is_changed }))?;
    }
    let supervisor = app.supervisor().ok().filter(|_| is_changed);
    let runs =
        |services: &dyn ServiceManager| services.status(name).is_ok_and(|it| it.pid.is_some());
    let Some(services) = supervisor.filter(|supervisor| runs(supervisor)) else {
        return Ok(exit::SUCCESS);
    };
    let question =
        format!("the gateway of `{name}` runs with the old configuration; restart it now? [y/N]");
    let answer = output::ask(&question).unwrap_or_default();
    if answer.trim().eq_ignore_ascii_case("y") {
        services.restart(name)?;
        output::message(format_args!("the gateway of `{name}` is up again"));
    } else {
        output::message(format_args!(
            "`hermes gateway restart {name}` has the running gateway use it"
        ));
    }
    Ok(exit::SUCCESS)
}

/// A copy that is edited. Only this user can read it; it is removed in the end, unless it is kept.
struct Copy {
    directory: TempDir,
    path: PathBuf,
}

impl Copy {
    fn of(profile: &Profile, text: &str) -> Result<Self, CliError> {
        let prefix = format!("hermes-{}-", profile.name);
        let mut builder = tempfile::Builder::new();
        builder.prefix(&prefix).permissions(Permissions::from_mode(0o700));
        let made = builder.tempdir().and_then(|directory| {
            // Editors know what it is by its name.
            let path = directory.path().join("config.yaml");
            fs::write(&path, text)?;
            Ok(Self { directory, path })
        });
        made.map_err(|error| CliError::new("failed to make a copy to edit").because(error))
    }

    /// Blocks until the user's editor ends.
    fn edit(&self) -> Result<(), CliError> {
        let ended = Command::new("/bin/sh").args(["-c", EDITOR, "sh"]).arg(&self.path).status();
        let failed = |why: String| {
            CliError::new("nothing was changed: the editor failed")
                .because(why)
                .with_hint("the variables VISUAL and EDITOR name the editor")
        };
        match ended {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(failed(status.to_string())),
            Err(error) => Err(failed(error.to_string())),
        }
    }

    /// `error`, with where the edited text is from now on.
    fn keep(self, error: CliError) -> CliError {
        let _ = self.directory.keep();
        error.with_hint(format!("the edited text is in `{}`", self.path.display()))
    }
}
