//! The entries that an archive omits: secrets, and traces of a running process.
//!
//! An export omits secrets because people share archives. Exports and imports omit traces, because they
//! only describe the process that wrote them.

use std::fmt;
use std::path::{Path, PathBuf};

use super::error::Fault;
use crate::home::{ProfileHome, RootHome};
use crate::name::ProfileName;

/// Secrets by name, in any directory: those of the agent, and those of programs that it runs with the
/// profile's `home` as their home directory.
const SECRET_NAMES: &[&str] = &[
    ".env",
    // Keys and tokens of the agent.
    "auth.json",
    ".anthropic_oauth.json",
    "google_client_secret.json",
    "google_token.json",
    "mcp-tokens",
    // The keys that callers sign with.
    "webhook_subscriptions.json",
    // Keys, passwords and histories of other programs.
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

/// Copies of `.env`, such as `.env.bak`.
const SECRET_PREFIX: &str = ".env";
/// Environment files of other programs, such as `prod.env`.
const SECRET_SUFFIX: &str = ".env";
/// Names with that prefix that are not secrets.
const NO_SECRETS: &[&str] = &[".env.example", ".env.sample", ".env.template", ".envrc"];

/// Secrets by their path below a profile's home, or below the `home` directory in it.
const SECRET_PATHS: &[&str] = &[
    ".config/gcloud",
    ".config/gh",
    // The people who may talk to the agent: they must not get access to an imported copy.
    "pairing",
    "platforms/pairing",
    // A session gives the same access as a password.
    "whatsapp/session",
];

/// Traces of the Python agent's processes, by their path below a home.
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

/// The name prefix of our temporary files directly in a home.
const TEMPORARY: &str = ".hermes-";

/// The entries of the root home that belong to the profile `default`. Others may belong to a tree or to
/// the user: the root home may be a home directory or a volume with any content.
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

/// The kind of home to pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HomeKind {
    /// A profile's own home: all entries belong to the profile.
    Profile,
    /// The root home: some entries belong to the profile `default`.
    Root,
}

/// Why an entry of a home is not in its archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// It is a secret.
    Secret,
    /// It is a trace of a running process.
    Trace,
    /// It is in the root home, but does not belong to the profile `default`.
    NotOwn,
    /// It is a socket, a pipe or a device.
    Special,
    /// An import would refuse it.
    Refused(Fault),
}

/// An entry of a home that is not in its archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Its path below the home.
    pub path: PathBuf,
    /// Why it is omitted.
    pub why: Why,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` ", self.path.display())?;
        match self.why {
            Why::Secret => f.write_str("is a secret"),
            Why::Trace => f.write_str("is a trace of a running process"),
            Why::NotOwn => f.write_str("does not belong to the profile"),
            Why::Special => f.write_str("is a device, a pipe or a socket"),
            Why::Refused(fault) => fault.fmt(f),
        }
    }
}

/// Why an export of a home of this kind omits the entry at `path` below it; `None` if it does not.
pub(super) fn why_omitted(path: &Path, kind: HomeKind) -> Option<Why> {
    if is_trace(path) {
        Some(Why::Trace)
    } else if is_secret(path) {
        Some(Why::Secret)
    } else if kind == HomeKind::Root && !belongs_to_default(path) {
        Some(Why::NotOwn)
    } else {
        None
    }
}

/// Whether `path`, below a home, is a trace of a running process.
pub(super) fn is_trace(path: &Path) -> bool {
    let ours: ProfileHome = RootHome::new("").profile(&ProfileName::default_profile());
    let [pid, processes] = ours.stale_when_down();
    // The intent counts as one: an import sets its own.
    let of_gateway = [ours.gateway_lock(), ours.fault(), ours.readiness(), ours.launchd_record()];
    let mut traces =
        [pid, processes, ours.intent(), ours.legacy_state()].into_iter().chain(of_gateway);
    traces.any(|trace| trace == path)
        || TRACES.iter().any(|trace| Path::new(trace) == path)
        || is_top(path) && name(path).starts_with(TEMPORARY)
}

/// Whether `path`, below a home, is a secret.
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

fn belongs_to_default(path: &Path) -> bool {
    let root = RootHome::new("");
    let logs = root.gateway_logs(&ProfileName::default_profile());
    // The tree keeps its logs, of gateways and of boots, beside the agent's.
    let belongs_to_tree = logs.parent() == Some(path)
        || path.parent() == root.boot_log().parent()
            && name(path).starts_with(&*name(&root.boot_log()));
    !belongs_to_tree && (!is_top(path) || DEFAULTS_OWN.contains(&&*name(path)))
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

    fn why(path: &str, kind: HomeKind) -> Option<Why> {
        why_omitted(Path::new(path), kind)
    }

    #[test]
    fn secrets_stay_out_wherever_they_lie() {
        for path in [".env", "a/b/.env", ".env.bak", "auth.json", "home/.ssh", "mcp-tokens"] {
            assert_eq!(why(path, HomeKind::Profile), Some(Why::Secret), "{path}");
        }
        for path in [".env~", ".env_old", "a/prod.env", "home/.claude/.credentials.json"] {
            assert_eq!(why(path, HomeKind::Profile), Some(Why::Secret), "{path}");
        }
        for path in ["pairing", "platforms/pairing", "home/.config/gh", ".config/gh"] {
            assert_eq!(why(path, HomeKind::Profile), Some(Why::Secret), "{path}");
        }
        for path in [
            "env",
            ".envrc",
            ".env.example",
            "skills/pairing",
            "config.yaml",
            "workspace/x/Cargo.lock",
        ] {
            assert_eq!(why(path, HomeKind::Profile), None, "{path}");
        }
    }

    #[test]
    fn traces_are_omitted_directly_in_a_home() {
        for path in [
            "gateway.pid",
            "hermes-gateway.lock",
            "gateway.intent",
            "gateway.launchd",
            "gateway.ready",
            ".hermes-Ab3",
            "cron/.tick.lock",
        ] {
            assert_eq!(why(path, HomeKind::Profile), Some(Why::Trace), "{path}");
        }
        for path in ["workspace/gateway.pid", "a/.hermes-x", "state.db-wal"] {
            assert_eq!(why(path, HomeKind::Profile), None, "{path}");
        }
    }

    #[test]
    fn some_entries_of_the_root_home_belong_to_default() {
        for path in ["SOUL.md", "logs", "logs/agent.log", "skills/anything", "cron/jobs.json"] {
            assert_eq!(why(path, HomeKind::Root), None, "{path}");
        }
        for path in
            ["profiles", "active_profile", "logs/gateways", "logs/container-boot.log.1", "bin"]
        {
            assert_eq!(why(path, HomeKind::Root), Some(Why::NotOwn), "{path}");
            assert_eq!(why(path, HomeKind::Profile), None, "{path}");
        }
    }
}
