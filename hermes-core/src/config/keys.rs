//! The names of our keys in `config.yaml`; every other key belongs to the Python agent.

/// The top-level key above our keys.
pub(super) const GATEWAY: &str = "gateway";

/// Our keys under [`GATEWAY`].
pub(super) const KEYS: [&str; 9] = [
    "host",
    "port",
    "command",
    "env",
    "ready_url",
    "liveness",
    "on_hang",
    "resources",
    "stop_timeout",
];

/// The top-level key above the keys for notices, in the root home's file.
pub(super) const NOTIFY: &str = "notify";

/// Our keys under [`NOTIFY`]. PyYAML reads a key `on` as a boolean.
pub(super) const NOTIFY_KEYS: [&str; 3] = ["command", "events", "timeout"];

/// The keys under `gateway.liveness`.
pub(super) const LIVENESS: [&str; 3] = ["interval", "timeout", "failures"];

/// The keys under `gateway.resources`.
pub(super) const RESOURCES: [&str; 4] = ["memory", "cpu", "tasks", "files"];
