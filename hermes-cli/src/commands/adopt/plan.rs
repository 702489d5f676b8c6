//! The plan of an adoption: what runs now, and what is to be done with it.

use hermes_core::agent::{self, Locks, Places, Stage};
use hermes_core::config::GatewayKind;
use hermes_core::error_chain::in_one_line;
use hermes_core::{Gateway, Intent, Proc, ProfileName, process_lock};
use hermes_host::AgentService;
use serde::Serialize;

use super::former::Former;
use super::journal::{self, Entry, Journal};
use super::proof;
use super::steps::managers;
use crate::app::App;
use crate::error::CliError;
use crate::output::{self, Column};

/// What an adoption does with one gateway.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Row {
    pub(super) profile: ProfileName,
    /// What runs now.
    now: String,
    pub(super) pid: Option<u32>,
    port: Option<u16>,
    /// The program that will run.
    program: Option<String>,
    /// The agent's own services, which are put aside.
    services: Vec<String>,
    action: &'static str,
    /// Whether it is started supervised.
    #[serde(skip)]
    pub(super) starts: bool,
    #[serde(skip)]
    pub(super) entry: Option<Entry>,
}

impl Row {
    pub(super) fn does_something(&self) -> bool {
        self.entry.is_some()
    }
}

/// The plan for `names`, or for every profile whose home is the agent's. Changes nothing. What would keep a gateway from
/// being adopted is an error here, before the first step.
pub(super) fn adoption(
    app: &App,
    journal: &Journal,
    names: Vec<ProfileName>,
) -> Result<Vec<Row>, CliError> {
    let named = !names.is_empty();
    let profiles = match named {
        true => names.iter().map(|name| app.store().get(name)).collect::<Result<_, _>>()?,
        false => app.store().list()?.profiles,
    };
    let mut rows = Vec::new();
    for gateway in profiles.into_iter().map(Gateway::new) {
        let name = gateway.name().clone();
        let refused = |why: String| {
            CliError::new(format!("failed to adopt the gateway of `{name}`")).because(why)
        };
        let kind = match gateway.loaded() {
            Ok(loaded) => loaded.gateway.kind,
            Err(error) => {
                let hint = error.hint().unwrap_or_else(|| "`hermes doctor` checks it".to_owned());
                return Err(refused(in_one_line(error)).with_hint(hint));
            }
        };
        if kind == GatewayKind::HermesAgent {
            rows.push(row(app, journal, &gateway)?);
        } else if named {
            let why = "its home is not the Python agent's, or it runs a command of its own";
            return Err(refused(why.to_owned()));
        }
    }
    Ok(rows)
}

fn row(app: &App, journal: &Journal, gateway: &Gateway) -> Result<Row, CliError> {
    let (name, home) = (gateway.name(), gateway.home());
    let supervised = process_lock::holder(&home.gateway_lock()).ok().flatten();
    let former = former(app, gateway)?;
    let foreign = former.as_ref().map(|former| former.pid);
    let known = journal.profiles.get(name);
    let services = managers(app).services_of(home);
    let interrupted = known.is_some_and(|entry| entry.stage != Stage::Adopted);
    let did_run = known.is_some_and(|entry| entry.former.is_some());
    let is_wanted = || Intent::read(home).is_ok_and(|intent| intent == Intent::Running);
    let crashed = supervised.is_none() && known.is_none() && !home.intent().exists() && is_wanted();
    let (now, action) = match (foreign, supervised) {
        (Some(_), _) => ("runs outside of any supervisor", "stop it, start it supervised"),
        _ if interrupted => ("an adoption was interrupted", "complete it"),
        (None, Some(_)) => ("is supervised", "nothing"),
        _ if crashed => ("has crashed", "start it supervised"),
        _ if !services.is_empty() => ("does not run", "put its services aside"),
        _ => ("does not run", "nothing"),
    };
    let mut row = Row {
        profile: name.clone(),
        now: now.to_owned(),
        pid: foreign.or(supervised.and_then(|holder| holder.pid)),
        port: gateway.port().ok().flatten(),
        program: None,
        services: services.iter().map(AgentService::name).collect(),
        action,
        starts: foreign.is_some() || crashed || interrupted && (did_run || is_wanted()),
        entry: None,
    };
    if action == "nothing" {
        return Ok(row);
    }
    row.program = Some(program(app, gateway)?);
    let ancestry = Proc::default().ancestry(std::process::id());
    if foreign.is_some_and(|pid| ancestry.contains(&pid)) {
        return Err(CliError::new(format!("failed to adopt the gateway of `{name}`"))
            .because("this command runs inside of it, and would end with it")
            .with_hint("run it in a shell of your own"));
    }
    row.now = former.as_ref().map_or(row.now, |former| format!("runs: {}", former.command()));
    if let Some(unit) = hermes_host::agent_services::Managers::system_unit_of(home) {
        let unit = unit.file_name().unwrap_or_default().to_string_lossy().into_owned();
        return Err(CliError::new(format!("failed to adopt the gateway of `{name}`"))
            .because(format!("the system's manager runs it, as {unit}"))
            .with_hint(format!("as root: systemctl disable --now {unit}")));
    }
    let model = foreign.and_then(|_| proof::model(gateway).ok().flatten());
    let model = model.map(|(_, model)| model);
    row.entry = Some(match known.cloned() {
        // The first record says how it was before.
        Some(entry) => {
            let is_new =
                |service: &AgentService| !entry.services.iter().any(|it| it.file == service.file);
            let new: Vec<_> = services.into_iter().filter(is_new).collect();
            Entry {
                // What was not touched yet still is not.
                stage: if entry.stage == Stage::Recorded {
                    Stage::Recorded
                } else {
                    Stage::Adopting
                },
                former: former.or(entry.former),
                model: model.or(entry.model),
                services: entry.services.into_iter().chain(new).collect(),
                ..entry
            }
        }
        None => {
            let intent = journal::intent(home)?;
            let supervisor = app.supervisor()?;
            let is_installed = supervisor.supports_installation()
                && supervisor.driver().exists(name).map_err(CliError::of)?;
            Entry { stage: Stage::Recorded, intent, former, model, services, is_installed }
        }
    });
    Ok(row)
}

/// How the process was started that runs outside of any supervisor, if one does.
fn former(app: &App, gateway: &Gateway) -> Result<Option<Former>, CliError> {
    let foreign = || gateway.foreign(&Locks::default(), None);
    while let Some(pid) = foreign() {
        let former = refuse_slot(app, gateway, pid).and_then(|()| Former::of(gateway, pid));
        match former {
            // It has ended meanwhile, as one does that an interrupted adoption has asked to.
            Err(_) if foreign() != Some(pid) => {}
            former => return former.map(Some),
        }
    }
    Ok(None)
}

/// Fails if the process `pid` runs in a slot that the agent's image made: the slot would start it again.
fn refuse_slot(app: &App, gateway: &Gateway, pid: u32) -> Result<(), CliError> {
    // Without a supervisor there is no slot.
    let Ok(services) = app.reachable() else { return Ok(()) };
    let supervised = services.driver().observe(gateway)?.pid;
    if supervised.is_none_or(|supervised| !Proc::default().ancestry(pid).contains(&supervised)) {
        return Ok(());
    }
    let name = gateway.name();
    let why = format!("process {pid} runs in the slot of `{name}`, which another program made");
    Err(CliError::new(format!("failed to adopt the gateway of `{name}`"))
        .because(why)
        .with_hint(format!("`hermes gateway register --refresh {name}` replaces the slot")))
}

/// The program that will run; an error if there is none.
fn program(app: &App, gateway: &Gateway) -> Result<String, CliError> {
    let variable = app.hermes.environment().variable;
    let config = gateway.config();
    let places = Places {
        configured: config.program.as_deref(),
        variable: variable(hermes_core::home::env::AGENT),
        home: Some(gateway.home()),
        user_home: variable("HOME").map(Into::into),
        path: variable("PATH"),
    };
    match agent::find(&places) {
        Ok(program) => Ok(program.path.display().to_string()),
        Err(error) => {
            let what = format!("failed to adopt the gateway of `{}`", gateway.name());
            Err(CliError::new(what).because(error))
        }
    }
}

/// The plan of putting `names` back.
pub(super) fn way_back(app: &App, journal: &Journal, names: &[ProfileName]) -> Vec<Row> {
    let entries = names.iter().filter_map(|name| Some((name, journal.profiles.get(name)?)));
    let row = |(name, entry): (&ProfileName, &Entry)| {
        let home = app.store().root().profile(name);
        let supervised = process_lock::holder(&home.gateway_lock()).ok().flatten();
        Row {
            profile: name.clone(),
            now: if supervised.is_some() { "is supervised" } else { "does not run supervised" }
                .to_owned(),
            pid: supervised.and_then(|holder| holder.pid),
            port: app.store().get(name).ok().and_then(|it| app.store().port(&it).ok().flatten()),
            program: entry.former.as_ref().map(Former::command),
            services: entry.services.iter().map(AgentService::name).collect(),
            action: if entry.former.is_some() { "stop it, start it as before" } else { "stop it" },
            starts: false,
            entry: None,
        }
    };
    entries.map(row).collect()
}

/// Prints a plan.
pub(super) fn print(app: &App, rows: &[Row]) -> Result<(), CliError> {
    if app.json {
        return output::json(&rows);
    }
    let columns = [
        Column::new("PROFILE"),
        Column::new("NOW"),
        Column::optional("PID", 3),
        Column::optional("PORT", 2),
        Column::optional("PROGRAM", 4),
        Column::optional("SERVICES", 1),
        Column::new("ACTION"),
    ];
    let cells = |row: &Row| {
        let services =
            if row.services.is_empty() { "-".to_owned() } else { row.services.join(", ") };
        vec![
            row.profile.to_string(),
            row.now.clone(),
            output::or_dash(row.pid),
            output::or_dash(row.port),
            output::or_dash(row.program.as_ref()),
            services,
            row.action.to_owned(),
        ]
    };
    output::table(&columns, rows.iter().map(cells)).map(drop)
}
