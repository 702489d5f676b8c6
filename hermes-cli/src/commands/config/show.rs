//! `hermes config show`: the keys of a profile's gateway as YAML, each with what set it. Shows no secrets.

use std::path::Path;

use hermes_core::agent::{self, NoProgram, Program};
use hermes_core::config::{
    GatewayConfig, GatewayKind, Liveness, Loaded, MASK, OnHang, Origin, Place, Placeholders,
    Resources, Topology, is_secret_value, masked_arguments,
};
use hermes_core::store::{Profile, StoreError};
use hermes_core::{ProfileName, settings, shell};
use hermes_gateway::places_of_agent;
use serde_json::{Map, Value, json};

use crate::app::App;
use crate::error::{CliError, exit};
use crate::output;

/// A key with its value.
struct Entry {
    key: &'static str,
    /// The variable, below `env`.
    variable: Option<String>,
    value: Value,
    origin: Option<Origin>,
}

pub(super) fn run(app: &App, name: Option<ProfileName>, effective: bool) -> Result<u8, CliError> {
    let name = name.map_or_else(|| app.profile(), Ok)?;
    let profile = app.store().get(&name)?;
    let loaded = settings::load(&profile.home).map_err(StoreError::from)?;
    let mut entries = entries(&profile, &loaded);
    let config = profile.home.config();
    let is_own = |origin: &Option<Origin>| matches!(origin, Some(Origin::File(place)) if place.path == config);
    if !effective {
        entries.retain(|entry| is_own(&entry.origin));
    }
    let runs = effective.then(|| Runs::of(&profile, &loaded.gateway));
    if app.json {
        output::json(&as_json(&profile, &entries, runs.as_ref()))?;
        return Ok(exit::SUCCESS);
    }
    let origin = |entry: &Entry| match effective {
        true => format!("  # {}", described(entry.origin.as_ref(), profile.home.path())),
        false => String::new(),
    };
    let mut lines = vec![if entries.is_empty() { "gateway: {}" } else { "gateway:" }.to_owned()];
    for (i, entry) in entries.iter().enumerate() {
        let value = &entry.value;
        match &entry.variable {
            Some(variable) => {
                if i == 0 || entries[i - 1].variable.is_none() {
                    lines.push(format!("  {}:", entry.key));
                }
                lines.push(format!("    {variable}: {value}{}", origin(entry)));
            }
            None => lines.push(format!("  {}: {value}{}", entry.key, origin(entry))),
        }
    }
    if let Some(runs) = runs {
        lines.extend(runs.lines());
    }
    output::lines(lines)?;
    Ok(exit::SUCCESS)
}

/// All keys, in the order of the documentation.
fn entries(profile: &Profile, loaded: &Loaded) -> Vec<Entry> {
    let config = &loaded.gateway;
    let origins = &loaded.origins;
    let entry = |key: &'static str, value: Value| Entry {
        key,
        variable: None,
        value,
        origin: origins.keys.get(key).cloned(),
    };
    let topology = match config.topology {
        Topology::Isolated => "isolated",
        Topology::Shared => "shared",
    };
    let shown =
        |name: &str, value: &str| json!(if is_secret_value(name, value) { MASK } else { value });
    let command = config.command.as_ref().map(|command| masked_arguments(command));
    let ready_url = config.ready_url.as_ref().map(|url| shown("", url));
    let mut all = vec![
        entry("kind", json!(config.kind)),
        entry("program", json!(config.program)),
        entry("topology", json!(topology)),
        entry("host", json!(config.host)),
        entry("port", json!(profile.port(config))),
        entry("command", json!(command)),
    ];
    all.extend(config.env.iter().map(|(name, value)| Entry {
        key: "env",
        variable: Some(name.clone()),
        value: shown(name, value),
        origin: origins.env.get(name).cloned(),
    }));
    all.extend([
        entry("ready_url", json!(ready_url)),
        entry("liveness", liveness(config.liveness.as_ref())),
        entry(
            "on_hang",
            json!(if config.on_hang == OnHang::Restart { "restart" } else { "report" }),
        ),
        entry("resources", resources(config.resources)),
        entry("stop_timeout", json!(config.stop_timeout.seconds())),
    ]);
    all
}

fn liveness(liveness: Option<&Liveness>) -> Value {
    let Some(Liveness { interval, timeout, failures }) = liveness else { return json!(false) };
    json!({ "interval": interval.as_secs(), "timeout": timeout.as_secs(), "failures": failures })
}

fn resources(resources: Resources) -> Value {
    let Resources { memory, cpu, tasks, files } = resources;
    let cpu = cpu
        .map(|hundredths| json!(f64::from(u32::try_from(hundredths).unwrap_or(u32::MAX)) / 100.0));
    let all = [
        ("memory", json!(memory)),
        ("cpu", json!(cpu)),
        ("tasks", json!(tasks)),
        ("files", json!(files)),
    ];
    let set = all.into_iter().filter(|(_, limit)| !limit.is_null());
    Value::Object(set.map(|(name, limit)| (name.to_owned(), limit)).collect())
}

/// What set a key: the place in the profile's files, for people.
fn described(origin: Option<&Origin>, home: &Path) -> String {
    let shown = |place: &Place| {
        let path = place.path.strip_prefix(home).unwrap_or(&place.path).display();
        place.at.map_or_else(|| path.to_string(), |(line, _)| format!("{path} line {line}"))
    };
    match origin {
        Some(Origin::File(place)) => shown(place),
        Some(Origin::Defaults(_)) => "gateway.defaults".to_owned(),
        Some(Origin::Preset) => format!("preset {}", GatewayKind::HermesAgent),
        Some(Origin::Surroundings) => "its Pod".to_owned(),
        None => "default".to_owned(),
    }
}

/// The program of a gateway, as this command finds it: a tree may have another environment.
struct Runs {
    program: Option<Result<Program, NoProgram>>,
    command: Option<Vec<String>>,
    missing: Option<String>,
}

impl Runs {
    fn of(profile: &Profile, config: &GatewayConfig) -> Self {
        let uses = agent::is_used_by(config);
        let program = uses.then(|| agent::find(&places_of_agent(profile, config)));
        let path = program.as_ref().and_then(|found| found.as_ref().ok());
        let path = path.map(|program| program.path.to_string_lossy());
        let filled = config.filled_command(&Placeholders {
            profile: profile.name.as_str(),
            home: &profile.home.path().to_string_lossy(),
            host: &config.host,
            port: profile.port(config),
            program: path.as_deref(),
        });
        let (command, missing) = match filled {
            Ok(command) => (command.map(|command| masked_arguments(&command)), None),
            Err(missing) => (None, Some(missing.to_string())),
        };
        Self { program, command, missing }
    }

    fn lines(&self) -> Vec<String> {
        let program = self.program.as_ref().map(|program| match program {
            Ok(Program { path, found, version }) => {
                let version = version.as_deref().unwrap_or("of an unknown version");
                let path = path.display();
                format!(
                    "# program: {path} ({found}; hermes-agent {version}); a tree may find another"
                )
            }
            Err(missing) => format!("# program: none: {missing}"),
        });
        let runs = match (&self.command, &self.missing) {
            (_, Some(missing)) => format!("# runs: nothing: {missing}"),
            (Some(command), None) => {
                let words: Vec<_> = command.iter().map(|word| shell::quote(word)).collect();
                format!("# runs: {}", words.join(" "))
            }
            (None, None) => "# runs: the built-in gateway".to_owned(),
        };
        program.into_iter().chain([runs]).collect()
    }
}

fn as_json(profile: &Profile, entries: &[Entry], runs: Option<&Runs>) -> Value {
    let (mut keys, mut env, mut origins) = (Map::new(), Map::new(), Map::new());
    for Entry { key, variable, value, origin } in entries {
        let origin = json!(described(origin.as_ref(), profile.home.path()));
        match variable {
            Some(variable) => {
                env.insert(variable.clone(), value.clone());
                origins.insert(format!("{key}.{variable}"), origin);
            }
            None => {
                keys.insert((*key).to_owned(), value.clone());
                origins.insert((*key).to_owned(), origin);
            }
        }
    }
    if !env.is_empty() {
        keys.insert("env".to_owned(), Value::Object(env));
    }
    let mut view = json!({ "profile": profile.name, "gateway": keys, "origins": origins });
    if let Some(Runs { program, command, missing }) = runs {
        let program = program.as_ref().and_then(|found| found.as_ref().ok());
        view["program"] = json!(program.map(|program| json!({
            "path": program.path,
            "found": program.found.to_string(),
            "version": program.version,
            "tried": program.is_tried(),
        })));
        view["runs"] = json!({ "command": command, "missing": missing });
    }
    view
}
