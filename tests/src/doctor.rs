//! What `hermes doctor` says of a test environment, and doing what it says.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::test_env::is_root;
use crate::{Outcome, TestEnv, hermes_program};

/// Something that is wrong, as it was printed for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// `error` or `warning`.
    pub severity: String,
    /// What is wrong.
    pub problem: String,
    /// What mends it.
    pub remedy: String,
}

/// What `doctor` finds under the id `check`.
#[track_caller]
pub fn told(env: &TestEnv, check: &str) -> Vec<Told> {
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
            found.push(Told { severity, problem, remedy });
        }
    }
    agrees(env, check, &found, &outcome);
    found
}

/// What is printed for people and as JSON is the same, and errors alone decide the exit code of each. Beside
/// `check` the two may differ: between them a gateway may have come up.
#[track_caller]
fn agrees(env: &TestEnv, check: &str, found: &[Told], outcome: &Outcome) {
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

/// Sees the one finding of `check`, with all of `evidence` in it.
#[track_caller]
pub fn finds(env: &TestEnv, check: &str, severity: &str, evidence: &[&str]) -> Told {
    let found = told(env, check);
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

/// Sees nothing under `check`, which was made.
#[track_caller]
pub fn finds_nothing(env: &TestEnv, check: &str) {
    assert_eq!(told(env, check), [], "{check}");
    let report = env.hermes(["doctor", "--json"]).run().json();
    let checks = report["checks"].as_array().expect("checks");
    let entry = checks.iter().find(|entry| entry["check"] == check);
    assert_eq!(entry.map(|entry| &entry["ok"]), Some(&true.into()), "{entry:?}");
}

/// Sees the finding, runs the command that it names as it stands, and sees it gone. Answers the command.
#[track_caller]
pub fn mends(env: &TestEnv, check: &str, severity: &str, evidence: &[&str]) -> String {
    let Told { remedy, .. } = finds(env, check, severity, evidence);
    run_remedy(env, &remedy);
    finds_nothing(env, check);
    remedy
}

/// Runs a command that `doctor` printed, as this environment's user or, where it says so, as root.
#[track_caller]
pub fn run_remedy(env: &TestEnv, remedy: &str) {
    match remedy.strip_prefix("as root: ") {
        None => drop(env.shell(remedy).ok()),
        Some(command) => {
            assert!(is_root(), "only root can: {command}");
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

/// A path, its inode, when it was last written (seconds and nanoseconds), its mode.
pub type Entry = (PathBuf, u64, i64, i64, u32);

/// Every path below the home and the scan directory of a test environment with what tells a change.
pub fn snapshot(env: &TestEnv) -> Vec<Entry> {
    let mut seen = Vec::new();
    let mut left = vec![env.home(), env.scandir()];
    while let Some(path) = left.pop() {
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        if metadata.is_dir() {
            let entries = fs::read_dir(&path).expect("a readable directory");
            left.extend(entries.map(|entry| entry.expect("an entry").path()));
        }
        let (inode, mode) = (metadata.ino(), metadata.mode());
        seen.push((path, inode, metadata.mtime(), metadata.mtime_nsec(), mode));
    }
    seen.sort();
    seen
}

/// What differs between two snapshots.
pub fn changes(before: &[Entry], after: &[Entry]) -> Vec<String> {
    let lost = before.iter().filter(|entry| !after.contains(entry));
    let new = after.iter().filter(|entry| !before.contains(entry));
    lost.chain(new).map(|(path, ..)| path.display().to_string()).collect()
}
