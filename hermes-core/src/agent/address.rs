//! Whether and where the API server of the agent's gateway listens, as the agent itself decides it.
//!
//! The agent reads variables first: those of the profile's `.env`, then those of its environment, where Hermes puts
//! `gateway.port`, then top-level keys of `config.yaml`. Last comes its platform's own key. Without a variable that
//! enables the server, that key comes first. (hermes-agent 0.19.0: `gateway/config.py`, `gateway/run.py`,
//! `gateway/platforms/api_server.py`.)

use std::collections::BTreeMap;

use crate::config::{AgentKeys, ConfigError, Draft, NamedPort, Place, Setting};
use crate::dotenv::{self, Dotenv};
use crate::home::ProfileHome;

/// The variables that decide the address.
pub(crate) const PORT: &str = "API_SERVER_PORT";
pub(super) const HOST: &str = "API_SERVER_HOST";
const KEY: &str = "API_SERVER_KEY";
const ENABLED: &str = "API_SERVER_ENABLED";

/// Whether and where the API server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Whether it listens at all.
    pub is_enabled: bool,
    /// The host, if the agent's own files name one.
    pub host: Option<String>,
    /// The places that name a port, the one that wins first.
    pub places: Vec<PortPlace>,
}

/// A place that names a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortPlace {
    /// The full name of the key, or the name of the variable.
    pub key: String,
    /// The file and the line.
    pub place: Place,
    /// The port; `None` for a value that is none, with which the agent listens on its fallback port.
    pub port: Option<u16>,
}

impl Address {
    /// The address of the profile at `home`, whose `config.yaml` has `keys` and our keys in `draft`.
    pub(crate) fn of(home: &ProfileHome, keys: &AgentKeys, draft: &Draft) -> Self {
        let configured = &draft.gateway.env;
        let dotenv = dotenv_variables(home, configured);
        let of_keys = |name: &str| keys.variables.iter().rev().find(|it| it.key == name);
        let variable = |name: &str| {
            let in_dotenv = dotenv.iter().find(|setting| setting.key == name);
            let value = in_dotenv.map(|setting| setting.value.as_str());
            value
                .or(configured.get(name).map(String::as_str))
                .or(of_keys(name).map(|it| &*it.value))
        };
        let by_variable = variable(KEY).is_some_and(|key| !key.is_empty())
            || variable(ENABLED).is_some_and(is_true);
        let by_key = keys.enabled.as_ref().is_some_and(|enabled| is_true(&enabled.value));
        let of_dotenv = dotenv.iter().filter(|setting| setting.key == PORT);
        let mut places: Vec<_> = of_dotenv.map(PortPlace::of).collect();
        if let (Some(port), Some(place)) = (draft.gateway.port, &draft.port_at) {
            let key = "gateway.port".to_owned();
            places.push(PortPlace { key, place: place.clone(), port: Some(port) });
        }
        places.extend(of_keys(PORT).map(PortPlace::of));
        if let Some(own) = keys.port.as_ref().map(PortPlace::of) {
            places.insert(if by_variable { places.len() } else { 0 }, own);
        }
        let host = variable(HOST).filter(|host| !host.is_empty() && !host.contains('{'));
        let host = host.or(keys.host.as_ref().map(|host| host.value.as_str()));
        Self { is_enabled: by_variable || by_key, host: host.map(str::to_owned), places }
    }

    /// The one port that the places name. An error if they disagree and the server listens.
    pub fn port(&self) -> Result<Option<u16>, ConfigError> {
        let Some(first) = self.places.first() else { return Ok(None) };
        if self.is_enabled && self.places.iter().any(|place| place.port != first.port) {
            let named = |place: &PortPlace| NamedPort {
                key: place.key.clone(),
                port: place.port,
                place: place.place.clone(),
            };
            return Err(ConfigError::Ports { named: self.places.iter().map(named).collect() });
        }
        Ok(first.port)
    }
}

impl PortPlace {
    fn of(setting: &Setting) -> Self {
        let port = setting.value.trim().parse().ok().filter(|port| *port > 0);
        Self { key: setting.key.clone(), place: setting.place.clone(), port }
    }
}

/// The variables of the profile's `.env` with their places. A file that can't be used is reported when the gateway starts.
fn dotenv_variables(home: &ProfileHome, outside: &BTreeMap<String, String>) -> Vec<Setting> {
    let path = home.dotenv();
    let file = dotenv::load(&path).unwrap_or_default();
    let variables = file.variables(&[], |name| outside.get(name).cloned()).unwrap_or_default();
    let setting = |(key, value): (String, String)| {
        let line = line_of(&file, &key)?;
        let place = Place { path: path.clone(), at: Some((line, 1)) };
        Some(Setting { key, value, place })
    };
    variables.set.into_iter().filter_map(setting).collect()
}

/// The line of the last assignment of `name`, which counts.
fn line_of(file: &Dotenv, name: &str) -> Option<usize> {
    file.bindings().iter().rfind(|binding| binding.name == name).map(|binding| binding.line)
}

/// As the agent reads a switch.
fn is_true(value: &str) -> bool {
    matches!(value.trim().to_lowercase().as_str(), "1" | "true" | "yes" | "on")
}
