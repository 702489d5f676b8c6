//! `hermes doctor`: what the gateways need, whether it is there, and what mends it.

use std::collections::BTreeMap;
use std::path::Path;

use hermes_core::config;
use hermes_core::detect::Facts;
use hermes_core::store::Profile;
use hermes_core::{Intent, Kind, ProfileName, ServiceManager, State};
use hermes_s6::capacity::Capacity;
use hermes_s6::reconcile::Action;
use hermes_s6::{S6Manager, boot};
use serde::Serialize;

use crate::app::App;
use crate::error::{CliError, exit};
use crate::output;

/// What was looked at, and what is wrong.
#[derive(Serialize)]
struct Report {
    backend: Kind,
    facts: Facts,
    home: String,
    scandir: Option<String>,
    capacity: Option<Capacity>,
    profiles: usize,
    slots: usize,
    findings: Vec<Finding>,
}

/// Something that is wrong, and what mends it.
#[derive(Serialize)]
struct Finding {
    check: &'static str,
    problem: String,
    mend: String,
}

pub(crate) fn run(app: &App) -> Result<u8, CliError> {
    let listing = app.store.list()?;
    let mut findings = Vec::new();
    let mut find =
        |check, problem: String, mend: String| findings.push(Finding { check, problem, mend });

    check_home(app, &mut find);
    for skipped in &listing.skipped {
        let problem = format!("`{}` is no profile: {}", skipped.path.display(), skipped.reason);
        find("homes", problem, "rename the directory, or take its SOUL.md away".to_owned());
    }
    for profile in &listing.profiles {
        check_profile(profile, &mut find);
    }
    check_ports(app, &listing.profiles, &mut find);
    let mut report = Report {
        backend: app.facts.backend(),
        facts: app.facts.clone(),
        home: app.root().path().display().to_string(),
        scandir: None,
        capacity: None,
        profiles: listing.profiles.len(),
        slots: 0,
        findings: Vec::new(),
    };
    match report.backend {
        Kind::S6 => match app.s6() {
            Ok(manager) => check_s6(app, &manager, &mut report, &mut find)?,
            Err(error) => {
                find("backend", error.to_string(), error.the_hint().unwrap_or_default().to_owned())
            }
        },
        Kind::None => find(
            "backend",
            "nothing supervises services here: neither s6 nor systemd nor launchd".to_owned(),
            "`hermes up` runs a supervision tree for this user".to_owned(),
        ),
        Kind::Systemd | Kind::Launchd => {}
    }
    report.findings = findings;
    print(app, &report)?;
    Ok(if report.findings.is_empty() { exit::SUCCESS } else { exit::FAILURE })
}

type Find<'a> = &'a mut dyn FnMut(&'static str, String, String);

fn check_home(app: &App, find: Find<'_>) {
    let home = app.root().path();
    if !home.is_dir() {
        let problem = format!("the home `{}` does not exist", home.display());
        find("homes", problem, "`hermes profile create NAME` makes it".to_owned());
    } else if !may_write(home) {
        let problem = format!("the home `{}` is not writable for this user", home.display());
        find("homes", problem, "run as its owner, or give it to this user with chown".to_owned());
    }
}

fn may_write(directory: &Path) -> bool {
    rustix::fs::access(directory, rustix::fs::Access::WRITE_OK).is_ok()
}

fn check_profile(profile: &Profile, find: Find<'_>) {
    let name = &profile.name;
    match config::load(&profile.home.config()) {
        Ok(loaded) => {
            for warning in loaded.warnings {
                let mend = format!("edit `{}`", profile.home.config().display());
                find("config", format!("`{name}`: {warning}"), mend);
            }
            let config = loaded.gateway;
            if config.command.is_none() && config.port.is_none() && !name.is_default() {
                let problem = format!("`{name}` names no port, and its built-in gateway needs one");
                find("ports", problem, format!("hermes profile port {name}"));
            }
        }
        Err(error) => {
            let mend = format!("edit `{}`", profile.home.config().display());
            find("config", format!("`{name}`: {error}"), error.hint().unwrap_or(mend));
        }
    }
    if let Err(error) = Intent::read(&profile.home) {
        let mend = format!("hermes gateway start {name}, or hermes gateway stop {name}");
        find("intent", format!("`{name}`: {error}"), mend);
    }
}

fn check_ports(app: &App, profiles: &[Profile], find: Find<'_>) {
    let mut claims: BTreeMap<u16, Vec<&ProfileName>> = BTreeMap::new();
    for profile in profiles {
        let named =
            config::load(&profile.home.config()).ok().and_then(|loaded| loaded.gateway.port);
        // The port that `default` falls back to counts once it is wanted.
        let wanted = || Intent::read(&profile.home).is_ok_and(|intent| intent == Intent::Running);
        let port = named.or_else(|| app.store.port(profile).ok().flatten().filter(|_| wanted()));
        if let Some(port) = port {
            claims.entry(port).or_default().push(&profile.name);
        }
    }
    for (port, names) in claims.into_iter().filter(|(_, names)| names.len() > 1) {
        let all = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let mend = format!("hermes profile port {} NUMBER", names[names.len() - 1]);
        find("ports", format!("port {port} is named by {all}"), mend);
    }
}

fn check_s6(
    app: &App,
    manager: &S6Manager,
    report: &mut Report,
    find: Find<'_>,
) -> Result<(), CliError> {
    let tree = manager.tree();
    report.scandir = Some(tree.scandir.path().display().to_string());
    let svscan = match tree.require_svscan("reach the supervision tree") {
        Ok(svscan) => svscan,
        Err(error) => {
            let cause = CliError::from(error).causes().next().unwrap_or_default();
            find("backend", cause, "hermes up".to_owned());
            return Ok(());
        }
    };
    if let Err(error) = tree.require_same_home("use this tree", svscan) {
        let mend = error.hint().unwrap_or_default();
        find("owner", CliError::from(error).causes().next().unwrap_or_default(), mend);
    }
    let failed = |error| CliError::new("failed to count the slots").because(error);
    let capacity = tree.capacity(svscan).map_err(failed)?;
    report.slots = tree.scandir.profiles().map_err(failed)?.len();
    report.capacity = Some(capacity);
    if capacity.room() == 0 {
        let problem = format!("the scan directory is full: {capacity}");
        find(
            "capacity",
            problem,
            "run s6-svscan with a higher -c or -C, or `hermes up`".to_owned(),
        );
    }
    for profile in app.store.list()?.profiles {
        // One whose status can't be read is told below.
        let Ok(status) = manager.status(&profile.name) else { continue };
        let (check, problem) = match (status.state, status.pid) {
            (State::Orphan, Some(pid)) => ("orphans", format!("runs as {pid}, unsupervised")),
            (State::Stray, _) => {
                ("strays", "has a supervisor that no s6-svscan looks after".to_owned())
            }
            _ => continue,
        };
        let problem = format!("the gateway of `{}` {problem}", profile.name);
        find(check, problem, format!("hermes gateway restart {}", profile.name));
    }
    for action in boot::plan(manager)? {
        let problem = match &action {
            Action::Keep { detail, .. } if detail.is_empty() => continue,
            Action::Keep { profile, detail } => format!("the slot of `{profile}` is {detail}"),
            Action::Clear { path } => {
                format!("`{}` was left by an interrupted command", path.display())
            }
            Action::Remove { profile, detail } => format!("the slot of `{profile}`: {detail}"),
            Action::Sweep { profile } => {
                format!("`{profile}` has files of a gateway that is no more")
            }
            Action::Register { profile, detail } if detail.is_empty() => {
                format!("`{profile}` has no slot")
            }
            Action::Register { profile, detail } => format!("`{profile}` has no slot; {detail}"),
            Action::Start { profile } => format!("`{profile}` is wanted and does not run"),
            Action::Stop { profile } => format!("`{profile}` runs and is not wanted"),
            Action::FinishRename { profile, detail } | Action::UndoRename { profile, detail } => {
                format!("a rename of `{profile}` was interrupted, or goes on: {detail}")
            }
            Action::Skip { what, detail } if detail.starts_with("no journal") => {
                find("renames", format!("`{what}`: {detail}"), format!("rm '{what}'"));
                continue;
            }
            // Profiles are found above, each with its own mend.
            Action::Skip { detail, .. } if !detail.starts_with("its slot") => continue,
            Action::Skip { what, detail } => format!("`{what}`: {detail}"),
        };
        find("slots", problem, "hermes boot".to_owned());
    }
    Ok(())
}

fn print(app: &App, report: &Report) -> Result<(), CliError> {
    if app.json {
        return output::json(report);
    }
    let line = |name: &str, value: String| output::line(format_args!("{name:<10} {value}"));
    line("backend", report.backend.to_string())?;
    line("process 1", report.facts.init.clone().unwrap_or_else(|| "can't be read".to_owned()))?;
    line("s6 basedir", if report.facts.s6_basedir { "there" } else { "absent" }.to_owned())?;
    line("home", report.home.clone())?;
    if let Some(scandir) = &report.scandir {
        line("scandir", scandir.clone())?;
    }
    line("profiles", report.profiles.to_string())?;
    line("slots", report.slots.to_string())?;
    if let Some(capacity) = &report.capacity {
        line("capacity", format!("{capacity}; room for {}", capacity.room()))?;
    }
    for finding in &report.findings {
        output::line(format_args!(
            "\n{}: {}\n  mend: {}",
            finding.check, finding.problem, finding.mend
        ))?;
    }
    if report.findings.is_empty() {
        output::line("\nnothing is wrong")?;
    }
    Ok(())
}
