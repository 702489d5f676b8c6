//! Our keys as the files set them: those of a profile over those that hold for every profile. What runs is decided
//! afterwards, with the profile's home ([`settings`](crate::settings)).

use std::collections::BTreeMap;
use std::path::Path;

use super::defaults::Defaults;
use super::error::{ConfigError, Place};
use super::keys::{DEFAULTS, GATEWAY, KEYS};
use super::read::{Field, Reader};
use super::yaml::Node;
use super::{GatewayConfig, GatewayKind, Loaded, Placeholders, ReadyUrl, Warning};

/// The content of the files, before it is complete.
#[derive(Debug)]
pub(crate) struct Draft {
    /// Our keys; those that are not set have their defaults.
    pub(crate) gateway: GatewayConfig,
    /// `kind`, if it is set.
    pub(crate) kind: Option<GatewayKind>,
    /// What set the keys.
    pub(crate) origins: Origins,
    ready_url_at: Option<Named>,
    liveness_at: Option<Named>,
    warnings: Vec<Warning>,
}

/// What set the keys under `gateway`; those that are missing have their defaults.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origins {
    /// By the name of the key.
    pub keys: BTreeMap<&'static str, Origin>,
    /// By the name of a variable in `env`.
    pub env: BTreeMap<String, Origin>,
}

/// What set a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The profile's files.
    File(Place),
    /// `gateway.defaults`, in the root home's file.
    Defaults(Place),
    /// The preset of `kind: hermes-agent`.
    Preset,
    /// The place where the gateway runs: the address of its Pod.
    Surroundings,
}

impl Origins {
    /// The place of a key in a file.
    pub(crate) fn place(&self, key: &str) -> Option<&Place> {
        self.keys.get(key).and_then(Origin::place)
    }
}

impl Origin {
    /// The place, if a file set it.
    pub fn place(&self) -> Option<&Place> {
        match self {
            Self::File(place) | Self::Defaults(place) => Some(place),
            Self::Preset | Self::Surroundings => None,
        }
    }
}

/// The full name of a key, and where its value is.
#[derive(Debug)]
struct Named {
    key: String,
    place: Place,
}

impl Named {
    fn invalid(&self, problem: String) -> ConfigError {
        ConfigError::Invalid { key: self.key.clone(), place: self.place.clone(), problem }
    }
}

impl Draft {
    /// The keys in the document `root`, which was parsed from `text`, and in `defaults`. `path` is only used in
    /// messages.
    pub(super) fn new(
        root: &Node,
        text: &str,
        path: &Path,
        defaults: &Defaults,
    ) -> Result<Self, ConfigError> {
        let own = Reader { text, path };
        let section = own.section(root, GATEWAY, "port: 8642")?;
        let entries = section.map_or(&[][..], |(_, entries)| entries);
        let shared = defaults.reader();
        let own_fields = fields(&own, entries, "gateway")?;
        // What runs is one decision.
        let decides = |name: &str| matches!(name, "kind" | "command");
        let decided = own_fields.iter().any(|(name, _)| decides(name));
        let is_set = |name: &str| own_fields.iter().any(|(own, _)| *own == name);
        let shared_fields = fields(&shared, defaults.entries(), "gateway.defaults")?;
        let shared_fields = shared_fields.into_iter().filter(|(name, _)| match *name {
            "env" => true,
            name if decides(name) => !decided,
            name => !is_set(name),
        });
        let shared_fields: Vec<_> = shared_fields.collect();
        let mut draft = Self {
            gateway: GatewayConfig::default(),
            kind: None,
            origins: Origins::default(),
            ready_url_at: None,
            liveness_at: None,
            warnings: entries.iter().filter_map(|(key, _)| own.misspelt(key)).collect(),
        };
        draft.take(&shared, &shared_fields, Origin::Defaults)?;
        draft.take(&own, &own_fields, Origin::File)?;
        Ok(draft)
    }

    fn take(
        &mut self,
        reader: &Reader<'_>,
        fields: &[(&'static str, Field<'_>)],
        origin: fn(Place) -> Origin,
    ) -> Result<(), ConfigError> {
        let config = &mut self.gateway;
        for (name, field) in fields {
            let at = || Named { key: field.name.clone(), place: reader.place_of(field) };
            self.origins.keys.insert(name, origin(reader.place_of(field)));
            match *name {
                "kind" => self.kind = Some(reader.kind(field)?),
                "program" => config.program = Some(reader.program(field)?),
                "topology" => config.topology = reader.topology(field)?,
                "host" => config.host = reader.string(field)?,
                "port" => config.port = Some(reader.port(field)?),
                "command" => config.command = Some(reader.command(field)?),
                "env" => {
                    for (name, variable) in reader.env(field)? {
                        self.origins.env.insert(name.clone(), origin(variable.place));
                        config.env.insert(name, variable.value);
                    }
                }
                "ready_url" => {
                    config.ready_url = Some(reader.string(field)?);
                    self.ready_url_at = Some(at());
                }
                "liveness" => {
                    config.liveness = reader.liveness(field)?;
                    // Without an address it would seem to be asked.
                    self.liveness_at = matches!(field.value, Node::Map(_)).then(at);
                }
                "on_hang" => config.on_hang = reader.on_hang(field)?,
                "resources" => config.resources = reader.resources(field)?,
                _ => config.stop_timeout = reader.stop_timeout(field)?,
            }
        }
        let built_in = fields.iter().find(|(name, _)| *name == "kind");
        if let (Some(GatewayKind::BuiltIn), Some(_), Some((_, field))) =
            (self.kind, &self.gateway.command, built_in)
        {
            let problem = "is `built-in`, but `gateway.command` names a program: keep one of them";
            return Err(reader.invalid(field, problem));
        }
        Ok(())
    }

    /// Checks the keys against each other, once it is decided what runs.
    pub(crate) fn finish(mut self) -> Result<Loaded, ConfigError> {
        if self.gateway.kind == GatewayKind::BuiltIn && self.gateway.command.is_some() {
            self.gateway.kind = GatewayKind::Command;
        }
        if let Some(at) = &self.ready_url_at {
            check_url(&self.gateway).map_err(|problem| at.invalid(problem))?;
        }
        if let Some(at) = self.liveness_at.filter(|_| !self.gateway.notifies_readiness()) {
            let problem = "needs an address to ask: set `gateway.ready_url`, too";
            return Err(at.invalid(problem.to_owned()));
        }
        Ok(Loaded { gateway: self.gateway, origins: self.origins, warnings: self.warnings })
    }
}

/// Our keys in `entries` that have a value, but for the defaults themselves.
fn fields<'a>(
    reader: &Reader<'_>,
    entries: &'a [(Node, Node)],
    above: &str,
) -> Result<Vec<(&'static str, Field<'a>)>, ConfigError> {
    let found = reader.ours(entries, &KEYS, &format!("{above}."))?.into_iter();
    let named = found
        .map(|(name, key, value)| (name, Field { name: format!("{above}.{name}"), key, value }));
    Ok(named.filter(|(name, field)| *name != DEFAULTS && !field.is_null()).collect())
}

/// Checks `ready_url`, which may name the host: as the probe will request it.
fn check_url(config: &GatewayConfig) -> Result<(), String> {
    // The other values are valid in every address; a missing port is another error.
    let placeholders = Placeholders {
        profile: "default",
        home: "/",
        host: &config.host,
        port: config.port.or(Some(80)),
        program: None,
    };
    let Ok(Some(url)) = config.filled_ready_url(&placeholders) else { return Ok(()) };
    url.parse::<ReadyUrl>().map(drop).map_err(|problem| problem.to_string())
}
