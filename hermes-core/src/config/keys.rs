//! The names of our keys in `config.yaml`; every other key belongs to the Python agent.

/// The top-level key above our keys.
pub(super) const GATEWAY: &str = "gateway";

/// Our keys under [`GATEWAY`].
pub(super) const KEYS: [&str; 8] =
    ["host", "port", "command", "env", "ready_url", "liveness", "on_hang", "stop_timeout"];

/// The keys under `gateway.liveness`.
pub(super) const LIVENESS: [&str; 3] = ["interval", "timeout", "failures"];
