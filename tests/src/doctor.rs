//! Runs `hermes doctor` in a test environment, and its remedies.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::programs::hermes_program;
use crate::{Outcome, TestEnv, eventually, is_root};

/// A finding, as printed for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrintedFinding {
    /// `error` or `warning`.
    pub severity: String,
    /// The problem.
    pub problem: String,
    /// The remedy.
    pub remedy: String,
}

/// The findings of `doctor` for the check `check`.
#[track_caller]
pub fn printed_findings(env: &TestEnv, check: &str) -> Vec<PrintedFinding> {
    let outcome = env.hermes(["doctor"]).run();
    let (mut found, mut lines) = (Vec::new(), outcome.stdout.lines());
    while let Some(line) = lines.next() {
        for severity in ["error", "warning"] {
            let Some(problem) = line.strip_prefix(&format!("{severity}: {check}: ")) else {
                continue;
            };
            let remedy = lines.next().and_then(|line| line.strip_prefix("  fix: "));
            let remedy = remedy.unwrap_or_else(|| panic!("no fix: {outcome}")).to_owned();
            let (severity, problem) = (severity.to_owned(), problem.to_owned());
            found.push(PrintedFinding { severity, problem, remedy });
        }
    }
    agrees(env, check, &found, &outcome);
    found
}

/// Checks that the output for people and the JSON agree, and that errors alone decide the exit code. Outside of
/// `check` the two may differ: a gateway may have come up in between.
#[track_caller]
fn agrees(env: &TestEnv, check: &str, found: &[PrintedFinding], outcome: &Outcome) {
    let errors = outcome.stdout.lines().any(|line| line.starts_with("error: "));
    assert_eq!(outcome.code(), Some(i32::from(errors)), "{outcome}");
    let as_json = env.hermes(["doctor", "--json"]).run();
    let report = as_json.json();
    let findings = report["findings"].as_array().expect("findings");
    let same = findings.iter().filter(|finding| finding["check"] == check).count();
    assert_eq!(same, found.len(), "{check}: {outcome}\n{report:#}");
    let entry = report["checks"].as_array().expect("checks").iter().find(|c| c["check"] == check);
    let entry = entry.unwrap_or_else(|| panic!("no check `{check}`: {report:#}"));
    assert!(entry["evidence"].as_str().is_some_and(|text| !text.is_empty()), "{entry}");
    assert!(found.is_empty() || entry["ok"] == false, "{entry}");
    let errors = findings.iter().any(|finding| finding["severity"] == "error");
    assert_eq!(as_json.code(), Some(i32::from(errors)), "{as_json}");
}

/// Checks that `check` has one finding, which contains each text of `evidence`.
#[track_caller]
pub fn finds(env: &TestEnv, check: &str, severity: &str, evidence: &[&str]) -> PrintedFinding {
    let found = printed_findings(env, check);
    let [one] = found.as_slice() else {
        let whole = env.hermes(["doctor"]).run();
        panic!("not one finding of `{check}`: {found:#?}\n{whole}")
    };
    assert_eq!(one.severity, severity, "{one:#?}");
    for evidence in evidence {
        assert!(one.problem.contains(evidence), "no {evidence:?} in {one:#?}");
    }
    one.clone()
}

/// Blocks until `check` finds something, and checks it as [`finds`] does. (That compares two reports, between which
/// the finding must not begin.)
#[track_caller]
pub fn eventually_finds(
    env: &TestEnv,
    check: &str,
    severity: &str,
    evidence: &[&str],
) -> PrintedFinding {
    eventually(&format!("`{check}` finds something"), || {
        let report = env.hermes(["doctor", "--json"]).run().json();
        let findings = report["findings"].as_array().expect("findings");
        findings.iter().any(|finding| finding["check"] == check).then_some(())
    });
    finds(env, check, severity, evidence)
}

/// Checks that `check` ran and found nothing.
#[track_caller]
pub fn finds_nothing(env: &TestEnv, check: &str) {
    assert_eq!(printed_findings(env, check), [], "{check}");
    let report = env.hermes(["doctor", "--json"]).run().json();
    let checks = report["checks"].as_array().expect("checks");
    let entry = checks.iter().find(|entry| entry["check"] == check);
    assert_eq!(entry.map(|entry| &entry["ok"]), Some(&true.into()), "{entry:?}");
}

/// Checks the finding, runs its remedy unchanged, and checks that the finding is gone. Returns the remedy.
#[track_caller]
pub fn repairs(env: &TestEnv, check: &str, severity: &str, evidence: &[&str]) -> String {
    let PrintedFinding { remedy, .. } = finds(env, check, severity, evidence);
    run_remedy(env, &remedy);
    finds_nothing(env, check);
    remedy
}

/// Runs a remedy, as this environment's user, or as root if it starts with `as root:`.
#[track_caller]
pub fn run_remedy(env: &TestEnv, remedy: &str) {
    match remedy.strip_prefix("as root: ") {
        None => drop(env.shell(remedy).ok()),
        Some(command) => {
            assert!(is_root(), "needs root: {command}");
            let programs = hermes_program().parent().expect("a directory").display();
            let path = std::env::var("PATH").unwrap_or_default();
            let status = Command::new("/bin/sh")
                .args(["-c", command])
                .env("PATH", format!("{programs}:{path}"))
                .env("HERMES_HOME", env.home())
                .env("HERMES_SCANDIR", env.scandir())
                .current_dir(Path::new("/"))
                .status();
            assert!(status.expect("a shell").success(), "{command}");
        }
    }
}

/// A path, its inode, its modification time (seconds and nanoseconds) and its mode.
pub type Entry = (PathBuf, u64, i64, i64, u32);

/// All paths below the home and the scan directory of a test environment, with metadata that shows changes.
pub fn snapshot(env: &TestEnv) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut remaining = vec![env.home(), env.scandir()];
    while let Some(path) = remaining.pop() {
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        if metadata.is_dir() {
            let children = fs::read_dir(&path).expect("a readable directory");
            remaining.extend(children.map(|entry| entry.expect("an entry").path()));
        }
        let (inode, mode) = (metadata.ino(), metadata.mode());
        entries.push((path, inode, metadata.mtime(), metadata.mtime_nsec(), mode));
    }
    entries.sort();
    entries
}

/// The paths that differ between two snapshots.
pub fn changes(before: &[Entry], after: &[Entry]) -> Vec<String> {
    let removed = before.iter().filter(|entry| !after.contains(entry));
    let new = after.iter().filter(|entry| !before.contains(entry));
    removed.chain(new).map(|(path, ..)| path.display().to_string()).collect()
}
