//! All that Hermes answers for in a test environment, as lines that two moments can be compared by: what is
//! in the home and in the scan directory, and which processes run, under whom.
//!
//! Read from the file system and from /proc, not by way of the product. What tells times, numbers of
//! processes or how often something happened is left out.

use std::collections::BTreeMap;
use std::fs::{self, FileType};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::TestEnv;

/// Files whose text counts, wherever they are; of all others that they are there, and their mode.
const TELLING: [&str; 9] = [
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
/// What comes and goes with the lives of gateways and supervisors, below a directory called so.
const LIVELY: [(&str, &str); 8] = [
    ("supervise", "lock"),
    ("supervise", "status"),
    ("supervise", "death_tally"),
    ("data", "since"),
    ("data", "asked-for"),
    ("data", "backoff"),
    ("service", ".s6-svscan"),
    ("service", ".hermes.booted"),
];
/// Directories whose content is not ours to tell.
const CLOSED: [&str; 2] = ["gateways", ".s6-svscan"];

/// What there is in a test environment, line by line.
#[derive(Clone, PartialEq, Eq)]
pub struct Snapshot(Vec<String>);

impl Snapshot {
    /// What is there now.
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

    /// What is here and not in `other` with a `+`, and the other way round with a `-`.
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
    // What goes while it is looked at is not there.
    let Ok(entries) = fs::read_dir(directory) else { return };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let inside = |parent: &str| directory.ends_with(parent);
        // s6 removes listeners that have no reader any more, at its next event.
        let listener = inside("event") && name.starts_with("ftrig1:");
        let lively = LIVELY.iter().any(|(parent, file)| inside(parent) && name == *file);
        if listener || lively || name == "hermes-gateway.lock" {
            continue;
        }
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        let short = short(env, &path);
        let mode = metadata.permissions().mode() & 0o7777;
        let text = TELLING.contains(&name.as_str()).then(|| fs::read_to_string(&path).ok());
        let text = text.flatten().map_or_else(String::new, |text| format!(" {text:?}"));
        lines.push(format!("{short} {} {mode:o}{text}", kind(metadata.file_type())));
        if metadata.is_dir() && !inside(CLOSED[0]) && !inside(CLOSED[1]) {
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

/// The processes of a test environment, each with those that started it.
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
    let told: BTreeMap<u64, _> =
        pids.into_iter().filter_map(|pid| Some((pid, line(pid)?))).collect();
    let told_of = |pid: &u64| {
        let (words, place) = &told[pid];
        let above = parent(*pid).and_then(|parent| told.get(&parent));
        let above = above.map_or_else(String::new, |(words, _)| format!(", of {words}"));
        format!("process {words} in {place}{above}")
    };
    told.keys().map(told_of).collect()
}
