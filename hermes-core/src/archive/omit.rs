//! What an archive doesn't carry: secrets, and tracker of a running process.
//!
//! Secrets stay out because an archive is what people give to each other. ProcessTracker stay out, and are
//! not taken from an archive either, because they are only true of the process that left them.

use std::fmt;
use std::path::{Path, PathBuf};

use super::error::Fault;
use crate::home::{ProfileHome, RootHome};
use crate::name::ProfileName;

/// Secrets, by name, wherever they lie: the agent's own, and what programs that it runs leave in
/// the home directory they are given.
const SECRET_NAMES: &[&str] = &[
    ".env",
    // The agent's keys and tokens, for itself and for services it signs in to.
    "auth.json",
    ".anthropic_oauth.json",
    "google_client_secret.json",
    "google_token.json",
    "mcp-tokens",
    // Has the keys that callers sign with.
    "webhook_subscriptions.json",
    // Where programs for people keep keys and passwords.
    ".aws",
    ".azure",
    ".bash_history",
    ".credentials.json",
    ".docker",
    ".git-credentials",
    ".gnupg",
    ".kube",
    ".netrc",
    ".npmrc",
    ".pgpass",
    ".psql_history",
    ".pypirc",
    ".python_history",
    ".ssh",
    ".zsh_history",
    "credentials",
    "credentials.json",
    "credentials.toml",
    "rclone.conf",
];

/// Copies of `.env` are as secret, whatever is added to the name.
const SECRET_PREFIX: &str = ".env";
/// Other programs' files of that kind.
const SECRET_SUFFIX: &str = ".env";
/// What only looks like one.
const NO_SECRETS: &[&str] = &[".env.example", ".env.sample", ".env.template", ".envrc"];

/// Secrets by their place in a home, or in a home directory inside of it.
const SECRET_PATHS: &[&str] = &[
    ".config/gcloud",
    ".config/gh",
    // Who may talk to the agent: whoever imports it would let in the people its maker let in.
    "pairing",
    "platforms/pairing",
    // The session of a messenger, which is as good as its password.
    "whatsapp/session",
];

/// What the Python agent's processes leave in a home while they run, below it.
const TRACES: &[&str] = &[
    ".clean_shutdown",
    ".gateway-planned-stop.json",
    "auth.lock",
    "cron/.jobs.lock",
    "cron/.tick.lock",
    "gateway-starts.log",
    "gateway.lock",
    "gateway.pid.takeover",
    "state/gateway.heartbeat",
    "state/gateway.lifecycle.json",
];

/// How temporary files of ours begin, right in a home.
const TEMPORARY: &str = ".hermes-";

/// The entries of the root home that are the profile `default`'s. All others are some tree's, or
/// somebody's: the root home may be a user's home directory or a volume with anything in it.
const DEFAULTS_OWN: &[&str] = &[
    ".cursorrules",
    ".no-bundled-skills",
    "AGENTS.md",
    "CLAUDE.md",
    "MEMORY.md",
    "SOUL.md",
    "USER.md",
    "channel_directory.json",
    "config.yaml",
    "cron",
    "desktop.json",
    "distribution.yaml",
    "home",
    "hooks",
    "knowledge",
    "logs",
    "memories",
    "plans",
    "plugins",
    "preferences",
    "profile.yaml",
    "response_store.db",
    "response_store.db-shm",
    "response_store.db-wal",
    "scripts",
    "sessions",
    "skills",
    "skins",
    "state",
    "state.db",
    "state.db-shm",
    "state.db-wal",
    "system_prompt.md",
    "todo.json",
    "workspace",
];

/// Whose home is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// A profile's, and all in it is its own.
    Own,
    /// The root home, of which the profile `default` has some entries.
    Root,
}

/// Why an entry of a home is not in its archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It is a secret.
    Secret,
    /// It is only true of the process that left it.
    Trace,
    /// It belongs to the root home and not to the profile `default`.
    NotOwn,
    /// It is a socket, a pipe or a device.
    Special,
    /// An import would refuse it.
    Refused(Fault),
}

/// An entry of a home that is not in its archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Where it is, below the home.
    pub path: PathBuf,
    /// Why.
    pub why: Why,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` ", self.path.display())?;
        match self.why {
            Why::Secret => f.write_str("is a secret"),
            Why::Trace => f.write_str("means nothing in any other place"),
            Why::NotOwn => f.write_str("is not the profile's own"),
            Why::Special => f.write_str("is a device, a pipe or a socket"),
            Why::Refused(fault) => fault.fmt(f),
        }
    }
}

/// Why the entry at `path` below a home of `whose` is not exported, if it is not.
pub(super) fn why_not(path: &Path, whose: Whose) -> Option<Why> {
    if is_trace(path) {
        Some(Why::Trace)
    } else if is_secret(path) {
        Some(Why::Secret)
    } else if whose == Whose::Root && !is_defaults_own(path) {
        Some(Why::NotOwn)
    } else {
        None
    }
}

/// Whether `path` is a file that only the maker of the archive had a use for.
pub(super) fn is_trace(path: &Path) -> bool {
    let ours: ProfileHome = RootHome::new("").profile(&ProfileName::default_profile());
    let [pid, processes] = ours.stale_when_down();
    // What the operator wants of a gateway is not carried: an imported profile begins anew.
    let of_gateway = [ours.gateway_lock(), ours.fault(), ours.readiness(), ours.launchd_record()];
    let tracker =
        [pid, processes, ours.intent(), ours.legacy_state()].into_iter().chain(of_gateway);
    tracker.into_iter().any(|trace| trace == path)
        || TRACES.iter().any(|trace| Path::new(trace) == path)
        || is_top(path) && name(path).starts_with(TEMPORARY)
}

/// Whether nobody but its owner may read the file at `path`.
pub(super) fn is_secret(path: &Path) -> bool {
    let name = name(path);
    SECRET_NAMES.contains(&&*name)
        || !NO_SECRETS.contains(&&*name)
            && (name.starts_with(SECRET_PREFIX) || name.ends_with(SECRET_SUFFIX))
        || SECRET_PATHS.iter().any(|secret| {
            let below = path.strip_prefix("home").unwrap_or(path);
            below == Path::new(secret)
        })
}

fn is_defaults_own(path: &Path) -> bool {
    let root = RootHome::new("");
    let logs = root.gateway_logs(&ProfileName::default_profile());
    // The agent's own logs lie beside those of the tree: its gateways', its boots'.
    let trees = logs.parent() == Some(path)
        || path.parent() == root.boot_log().parent()
            && name(path).starts_with(&*name(&root.boot_log()));
    !trees && (!is_top(path) || DEFAULTS_OWN.contains(&&*name(path)))
}

fn is_top(path: &Path) -> bool {
    path.parent() == Some(Path::new(""))
}

fn name(path: &Path) -> std::borrow::Cow<'_, str> {
    path.file_name().unwrap_or_default().to_string_lossy()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(path: &str, whose: Whose) -> Option<Why> {
        why_not(Path::new(path), whose)
    }

    #[test]
    fn secrets_stay_out_wherever_they_lie() {
        for path in [".env", "a/b/.env", ".env.bak", "auth.json", "home/.ssh", "mcp-tokens"] {
            assert_eq!(why(path, Whose::Own), Some(Why::Secret), "{path}");
        }
        for path in [".env~", ".env_old", "a/prod.env", "home/.claude/.credentials.json"] {
            assert_eq!(why(path, Whose::Own), Some(Why::Secret), "{path}");
        }
        for path in ["pairing", "platforms/pairing", "home/.config/gh", ".config/gh"] {
            assert_eq!(why(path, Whose::Own), Some(Why::Secret), "{path}");
        }
        for path in [
            "env",
            ".envrc",
            ".env.example",
            "skills/pairing",
            "config.yaml",
            "workspace/x/Cargo.lock",
        ] {
            assert_eq!(why(path, Whose::Own), None, "{path}");
        }
    }

    #[test]
    fn traces_are_those_of_this_home_alone() {
        for path in [
            "gateway.pid",
            "hermes-gateway.lock",
            "gateway.intent",
            "gateway.launchd",
            "gateway.ready",
            ".hermes-Ab3",
            "cron/.tick.lock",
        ] {
            assert_eq!(why(path, Whose::Own), Some(Why::Trace), "{path}");
        }
        for path in ["workspace/gateway.pid", "a/.hermes-x", "state.db-wal"] {
            assert_eq!(why(path, Whose::Own), None, "{path}");
        }
    }

    #[test]
    fn default_has_some_entries_of_the_root_home() {
        for path in ["SOUL.md", "logs", "logs/agent.log", "skills/anything", "cron/jobs.json"] {
            assert_eq!(why(path, Whose::Root), None, "{path}");
        }
        for path in
            ["profiles", "active_profile", "logs/gateways", "logs/container-boot.log.1", "bin"]
        {
            assert_eq!(why(path, Whose::Root), Some(Why::NotOwn), "{path}");
            assert_eq!(why(path, Whose::Own), None, "{path}");
        }
    }
}
