//! The files of homes, byte by byte, without those that the agent itself writes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// What is below a root home, by its path there: the mode, and the content of a file or the target of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written(BTreeMap<PathBuf, (u32, Vec<u8>)>);

/// Beginnings of the paths, below the home of a profile, that the agent's gateway and commands write while it runs: its
/// databases with their journals, its own state and locks, and its logs.
const AGENTS: [&str; 17] = [
    ".clean_shutdown",
    ".tirith-install-failed",
    "bin",
    "channel_directory.json",
    "cron",
    "gateway-starts.log",
    "gateway.lock",
    "gateway.pid",
    "gateway_state.json",
    "kanban",
    "logs/agent.log",
    "logs/errors.log",
    "logs/gateway-",
    "logs/gateway.log",
    "response_store.db",
    "sandboxes",
    "state",
];

impl Written {
    /// The files below `root`.
    pub fn below(root: &Path) -> Self {
        let mut found = BTreeMap::new();
        walk(root, Path::new(""), &mut found);
        Self(found)
    }

    /// What differs, and what only one of both has.
    pub fn differences(&self, other: &Self) -> BTreeSet<PathBuf> {
        let all = self.0.keys().chain(other.0.keys());
        all.filter(|path| self.0.get(*path) != other.0.get(*path)).cloned().collect()
    }
}

fn walk(root: &Path, below: &Path, found: &mut BTreeMap<PathBuf, (u32, Vec<u8>)>) {
    for entry in fs::read_dir(root.join(below)).expect("a directory") {
        let path = below.join(entry.expect("an entry").file_name());
        let Ok(metadata) = fs::symlink_metadata(root.join(&path)) else { continue };
        let home = path.strip_prefix("profiles").map_or(&*path, |below| {
            below.strip_prefix(below.iter().next().unwrap_or_default()).unwrap_or(below)
        });
        let text = home.to_str().expect("UTF-8");
        if AGENTS.iter().any(|agents| text.starts_with(agents)) {
            continue;
        }
        let content = if metadata.is_dir() {
            walk(root, &path, found);
            Vec::new()
        } else if metadata.is_symlink() {
            let target = fs::read_link(root.join(&path)).unwrap_or_default();
            target.into_os_string().into_encoded_bytes()
        } else {
            fs::read(root.join(&path)).unwrap_or_default()
        };
        found.insert(path, (metadata.permissions().mode(), content));
    }
}
