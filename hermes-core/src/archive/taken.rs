//! What an archive takes of a home: the entries on a list, which are known to be safe and useful.
//!
//! People share archives, and an agent's home collects tokens, sessions and copies of them under ever new names. So
//! an export takes what is on [`TAKEN`] and reports everything else. Inside the listed directories it leaves out
//! secrets by name ([`super::secret`]). Exports and imports leave out traces, which only describe the process that
//! wrote them.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::error::Fault;
use super::path;
use super::secret::{is_secret, looks_secret, name};
use crate::home::{ProfileHome, RootHome};
use crate::name::ProfileName;

/// The entries of a home that an export takes, directories with their content: those of hermes-agent 0.19.0 that
/// make a profile what it is. Not on it, and why:
///
/// * credentials and sessions: `auth.json`, `gateway.json`, `honcho.json`, `mem0.json`, `slack_tokens.json`,
///   `google_*`, `mcp-tokens`, `hindsight`, `pairing`, `platforms` (WhatsApp's session, Matrix' keys);
/// * copies of all of them: `backups`, `state-snapshots`, `checkpoints`, `sandboxes`;
/// * `home`, the home directory of every program that the agent runs;
/// * what is made again: `cache`, `*_cache`, `bin`, `node`, `node_modules`, `hermes-agent`;
/// * what all profiles share: `kanban`, `profiles`, `projects.db`.
const TAKEN: &[&str] = &[
    ".cursorrules",
    ".no-bundled-skills",
    "AGENTS.md",
    "CLAUDE.md",
    "MEMORY.md",
    "SOUL.md",
    "USER.md",
    "channel_aliases.json",
    "channel_directory.json",
    "config.yaml",
    "cron",
    "dashboard-themes",
    "distribution.yaml",
    "feishu_comment_rules.json",
    "gateway_voice_mode.json",
    "hooks",
    "knowledge",
    "logs",
    "memories",
    "memory_store.db",
    "memory_store.db-shm",
    "memory_store.db-wal",
    "pets",
    "plans",
    "plugins",
    "preferences",
    "profile.yaml",
    "response_store.db",
    "response_store.db-shm",
    "response_store.db-wal",
    "scripts",
    "sessions",
    "skill-bundles",
    "skills",
    "skins",
    "state.db",
    "state.db-shm",
    "state.db-wal",
    "system_prompt.md",
    "todo.json",
    "workspace",
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
    // The gateway's lock, before it moved out of the home.
    "hermes-gateway.lock",
    "state/gateway.heartbeat",
    "state/gateway.lifecycle.json",
];

/// The name prefix of our temporary files directly in a home.
const TEMPORARY: &str = ".hermes-";

/// The kind of home to pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HomeKind {
    /// A profile's own home: all entries belong to the profile.
    Profile,
    /// The root home: some entries belong to the tree or to all profiles.
    Root,
}

/// An entry below a home that an export takes although it is not on the list, with everything below it. Secrets
/// below it stay out unless the path itself names one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Include(PathBuf);

impl Include {
    /// The path below the home.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Whether it names a secret, or an entry below one.
    fn names_secret(&self) -> bool {
        looks_secret(&self.0) || self.0.ancestors().any(is_secret)
    }
}

impl FromStr for Include {
    type Err = Fault;

    /// Refuses an absolute path and one with `..`.
    fn from_str(text: &str) -> Result<Self, Fault> {
        let names = path::names(text.as_bytes())?;
        match names.is_empty() {
            true => Err(Fault::LongName),
            false => Ok(Self(names.iter().collect())),
        }
    }
}

/// Why an entry of a home is not in its archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// It is a secret, or has the name of one.
    Secret,
    /// It is a trace of a running process.
    Trace,
    /// It is in the root home, but does not belong to the profile `default`.
    NotOwn,
    /// It is not on the list of entries that an export takes.
    Unlisted,
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
    /// Why it is left out.
    pub why: Why,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` ", self.path.display())?;
        match self.why {
            Why::Secret => f.write_str("is a secret"),
            Why::Trace => f.write_str("is a trace of a running process"),
            Why::NotOwn => f.write_str("does not belong to the profile"),
            Why::Unlisted => f.write_str("is not on the list of entries that an export takes"),
            Why::Special => f.write_str("is a device, a pipe or a socket"),
            Why::Refused(fault) => fault.fmt(f),
        }
    }
}

/// Why an export of a home of this kind leaves out the entry at `path` below it; `None` if it takes the entry. Of a
/// directory that leads to an entry of `include`, it takes no other entries for that.
pub(super) fn why_left_out(
    path: &Path,
    is_directory: bool,
    kind: HomeKind,
    include: &[Include],
) -> Option<Why> {
    if is_trace(path) {
        return Some(Why::Trace);
    }
    if kind == HomeKind::Root && belongs_to_tree(path) {
        return Some(Why::NotOwn);
    }
    let secret = path.ancestors().any(is_secret) || !is_directory && looks_secret(path);
    let covers = |it: &Include| path.starts_with(&it.0) && (!secret || it.names_secret());
    let leads_to = |it: &Include| it.0.starts_with(path) && is_directory;
    if include.iter().any(|it| covers(it) || leads_to(it)) {
        None
    } else if secret {
        Some(Why::Secret)
    } else if TAKEN.iter().any(|taken| path.starts_with(taken)) {
        None
    } else {
        Some(Why::Unlisted)
    }
}

/// Whether `path`, below a home, is a trace of a running process.
pub(super) fn is_trace(path: &Path) -> bool {
    let ours: ProfileHome = RootHome::new("").profile(&ProfileName::default_profile());
    let [pid, processes] = ours.stale_when_down();
    // The intent counts as one: an import sets its own.
    let of_gateway = [ours.fault(), ours.health(), ours.readiness(), ours.launchd_record()];
    let mut traces =
        [pid, processes, ours.intent(), ours.agent_state()].into_iter().chain(of_gateway);
    traces.any(|trace| trace == path)
        || TRACES.iter().any(|trace| Path::new(trace) == path)
        || path.parent() == Some(Path::new("")) && name(path).starts_with(TEMPORARY)
}

/// Whether `path`, below the root home, belongs to the tree or to other profiles.
fn belongs_to_tree(path: &Path) -> bool {
    let root = RootHome::new("");
    let logs = root.gateway_logs(&ProfileName::default_profile());
    // Rotated ones, too.
    let is_log =
        |log: PathBuf| path.parent() == log.parent() && name(path).starts_with(&*name(&log));
    let of_tree = [root.profiles(), root.active_profile(), root.owner_lock()];
    [root.boot_log(), root.events()].into_iter().any(is_log)
        || logs.parent() == Some(path)
        || of_tree.iter().any(|it| it == path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn include(paths: &[&str]) -> Vec<Include> {
        paths.iter().map(|path| path.parse().unwrap()).collect()
    }

    /// The paths that an export with these includes takes, each of a file.
    fn taken<'a>(paths: &[&'a str], included: &[&str]) -> Vec<&'a str> {
        let included = include(included);
        let is_taken = |path: &&&str| {
            let path = Path::new(path);
            let mut above = path.ancestors().skip(1).filter(|it| *it != Path::new(""));
            above.all(|it| why_left_out(it, true, HomeKind::Profile, &included).is_none())
                && why_left_out(path, false, HomeKind::Profile, &included).is_none()
        };
        paths.iter().filter(is_taken).copied().collect()
    }

    #[test]
    fn what_is_on_the_list_is_taken_and_nothing_else() {
        let listed = ["SOUL.md", "config.yaml", "cron/jobs.json", "skills/a/SKILL.md", "state.db"];
        assert_eq!(taken(&listed, &[]), listed);
        for path in [
            "auth.json.corrupt",
            "google_oauth_pending.json",
            "honcho.json",
            "gateway.json",
            "home/notes",
            "platforms/whatsapp/session/creds.json",
            "state-snapshots/1/x",
            "state.db.bak",
            "tomorrow.json",
        ] {
            assert_eq!(taken(&[path], &[]), [""; 0], "{path}");
            assert_eq!(taken(&[path], &[path]), [path]);
        }
    }

    #[test]
    fn an_include_takes_secrets_by_name_only() {
        let paths = ["home/notes", "home/.ssh/id", "home/.ssh/known", "home/token.json", "cache/x"];
        assert_eq!(taken(&paths, &["home"]), ["home/notes"]);
        assert_eq!(taken(&paths, &["./home/.ssh/"]), ["home/.ssh/id", "home/.ssh/known"]);
        assert_eq!(taken(&paths, &["home/.ssh/known"]), ["home/.ssh/known"]);
        assert_eq!(taken(&paths, &["home", "home/token.json"]), ["home/notes", "home/token.json"]);
        // A listed directory with a secret one in it.
        let paths = ["workspace/.ssh/id", "workspace/.ssh/known"];
        assert_eq!(taken(&paths, &["workspace/.ssh/id"]), ["workspace/.ssh/id"]);
        let session = "platforms/whatsapp/session/creds.json";
        assert_eq!(taken(&[session], &["platforms/whatsapp"]), [""; 0]);
        assert_eq!(taken(&[session], &["platforms/whatsapp/session"]), [session]);
        assert_eq!(taken(&["gateway.pid"], &["gateway.pid"]), [""; 0]);
        for bad in ["/etc", "..", "a/../b", "", ".", "a\nb"] {
            assert!(bad.parse::<Include>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn traces_are_left_out_directly_in_a_home() {
        for path in [
            "gateway.pid",
            "hermes-gateway.lock",
            "gateway.intent",
            "gateway.launchd",
            "gateway.ready",
            "gateway.health",
            ".hermes-Ab3",
            "cron/.tick.lock",
        ] {
            assert!(is_trace(Path::new(path)), "{path}");
        }
        for path in ["workspace/gateway.pid", "a/.hermes-x", "state.db-wal"] {
            assert!(!is_trace(Path::new(path)), "{path}");
        }
    }

    #[test]
    fn some_entries_of_the_root_home_belong_to_the_tree() {
        let why = |path: &str, kind| why_left_out(Path::new(path), false, kind, &include(&[path]));
        for path in ["SOUL.md", "logs", "logs/agent.log", "notes.txt"] {
            assert_eq!(why(path, HomeKind::Root), None, "{path}");
        }
        for path in [
            "profiles",
            "active_profile",
            "logs/gateways",
            "logs/container-boot.log.1",
            "logs/events.jsonl",
        ] {
            assert_eq!(why(path, HomeKind::Root), Some(Why::NotOwn), "{path}");
            assert_eq!(why(path, HomeKind::Profile), None, "{path}");
        }
    }
}
