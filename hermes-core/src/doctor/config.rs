//! Checks `config.yaml`, the program that it names, and the recorded intent.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use rustix::fs::Access;

use super::agent::Agents;
use crate::agent;
use crate::config::{ConfigError, GatewayConfig, Notify, Placeholders, load_notify};
use crate::diagnostics::{Check, Examination, Expected, Remedy, Snapshot, permit, several};
use crate::error_chain::in_one_line;
use crate::gateway::Gateway;
use crate::intent::Intent;
use crate::name::ProfileName;
use crate::shell::quote_path;
use crate::status::State;

pub(super) fn checks(snapshot: &Snapshot, examination: &Examination) -> Vec<Check> {
    let root = snapshot.root.profile(&ProfileName::default_profile());
    let notify = load_notify(&root.config());
    vec![
        config(snapshot, notify.as_ref().err()),
        command(snapshot, examination, notify.as_ref().ok()),
        intent(snapshot),
    ]
}

/// `notify` is the error of that section.
fn config(snapshot: &Snapshot, notify: Option<&ConfigError>) -> Check {
    let mut check = Check::new("config");
    for gateway in &snapshot.gateways {
        let (name, path) = (gateway.name(), gateway.home().config());
        let edit = || format!("edit `{}`", path.display());
        match gateway.loaded() {
            Ok(loaded) => {
                for warning in &loaded.warnings {
                    check.error(format!("`{name}`: {warning}"), Remedy::Do(edit()));
                }
                // An error of the whole file was reported already.
                if let Some(error) = notify.filter(|_| name.is_default()) {
                    let effect = "`hermes up` notifies nobody";
                    check.error(format!("{effect}: {error}"), Remedy::Do(edit()));
                }
            }
            Err(error @ ConfigError::Read { .. }) => {
                check.error(
                    format!("`{name}`: {error}"),
                    permit(&snapshot.root, &path, Expected::File),
                );
            }
            Err(error @ ConfigError::Ports { effective, .. }) => {
                let remedy = snapshot.run(&format!("profile port {name} {effective}"));
                check.error(format!("`{name}`: {error}"), remedy);
            }
            Err(error) => {
                let hint = error.hint().unwrap_or_else(edit);
                check.error(format!("`{name}`: {error}"), Remedy::Do(hint));
            }
        }
    }
    check.with_evidence(format!("{} checked", several(snapshot.gateways.len(), "configuration")))
}

fn command(
    snapshot: &Snapshot,
    examination: &Examination,
    notify: Option<&Option<Notify>>,
) -> Check {
    let mut check = Check::new("command");
    let mut agents = Agents::new(examination);
    for gateway in &snapshot.gateways {
        let settings = gateway.loaded().map(|loaded| &loaded.gateway);
        if let Some(settings) = settings.ok().filter(|settings| agent::is_used_by(settings)) {
            agents.check(gateway, settings, &mut check);
        }
    }
    let services_path = examination.path.as_deref();
    let (mut named, mut unseen) = (0, Vec::new());
    // Many gateways run the same program.
    let mut known = BTreeMap::new();
    let mut look = |program: &str, key: &str, whose: &str, config: &Path, path: Option<&OsStr>| {
        named += 1;
        let edit = || Remedy::Do(format!("correct `{key}` in `{}`", config.display()));
        // The root home is the working directory of a service, and of a notice.
        let found = known.entry((program.to_owned(), path.map(OsStr::to_owned)));
        match found.or_insert_with(|| find(program, path, snapshot.root.path())) {
            Program::Runs => {}
            Program::Absent => {
                check.error(format!("the program of {whose} is not there: `{program}`"), edit());
            }
            Program::Closed(path) => {
                let problem = format!("the program of {whose} can't be run: `{}`", path.display());
                let file = path.is_file();
                let chmod = || Remedy::Run(format!("chmod +x {}", quote_path(path)));
                check.error(problem, if file { chmod() } else { edit() });
            }
            Program::Unknown => unseen.push(format!("`{program}` of {whose}")),
        }
    };
    for gateway in &snapshot.gateways {
        let (name, config) = (gateway.name(), gateway.home().config());
        if let Ok(loaded) = gateway.loaded()
            && let Some(program) = program(gateway, &loaded.gateway)
        {
            let path = loaded.gateway.env.get("PATH").map(OsStr::new).or(services_path);
            look(&program, "gateway.command", &format!("`{name}`"), &config, path);
        }
    }
    if let Some(Some(Notify { command, .. })) = notify {
        let config = snapshot.root.profile(&ProfileName::default_profile()).config();
        look(&command[0], "notify.command", "`notify.command`", &config, services_path);
    }
    if !unseen.is_empty() {
        let unseen = unseen.join(", ");
        check.partial(format!("PATH of the services can't be read, to find {unseen}"));
    }
    let agents = agents.evidence().map_or_else(String::new, |agents| format!("; {agents}"));
    check.with_evidence(format!("{} configured{agents}", several(named, "program")))
}

/// The program that the gateway's settings name, if they name one.
fn program(gateway: &Gateway, settings: &GatewayConfig) -> Option<String> {
    let home = gateway.home().path().to_string_lossy();
    let placeholders = Placeholders {
        profile: gateway.name().as_str(),
        home: &home,
        host: &settings.host,
        // Another check reports a missing port; a program's name does not contain one.
        port: Some(settings.port.unwrap_or(1)),
        program: None,
    };
    settings.filled_command(&placeholders).ok().flatten()?.into_iter().next()
}

enum Program {
    Runs,
    Absent,
    Closed(PathBuf),
    Unknown,
}

/// Looks for a program as execvp(3) does.
fn find(program: &str, path: Option<&OsStr>, cwd: &Path) -> Program {
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
    for dir in std::env::split_paths(path) {
        match look(cwd.join(dir).join(program)) {
            Program::Absent | Program::Unknown => {}
            Program::Runs => return Program::Runs,
            closed => best = closed,
        }
    }
    best
}

fn intent(snapshot: &Snapshot) -> Check {
    let mut check = Check::new("intent");
    let mut running = 0;
    for gateway in &snapshot.gateways {
        let name = gateway.name();
        match snapshot.intents.get(name) {
            Some(Ok(Intent::Running)) => running += 1,
            Some(Ok(Intent::Stopped)) | None => {}
            Some(Err(error)) => {
                // A running gateway keeps running.
                let runs = snapshot.status(name).is_some_and(|status| status.state == State::Up);
                let remedy = match (error.is_corruption(), runs) {
                    (true, true) => snapshot.run(&format!("gateway start {name}")),
                    (true, false) => snapshot.run(&format!("gateway stop {name}")),
                    (false, _) => permit(&snapshot.root, &gateway.home().intent(), Expected::File),
                };
                check.error(format!("`{name}`: {}", in_one_line(error)), remedy);
            }
        }
    }
    check.with_evidence(format!(
        "{running} of {} wanted",
        several(snapshot.gateways.len(), "gateway")
    ))
}
