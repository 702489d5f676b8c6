//! What this process inherited from its supervisor: the one file of this crate that reads the environment.
//!
//! A library is passed what it decides on; but here this process is the gateway, and its environment is
//! what the supervision tree gave the gateway: the base that `.env` refers to, the socket of systemd, the
//! limit to return to.

use std::env;

use hermes_core::home::env as names;

/// The variable that names systemd's socket (sd_notify(3)).
pub(crate) const NOTIFY_SOCKET: &str = "NOTIFY_SOCKET";

/// The text of a variable that `${NAME}` in `.env` may refer to. An empty one is one, too.
pub(crate) fn variable(name: &str) -> Option<String> {
    env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}

/// Whether systemd waits for a notification.
pub(crate) fn has_systemd_socket() -> bool {
    env::var_os(NOTIFY_SOCKET).is_some()
}

/// The soft limit on descriptors that `hermes up` found; `None` outside of its tree.
pub(crate) fn descriptor_limit() -> Option<u64> {
    env::var_os(names::UP_NOFILE)?.to_str()?.parse().ok()
}
