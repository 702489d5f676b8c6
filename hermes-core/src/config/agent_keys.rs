//! The Python agent's own keys in `config.yaml` that decide whether and where its API server listens. Hermes reads
//! them and leaves them alone.
//!
//! The agent reads the file with PyYAML and ignores what it can't use, so nothing here is an error.

use std::path::Path;

use super::error::Place;
use super::keys::GATEWAY;
use super::keys::agent::{API_SERVER, PLATFORMS, VARIABLES, VERSION};
use super::yaml::{self, Kind, Node, Scope};

/// A value with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting {
    /// The full name of the key, or the name of the variable.
    pub(crate) key: String,
    /// The text without quotes.
    pub(crate) value: String,
    /// Where it is.
    pub(crate) place: Place,
}

impl Setting {
    /// The last part of the key: the name of a variable.
    pub(crate) fn name(&self) -> &str {
        self.key.rsplit('.').next().unwrap_or(&self.key)
    }
}

/// The agent's own keys.
#[derive(Debug, Default)]
pub(crate) struct AgentKeys {
    /// Whether the agent's commands wrote the file.
    pub(crate) has_version: bool,
    /// `API_SERVER_…` at the top level, which the agent reads like variables.
    pub(crate) variables: Vec<Setting>,
    /// `enabled` of the API server.
    pub(crate) enabled: Option<Setting>,
    /// `extra.host` of the API server.
    pub(crate) host: Option<Setting>,
    /// `extra.port` of the API server, the one that wins first.
    pub(crate) ports: Vec<Setting>,
}

impl AgentKeys {
    /// The agent's keys in `text`, the content of the file at `path`.
    pub(crate) fn read(text: &str, path: &Path) -> Self {
        let relevant = [VERSION, API_SERVER, VARIABLES];
        if !relevant.iter().any(|word| text.contains(word)) {
            return Self::default();
        }
        let Ok(root) = yaml::read(text, Scope::Agent, path) else { return Self::default() };
        let file = File { text, path };
        let top = entries(&root);
        let variables = top.iter().filter(|(key, _)| name(key).starts_with(VARIABLES));
        let variables = variables.filter_map(|(key, value)| file.setting(name(key), value));
        // The agent merges them: those at the top level win.
        let under_gateway = get(&root, &[GATEWAY, PLATFORMS, API_SERVER]);
        let top_level = get(&root, &[PLATFORMS, API_SERVER]);
        let all = |below: &[&str]| {
            let last = below.join(".");
            let places = [(PLATFORMS, top_level), ("gateway.platforms", under_gateway)];
            let settings = places.into_iter().filter_map(|(above, node)| {
                file.setting(&format!("{above}.{API_SERVER}.{last}"), get(node?, below)?)
            });
            settings.collect::<Vec<_>>()
        };
        let find = |below: &[&str]| all(below).into_iter().next();
        Self {
            has_version: top.iter().any(|(key, _)| name(key) == VERSION),
            enabled: find(&["enabled"]),
            host: find(&["extra", "host"]),
            ports: all(&["extra", "port"]),
            variables: variables.collect(),
        }
    }
}

struct File<'a> {
    text: &'a str,
    path: &'a Path,
}

impl File<'_> {
    fn setting(&self, key: &str, value: &Node) -> Option<Setting> {
        let Node::Scalar(scalar) = value else { return None };
        if scalar.kind == Kind::Null {
            return None;
        }
        let at = scalar.span.as_ref().map(|span| span.start);
        let place = Place::new(self.path, self.text, at);
        Some(Setting { key: key.to_owned(), value: scalar.text.clone(), place })
    }
}

fn entries(node: &Node) -> &[(Node, Node)] {
    match node {
        Node::Map(entries) => entries,
        _ => &[],
    }
}

fn name(key: &Node) -> &str {
    match key {
        Node::Scalar(scalar) => &scalar.text,
        _ => "",
    }
}

/// The node below `node` with these keys.
fn get<'a>(node: &'a Node, keys: &[&str]) -> Option<&'a Node> {
    keys.iter().try_fold(node, |node, key| {
        entries(node).iter().rev().find(|(entry, _)| name(entry) == *key).map(|(_, value)| value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> AgentKeys {
        AgentKeys::read(text, Path::new("/x"))
    }

    #[test]
    fn the_places_of_an_address() {
        let keys = read(
            "_config_version: 33\nAPI_SERVER_PORT: '8650'\nmodel: {x: y}\ngateway:\n  platforms:\n    api_server: \
             {enabled: false, extra: {port: 1, host: '::1'}}\nplatforms:\n  api_server:\n    enabled: true\n    extra:\n      \
             port: 8651\n",
        );
        assert!(keys.has_version);
        let text =
            |setting: &Setting| format!("{} {} {}", setting.key, setting.value, setting.place);
        let all = [&keys.variables[0], &keys.enabled.unwrap(), &keys.ports[0], &keys.host.unwrap()];
        assert_eq!(
            all.map(text),
            [
                "API_SERVER_PORT 8650 `/x` line 2 column 19",
                "platforms.api_server.enabled true `/x` line 9 column 14",
                "platforms.api_server.extra.port 8651 `/x` line 11 column 13",
                "gateway.platforms.api_server.extra.host ::1 `/x` line 6 column 58",
            ]
        );
    }

    #[test]
    fn what_can_not_be_used_sets_nothing() {
        for text in
            ["", "port: 1", "api_server: [", "platforms: {api_server: x}", "- API_SERVER_PORT"]
        {
            let keys = read(text);
            assert!(
                keys.ports.is_empty() && keys.variables.is_empty() && !keys.has_version,
                "{text}"
            );
        }
    }
}
