//! What profiles say of their gateways: `config.yaml`, the program it names, the recorded intent.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use hermes_core::config::{ConfigError, Placeholders};
use hermes_core::{Intent, State};
use rustix::fs::Access;

use super::homes::{permit, quoted};
use super::report::{Check, Mend, several};
use super::scene::{ProfileScene, Scene};
use crate::error::CliError;

pub(super) fn checks(scene: &Scene<'_>) -> Vec<Check> {
    vec![config(scene), command(scene), intent(scene)]
}

fn config(scene: &Scene<'_>) -> Check {
    let mut check = Check::new("config");
    for ProfileScene { profile, config, .. } in &scene.profiles {
        let (name, path) = (&profile.name, profile.home.config());
        match config {
            Ok(loaded) => {
                for warning in &loaded.warnings {
                    let mend = Mend::Do(format!("edit `{}`", path.display()));
                    check.error(format!("`{name}`: {warning}"), mend);
                }
            }
            Err(error @ ConfigError::Read(_)) => {
                check.error(format!("`{name}`: {error}"), permit(scene, &path));
            }
            Err(error) => {
                let hint = error.hint().unwrap_or_else(|| format!("edit `{}`", path.display()));
                check.error(format!("`{name}`: {error}"), Mend::Do(hint));
            }
        }
    }
    check.saw(format!("{} looked at", several(scene.profiles.len(), "configuration")))
}

fn command(scene: &Scene<'_>) -> Check {
    let mut check = Check::new("command");
    let (mut named, mut unseen) = (0, Vec::new());
    for ProfileScene { profile, config, .. } in &scene.profiles {
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
            Mend::Do(format!("correct `gateway.command` in `{}`", profile.home.config().display()))
        };
        let path = loaded.gateway.env.get("PATH").map(OsString::from);
        let name = &profile.name;
        // A service works in the root home.
        match find(&program, path.or_else(|| path_of_tree(scene)), scene.app.root().path()) {
            Program::Runs => {}
            Program::Absent => {
                check.error(format!("the program of `{name}` is not there: `{program}`"), edit());
            }
            Program::Closed(path) => {
                let problem = format!("the program of `{name}` can't be run: `{}`", path.display());
                let file = path.is_file();
                let chmod = || Mend::Run(format!("chmod +x {}", quoted(&path)));
                check.error(problem, if file { chmod() } else { edit() });
            }
            Program::Unknown => unseen.push(format!("`{program}` of `{name}`")),
        }
    }
    if !unseen.is_empty() {
        let unseen = unseen.join(", ");
        check.not_all(format!("the tree's PATH can't be read, on which {unseen} is looked for"));
    }
    check.saw(format!("{} named", several(named, "program")))
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
fn path_of_tree(scene: &Scene<'_>) -> Option<OsString> {
    let scene = scene.tree.as_ref().ok()?;
    scene.manager.tree().variable(scene.svscan, "PATH")
}

fn intent(scene: &Scene<'_>) -> Check {
    let mut check = Check::new("intent");
    let mut running = 0;
    for ProfileScene { profile, status, .. } in &scene.profiles {
        let name = &profile.name;
        match Intent::read(&profile.home) {
            Ok(Intent::Running) => running += 1,
            Ok(Intent::Stopped) => {}
            Err(error) => {
                // What runs goes on, whatever it is that can't be told.
                let runs = status.as_ref().is_ok_and(|status| status.state == State::Up);
                let corrupt = error.is_corruption();
                let mend = match (corrupt, runs) {
                    (true, true) => scene.run(&format!("gateway start {name}")),
                    (true, false) => scene.run(&format!("gateway stop {name}")),
                    (false, _) => permit(scene, &profile.home.intent()),
                };
                check.error(format!("`{name}`: {}", CliError::of(error).in_one_line()), mend);
            }
        }
    }
    check.saw(format!("{running} of {} wanted", several(scene.profiles.len(), "gateway")))
}
