//! Whether and where the API server of the agent's gateway listens, as the agent itself decides it.
//!
//! The agent reads variables first: those of the profile's `.env`, then those of its environment, where Hermes puts
//! `gateway.port`, then top-level keys of `config.yaml`. Last comes its platform's own key. Without a variable that
//! enables the server, that key comes first. (hermes-agent 0.19.0: `gateway/config.py`, `gateway/run.py`,
//! `gateway/platforms/api_server.py`.)

use std::collections::BTreeMap;

use crate::config::{AgentKeys, ConfigError, Draft, Origin, Place, PortPlace, Setting};
use crate::dotenv::Dotenv;
use crate::home::ProfileHome;

/// The variables that decide the address.
pub(crate) use crate::config::AGENTS_PORT as PORT;
pub(super) const HOST: &str = "API_SERVER_HOST";
const KEY: &str = "API_SERVER_KEY";
const ENABLED: &str = "API_SERVER_ENABLED";
/// The end of the platform's own key.
const OWN: &str = ".extra.port";
/// The port if no place names one, or names none that can be used.
pub(crate) const FALLBACK: u16 = 8642;

/// Whether and where a gateway listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Whether the Python agent decides it.
    pub is_agents: bool,
    /// What enables the agent's API server; `None` if nothing does.
    pub enabled_by: Option<Switch>,
    /// The host, if the agent's own files name one.
    pub host: Option<Switch>,
    /// The places that name a port, the one that wins first.
    pub places: Vec<PortPlace>,
}

/// A setting of the agent's, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Switch {
    /// The full name of the key, or the name of the variable.
    pub key: String,
    /// The text of a host; empty for anything else, which may be a secret.
    pub(super) value: String,
    /// The file and the line.
    pub place: Place,
}

impl Address {
    /// The address of a gateway that is not the agent's: our keys in `draft` decide it.
    pub(crate) fn of_ours(draft: &Draft) -> Self {
        let places = of_gateway_port(draft).into_iter().collect();
        Self { is_agents: false, enabled_by: None, host: None, places }
    }

    /// The address of the profile at `home`, whose `config.yaml` has `keys` and our keys in `draft`.
    pub(crate) fn of_agents(
        home: &ProfileHome,
        keys: &AgentKeys,
        draft: &Draft,
        dotenv: &Dotenv,
    ) -> Self {
        let of_dotenv = of_dotenv(home, dotenv, &draft.gateway.env);
        let of_env = of_env(draft);
        let find = |settings: &[Setting], name: &str| {
            settings.iter().rfind(|setting| setting.name() == name).cloned()
        };
        let variable = |name: &str| {
            let all = [&of_dotenv, &of_env, &keys.variables];
            all.into_iter().find_map(|settings| find(settings, name))
        };
        let by_variable = variable(KEY)
            .filter(|key| !key.value.is_empty())
            .or_else(|| variable(ENABLED).filter(|enabled| is_true(&enabled.value)));
        let by_key = keys.enabled.clone().filter(|enabled| is_true(&enabled.value));
        let mut places: Vec<_> = find(&of_dotenv, PORT).iter().map(PortPlace::of).collect();
        // The preset passes `gateway.port` on.
        let literal = find(&of_env, PORT).filter(|setting| !setting.value.contains('{'));
        places.extend(literal.as_ref().map(PortPlace::of));
        places.extend(of_gateway_port(draft));
        places.extend(find(&keys.variables, PORT).as_ref().map(PortPlace::of));
        let at = if by_variable.is_some() { places.len() } else { 0 };
        places.splice(at..at, keys.ports.iter().map(PortPlace::of));
        let is_host = |host: &Setting| !host.value.is_empty() && !host.value.contains('{');
        let host = variable(HOST).filter(is_host).or_else(|| keys.host.clone());
        let secret = |Setting { key, place, .. }| Switch { key, value: String::new(), place };
        Self {
            is_agents: true,
            enabled_by: by_variable.or(by_key).map(secret),
            host: host.map(|Setting { key, value, place }| Switch { key, value, place }),
            places,
        }
    }

    /// Whether the agent's API server listens at all.
    pub fn is_enabled(&self) -> bool {
        self.enabled_by.is_some()
    }

    /// Whether places name different ports.
    pub fn disagrees(&self) -> bool {
        self.places.iter().any(|place| place.port != self.places[0].port)
    }

    /// The port that the gateway listens on, although places may name different ones. `None` if there is no place.
    pub fn effective_port(&self) -> Option<u16> {
        let first = self.places.first()?;
        // The agent ignores a variable that is no port, but uses no other one.
        let own =
            self.places.iter().find(|place| place.key.ends_with(OWN)).and_then(|own| own.port);
        Some(first.port.or(own).unwrap_or(FALLBACK))
    }

    /// The one port that the places name. An error if they disagree and the server listens. `home` is the profile's.
    pub(super) fn port(&self, home: &ProfileHome) -> Result<Option<u16>, ConfigError> {
        match self.effective_port() {
            Some(effective) if self.is_enabled() && self.disagrees() => {
                let (profile, places) = (home.profile().clone(), self.places.clone());
                Err(ConfigError::Ports { profile, effective, places })
            }
            effective => Ok(effective),
        }
    }
}

impl PortPlace {
    fn of(setting: &Setting) -> Self {
        let port = setting.value.trim().parse().ok().filter(|port| *port > 0);
        Self { key: setting.key.clone(), place: setting.place.clone(), port }
    }
}

fn of_gateway_port(draft: &Draft) -> Option<PortPlace> {
    let (port, place) = (draft.gateway.port?, draft.origins.place("port")?);
    Some(PortPlace { key: "gateway.port".to_owned(), place: place.clone(), port: Some(port) })
}

/// The variables of `gateway.env`.
fn of_env(draft: &Draft) -> Vec<Setting> {
    let setting = |(name, value): (&String, &String)| {
        let place = draft.origins.env.get(name).and_then(Origin::place)?.clone();
        Some(Setting { key: format!("gateway.env.{name}"), value: value.clone(), place })
    };
    draft.gateway.env.iter().filter_map(setting).collect()
}

/// The variables of the profile's `.env` with their places. A file that can't be used is reported when the gateway starts.
fn of_dotenv(
    home: &ProfileHome,
    file: &Dotenv,
    outside: &BTreeMap<String, String>,
) -> Vec<Setting> {
    let variables = file.variables(&[], |name| outside.get(name).cloned()).unwrap_or_default();
    let setting = |(key, value): (String, String)| {
        let place = Place { path: home.dotenv(), at: Some((line_of(file, &key)?, 1)) };
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
