//! The state of a test environment as comparable lines: the files in the home and the scan directory, and the
//! processes with their parents.
//!
//! Read from the file system and from /proc, not through Hermes. Times, process ids and counters are left out.

use std::collections::BTreeMap;
use std::fs::{self, FileType};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::TestEnv;

/// Files whose content is compared; of all others only existence and mode.
const WITH_CONTENT: [&str; 9] = [
    "gateway.intent",
    "active_profile",
    "config.yaml",
    "run",
    "finish",
    "timeout-kill",
    "profile",
    "generation",
    "type",
];
/// Files that come and go while gateways and supervisors run, with their directories, and the journal of events.
const TRANSIENT: [(&str, &str); 9] = [
    ("logs", "events.jsonl"),
    ("supervise", "lock"),
    ("supervise", "status"),
    ("supervise", "death_tally"),
    ("data", "since"),
    ("data", "deaths"),
    ("data", "backoff"),
    ("service", ".s6-svscan"),
    ("service", ".hermes.booted"),
];
/// Directories whose content is not compared.
const OPAQUE: [&str; 2] = ["gateways", ".s6-svscan"];

/// The state of a test environment, in lines.
#[derive(Clone, PartialEq, Eq)]
pub struct Snapshot(Vec<String>);

impl Snapshot {
    /// The current state.
    pub fn of(env: &TestEnv) -> Self {
        let mut lines = Vec::new();
        for root in [env.home(), env.scandir()] {
            walk(env, &root, &mut lines);
        }
        lines.extend(processes(env));
        lines.sort();
        Self(lines)
    }

    /// The lines that contain `word`.
    pub fn lines_with(&self, word: &str) -> Vec<&str> {
        self.0.iter().map(String::as_str).filter(|line| line.contains(word)).collect()
    }

    /// The lines that only `self` has, with a `+`, and those that only `other` has, with a `-`.
    pub fn difference(&self, other: &Self) -> String {
        let only = |sign: char, these: &Self, those: &Self| {
            let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
            those.0.iter().for_each(|line| *counts.entry(line).or_default() += 1);
            let mut text = String::new();
            for line in &these.0 {
                match counts.get_mut(line.as_str()).filter(|count| **count > 0) {
                    Some(count) => *count -= 1,
                    None => text.push_str(&format!("{sign} {line}\n")),
                }
            }
            text
        };
        only('-', other, self) + &only('+', self, other)
    }
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

fn walk(env: &TestEnv, directory: &Path, lines: &mut Vec<String>) {
    // The directory may disappear meanwhile.
    let Ok(entries) = fs::read_dir(directory) else { return };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let inside = |parent: &str| directory.ends_with(parent);
        // s6 removes listeners without a reader at its next event.
        let listener = inside("event") && name.starts_with("ftrig1:");
        let transient = TRANSIENT.iter().any(|(parent, file)| inside(parent) && name == *file);
        if listener || transient || name == ".gateways" {
            continue;
        }
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        let short = short(env, &path);
        let mode = metadata.permissions().mode() & 0o7777;
        let text = WITH_CONTENT.contains(&name.as_str()).then(|| fs::read_to_string(&path).ok());
        let text = text.flatten().map_or_else(String::new, |text| format!(" {text:?}"));
        lines.push(format!("{short} {} {mode:o}{text}", kind(metadata.file_type())));
        if metadata.is_dir() && !inside(OPAQUE[0]) && !inside(OPAQUE[1]) {
            walk(env, &path, lines);
        }
    }
}

fn kind(kind: FileType) -> &'static str {
    match kind {
        kind if kind.is_dir() => "dir",
        kind if kind.is_file() => "file",
        kind if kind.is_fifo() => "fifo",
        kind if kind.is_symlink() => "link",
        _ => "other",
    }
}

fn short(env: &TestEnv, path: &Path) -> String {
    path.strip_prefix(env.path()).unwrap_or(path).display().to_string()
}

/// The processes of a test environment, each with its parent.
fn processes(env: &TestEnv) -> Vec<String> {
    let pids = crate::processes_naming(&env.path().to_string_lossy());
    let line = |pid: u64| {
        let text = fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
        let words = text.trim_end_matches('\0').replace('\0', " ");
        let words = words.replace(&env.path().display().to_string(), "W");
        let place: Option<PathBuf> = fs::read_link(format!("/proc/{pid}/cwd")).ok();
        let place = place.map_or_else(String::new, |place| short(env, &place));
        (!words.is_empty()).then_some((words, place))
    };
    let parent = |pid: u64| -> Option<u64> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
    };
    let lines: BTreeMap<u64, _> =
        pids.into_iter().filter_map(|pid| Some((pid, line(pid)?))).collect();
    let describe = |pid: &u64| {
        let (words, place) = &lines[pid];
        let above = parent(*pid).and_then(|parent| lines.get(&parent));
        let above = above.map_or_else(String::new, |(words, _)| format!(", of {words}"));
        format!("process {words} in {place}{above}")
    };
    lines.keys().map(describe).collect()
}
