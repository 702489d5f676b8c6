//! The environment inherited from the supervisor. The only file of this crate that reads it.
//!
//! Other libraries get their facts as parameters. But this process is the gateway, and the supervision tree
//! passes it facts in the environment: variables for `.env` to refer to, systemd's socket, and the
//! descriptor limit to restore.

use std::env;
use std::ffi::OsString;

use hermes_core::agent::Places;
use hermes_core::config::GatewayConfig;
use hermes_core::home::env as names;
use hermes_core::passwd;
use hermes_core::store::Profile;

/// The variable that names systemd's socket (sd_notify(3)).
pub(crate) const NOTIFY_SOCKET: &str = "NOTIFY_SOCKET";

/// A variable that `${NAME}` in `.env` may refer to. May be empty.
pub(crate) fn variable(name: &str) -> Option<String> {
    env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}

/// The names of the variables that begin with `start`.
pub(crate) fn names(start: &str) -> Vec<OsString> {
    let names = env::vars_os().map(|(name, _)| name);
    names.filter(|name| name.as_encoded_bytes().starts_with(start.as_bytes())).collect()
}

/// Whether systemd waits for a notification of readiness.
pub(crate) fn has_systemd_socket() -> bool {
    env::var_os(NOTIFY_SOCKET).is_some()
}

/// Where to look for the Python agent's program of `profile`, in the environment of this process.
pub fn places_of_agent<'a>(profile: &'a Profile, config: &'a GatewayConfig) -> Places<'a> {
    let variable = |name: &str| env::var_os(name);
    Places::of(&profile.home, config.program.as_deref(), passwd::home_dir(), variable)
}

/// The soft limit on descriptors before `hermes up` raised it; `None` outside of its tree.
pub(crate) fn descriptor_limit() -> Option<u64> {
    env::var_os(names::UP_NOFILE)?.to_str()?.parse().ok()
}
