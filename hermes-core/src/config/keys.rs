//! The names of our keys in `config.yaml`; every other key belongs to the Python agent.

/// The top-level key above our keys.
pub(super) const GATEWAY: &str = "gateway";

/// Our keys under [`GATEWAY`]. Only the first two are not [`SHARED`].
pub(super) const KEYS: [&str; 13] = [
    DEFAULTS,
    "port",
    "kind",
    "program",
    "topology",
    "host",
    "command",
    "env",
    "ready_url",
    "liveness",
    "on_hang",
    "resources",
    "stop_timeout",
];

/// The key under [`GATEWAY`], in the root home's file, with the keys that hold for every profile.
pub(super) const DEFAULTS: &str = "defaults";

/// Our keys under [`DEFAULTS`]: those that two profiles can share.
pub(super) const SHARED: &[&str] = KEYS.split_at(2).1;

/// The top-level key above the keys for notices, in the root home's file.
pub(super) const NOTIFY: &str = "notify";

/// Our keys under [`NOTIFY`]. PyYAML reads a key `on` as a boolean.
pub(super) const NOTIFY_KEYS: [&str; 3] = ["command", "events", "timeout"];

/// The keys under `gateway.liveness`.
pub(super) const LIVENESS: [&str; 3] = ["interval", "timeout", "failures"];

/// The keys under `gateway.resources`.
pub(super) const RESOURCES: [&str; 4] = ["memory", "cpu", "tasks", "files"];

/// The agent's own keys that decide whether and where its API server listens.
pub(super) mod agent {
    /// The version of the agent's configuration, which its commands write.
    pub(in super::super) const VERSION: &str = "_config_version";
    /// The platforms, at the top level and under `gateway`.
    pub(in super::super) const PLATFORMS: &str = "platforms";
    /// The platform with the address.
    pub(in super::super) const API_SERVER: &str = "api_server";
    /// The port, at the top level and among the variables of the gateway.
    pub(crate) const PORT: &str = "API_SERVER_PORT";
    /// The start of the names of the top-level keys that the agent reads like variables of its environment.
    pub(in super::super) const VARIABLES: &str = "API_SERVER_";
}
