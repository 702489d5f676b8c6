//! What profiles say of their gateways: `config.yaml`, the program it names, the recorded intent.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use hermes_core::config::{ConfigError, Placeholders};
use hermes_core::{Intent, State};
use rustix::fs::Access;

use super::homes::{permit, quoted};
use super::report::{Check, Remedy, several};
use super::snapshot::{ProfileSnapshot, Snapshot};
use crate::error::CliError;

pub(super) fn checks(snapshot: &Snapshot<'_>) -> Vec<Check> {
    vec![config(snapshot), command(snapshot), intent(snapshot)]
}

fn config(snapshot: &Snapshot<'_>) -> Check {
    let mut check = Check::new("config");
    for ProfileSnapshot { profile, config, .. } in &snapshot.profiles {
        let (name, path) = (&profile.name, profile.home.config());
        match config {
            Ok(loaded) => {
                for warning in &loaded.warnings {
                    let remedy = Remedy::Do(format!("edit `{}`", path.display()));
                    check.error(format!("`{name}`: {warning}"), remedy);
                }
            }
            Err(error @ ConfigError::Read(_)) => {
                check.error(format!("`{name}`: {error}"), permit(snapshot, &path));
            }
            Err(error) => {
                let hint = error.hint().unwrap_or_else(|| format!("edit `{}`", path.display()));
                check.error(format!("`{name}`: {error}"), Remedy::Do(hint));
            }
        }
    }
    check.evidence(format!("{} looked at", several(snapshot.profiles.len(), "configuration")))
}

fn command(snapshot: &Snapshot<'_>) -> Check {
    let mut check = Check::new("command");
    let (mut named, mut unseen) = (0, Vec::new());
    for ProfileSnapshot { profile, config, .. } in &snapshot.profiles {
        let Ok(loaded) = config else { continue };
        let home = profile.home.path().to_string_lossy();
        let placeholders = Placeholders {
            profile: profile.name.as_str(),
            home: &home,
            host: &loaded.gateway.host,
            // Where a port is missing another check tells, and no program's name has one in it.
            port: Some(loaded.gateway.port.unwrap_or(1)),
        };
        let filled = loaded.gateway.filled_command(&placeholders).ok().flatten();
        let Some(program) = filled.and_then(|command| command.into_iter().next()) else { continue };
        named += 1;
        let edit = || {
            Remedy::Do(format!(
                "correct `gateway.command` in `{}`",
                profile.home.config().display()
            ))
        };
        let path = loaded.gateway.env.get("PATH").map(OsString::from);
        let name = &profile.name;
        // A service works in the root home.
        match find(&program, path.or_else(|| path_of_tree(snapshot)), snapshot.app.root().path()) {
            Program::Runs => {}
            Program::Absent => {
                check.error(format!("the program of `{name}` is not there: `{program}`"), edit());
            }
            Program::Closed(path) => {
                let problem = format!("the program of `{name}` can't be run: `{}`", path.display());
                let file = path.is_file();
                let chmod = || Remedy::Run(format!("chmod +x {}", quoted(&path)));
                check.error(problem, if file { chmod() } else { edit() });
            }
            Program::Unknown => unseen.push(format!("`{program}` of `{name}`")),
        }
    }
    if !unseen.is_empty() {
        let unseen = unseen.join(", ");
        check.partial(format!("the tree's PATH can't be read, on which {unseen} is looked for"));
    }
    check.evidence(format!("{} named", several(named, "program")))
}

enum Program {
    Runs,
    Absent,
    Closed(PathBuf),
    Unknown,
}

/// Looks for a program as execvp(3) does.
fn find(program: &str, path: Option<OsString>, cwd: &Path) -> Program {
    let look = |file: PathBuf| match rustix::fs::access(&file, Access::EXEC_OK) {
        Ok(()) if file.is_file() => Program::Runs,
        Err(_) if !file.exists() => Program::Absent,
        _ => Program::Closed(file),
    };
    if program.contains('/') {
        return look(cwd.join(program));
    }
    let Some(path) = path else { return Program::Unknown };
    let mut best = Program::Absent;
    for dir in std::env::split_paths(&path) {
        match look(cwd.join(dir).join(program)) {
            Program::Absent | Program::Unknown => {}
            Program::Runs => return Program::Runs,
            closed => best = closed,
        }
    }
    best
}

/// PATH as the services of the tree get it.
fn path_of_tree(snapshot: &Snapshot<'_>) -> Option<OsString> {
    let snapshot = snapshot.tree.as_ref().ok()?;
    snapshot.manager.tree().variable(snapshot.svscan, "PATH")
}

fn intent(snapshot: &Snapshot<'_>) -> Check {
    let mut check = Check::new("intent");
    let mut running = 0;
    for ProfileSnapshot { profile, status, .. } in &snapshot.profiles {
        let name = &profile.name;
        match Intent::read(&profile.home) {
            Ok(Intent::Running) => running += 1,
            Ok(Intent::Stopped) => {}
            Err(error) => {
                // What runs goes on, whatever it is that can't be told.
                let runs = status.as_ref().is_ok_and(|status| status.state == State::Up);
                let corrupt = error.is_corruption();
                let remedy = match (corrupt, runs) {
                    (true, true) => snapshot.run(&format!("gateway start {name}")),
                    (true, false) => snapshot.run(&format!("gateway stop {name}")),
                    (false, _) => permit(snapshot, &profile.home.intent()),
                };
                check.error(format!("`{name}`: {}", CliError::of(error).in_one_line()), remedy);
            }
        }
    }
    check.evidence(format!("{running} of {} wanted", several(snapshot.profiles.len(), "gateway")))
}
