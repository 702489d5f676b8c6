//! Writes `logs/container-boot.log`: one line per profile at a tree's first boot, and one per change later.
//!
//! The file is rotated at 256 KiB to `.1`. A mark file in the scan directory names the s6-svscan of the first
//! boot, because a restarted container may keep its scan directory but gets a new s6-svscan.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use fs_err as fs;
use hermes_core::process_lock::Holder;
use hermes_core::reconcile::{Action, Outcome};
use hermes_core::{fsutil, writers};
use jiff::Timestamp;

use crate::slot::layout::FILE_MODE;
use crate::tree::Tree;

const ROTATE_AT: u64 = 256 * 1024;
/// The mark file: the s6-svscan of the first boot, and the boot's duration in milliseconds.
const MARK: &str = ".hermes.booted";

/// Appends a line per outcome: at the first boot for all, later for those that changed something.
pub(crate) fn write(
    tree: &Tree,
    svscan: Holder,
    outcomes: &[Outcome],
    took: Duration,
) -> io::Result<()> {
    let first = took_under(tree, svscan)?.is_none();
    let now = Timestamp::now();
    let profiles = outcomes.iter().map(|outcome| outcome.action.profile()).enumerate();
    let last: BTreeMap<_, _> = profiles.filter_map(|(i, profile)| Some((profile?, i))).collect();
    // Apart from renames, a successful action followed by another of the same profile has no line.
    let prepares = |i: usize| {
        let Outcome { action, error, .. } = &outcomes[i];
        let renames = matches!(action, Action::FinishRename { .. } | Action::UndoRename { .. });
        let later = action.profile().is_some_and(|profile| last[profile] > i);
        error.is_none() && !renames && later
    };
    let lines: String = outcomes
        .iter()
        .enumerate()
        .filter(|(i, outcome)| (first || outcome.action.changes_something()) && !prepares(*i))
        .map(|(_, outcome)| line(now, outcome))
        .collect();
    if !lines.is_empty() {
        append(&tree.root.boot_log(), &lines)?;
    }
    if first {
        let mark = tree.scandir.path().join(MARK);
        let text = format!("{}{}\n", tree.identity_of(svscan), took.as_millis());
        fsutil::write_durably(&mark, text.as_bytes(), FILE_MODE)?;
    }
    Ok(())
}

/// The duration of the first boot under this s6-svscan; `None` before that.
pub(crate) fn took_under(tree: &Tree, svscan: Holder) -> io::Result<Option<Duration>> {
    let mark = tree.scandir.path().join(MARK);
    let text = fsutil::read_if_there(&mark)?.unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let took = text.strip_prefix(&tree.identity_of(svscan));
    Ok(took.map(|took| Duration::from_millis(took.trim().parse().unwrap_or_default())))
}

fn append(path: &Path, lines: &str) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        writers::create_log_directory(directory)?;
    }
    if fs::metadata(path).is_ok_and(|metadata| metadata.len() >= ROTATE_AT) {
        fs::rename(path, path.with_added_extension("1"))?;
    }
    writers::append_to_log(path)?.write_all(lines.as_bytes())
}

fn line(now: Timestamp, outcome: &Outcome) -> String {
    let (verb, detail) = outcome.action.record();
    let (verb, detail) = match &outcome.error {
        Some(error) => ("failed", error.as_str()),
        None => (verb, detail.as_str()),
    };
    let profile = outcome.action.profile().map_or("-", |profile| profile.as_str());
    let prior = outcome.prior.map_or_else(|| "unknown".to_owned(), |prior| prior.to_string());
    let mut line = format!("{now} profile={profile} prior={prior} action={verb} detail=");
    // A detail may quote a file name, and a newline in that must not start a new line.
    let _ = writeln!(line, "\"{}\"", detail.escape_debug());
    line
}

#[cfg(test)]
mod tests {
    use hermes_core::Intent;

    use super::*;

    #[test]
    fn an_outcome_is_one_line() {
        let skip = Action::Skip { what: "/p/a\nprofile=x".into(), detail: "bad".into() };
        let start = Action::Start { profile: "coder".parse().unwrap() };
        let outcomes = [
            Outcome { action: skip, prior: None, error: None },
            Outcome { action: start, prior: Some(Intent::Running), error: Some("no".into()) },
        ];
        let lines: String =
            outcomes.iter().map(|outcome| line(Timestamp::UNIX_EPOCH, outcome)).collect();
        insta::assert_snapshot!(lines, @r#"
        1970-01-01T00:00:00Z profile=- prior=unknown action=skipped detail="/p/a\nprofile=x: bad"
        1970-01-01T00:00:00Z profile=coder prior=running action=failed detail="no"
        "#);
    }

    #[test]
    fn a_full_log_is_rotated() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("logs/boot.log");
        append(&path, &"x".repeat(ROTATE_AT as usize)).unwrap();
        append(&path, "new\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new\n");
        let old = fs::metadata(dir.path().join("logs/boot.log.1")).unwrap();
        assert_eq!(old.len(), ROTATE_AT);
    }
}
