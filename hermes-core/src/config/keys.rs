//! The names of our keys in `config.yaml`; every other key belongs to the Python agent.

/// The top-level key above our keys.
pub(super) const GATEWAY: &str = "gateway";

/// Our keys under [`GATEWAY`].
pub(super) const KEYS: [&str; 6] = ["host", "port", "command", "env", "ready_url", "stop_timeout"];
