//! Pages that promise something name the tests for it: these tests exist, and every promise has one. The test
//! programs themselves list the existing tests.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Names tests by file and function: `stop::what_it_holds`, `container/stop::what_it_holds`.
const RELIABILITY: &str = "docs/reliability.md";
/// Names tests by function, in the last column of its tables.
const SECURITY: &str = "docs/security.md";
/// Likewise.
const ARCHITECTURE: &str = "ARCHITECTURE.md";
/// The head of that column.
const COLUMN: &str = "tested by";
/// The failures of other systems on the first page, beside R1.
const FAILURES: usize = 62;

fn read(page: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    fs::read_to_string(root.join(page)).unwrap_or_else(|error| panic!("{page}: {error}"))
}

/// Builds the tests if necessary, and returns the programs. While tests run, cargo does not hold the lock on
/// the build directory.
fn programs(args: &[&str]) -> Vec<PathBuf> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["test", "--workspace", "--locked", "--no-run", "--message-format=json"]);
    let output = cargo.args(args).output().expect("cargo runs");
    let messages = String::from_utf8(output.stdout).expect("UTF-8");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the tests don't build: {errors}");
    let program = |line: &str| {
        let message: Value = serde_json::from_str(line).expect("JSON");
        let is_test = message["profile"]["test"] == true;
        message["executable"].as_str().filter(|_| is_test).map(PathBuf::from)
    };
    messages.lines().filter_map(program).collect()
}

/// The tests of a program, as `program::module::function` without modules named `tests`.
fn tests_of(program: &Path) -> Vec<String> {
    let output = Command::new(program).args(["--list", "--format=terse"]).output();
    let output = output.unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    assert!(output.status.success(), "{}", program.display());
    let stem = program.file_stem().and_then(|stem| stem.to_str()).expect("a UTF-8 name");
    let (name, _) = stem.rsplit_once('-').expect("cargo appends a hash");
    let list = String::from_utf8(output.stdout).expect("UTF-8");
    let tests = list.lines().filter_map(|line| line.strip_suffix(": test"));
    let path = |test: &str| {
        let parts: Vec<_> = test.split("::").filter(|part| *part != "tests").collect();
        format!("{name}::{}", parts.join("::"))
    };
    tests.map(path).collect()
}

/// Every test of the workspace; those in containers are built as `cargo xtask docker-test` builds them.
fn tests() -> BTreeSet<String> {
    let containers =
        ["--features", "hermes-tests/docker", "--test", "container", "--test", "systemd"];
    let programs = programs(&[]).into_iter().chain(programs(&containers));
    programs.flat_map(|program| tests_of(&program)).collect()
}

/// The tests that a text names by file and function.
fn named(text: &str) -> Vec<&str> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted.filter(|code| !code.contains(' ') && code.contains("::")).collect()
}

/// The last cell of every row of the tables that have [`COLUMN`].
fn cells(page: &str) -> Vec<&str> {
    let mut cells = Vec::new();
    let mut within = false;
    for line in page.lines() {
        let last =
            line.strip_prefix('|').and_then(|row| row.trim_end_matches('|').rsplit('|').next());
        match last.map(str::trim) {
            None => within = false,
            Some(COLUMN) => within = true,
            Some(cell) if within && !cell.starts_with("---") => cells.push(cell),
            Some(_) => {}
        }
    }
    cells
}

#[test]
fn pages_name_existing_tests() {
    let [reliability, security, architecture] = [RELIABILITY, SECURITY, ARCHITECTURE].map(read);
    let in_cells = |page, text| -> Vec<&str> {
        let in_cell = |cell| -> Vec<&str> {
            let names: Vec<_> = str::split(cell, '`').skip(1).step_by(2).collect();
            assert!(!names.is_empty(), "{page}: no test for: {cell}");
            names
        };
        cells(text).into_iter().flat_map(in_cell).collect()
    };
    let tests = tests();
    for (page, names, at_least) in [
        (RELIABILITY, named(&reliability), 80),
        (SECURITY, in_cells(SECURITY, &security), 30),
        (ARCHITECTURE, in_cells(ARCHITECTURE, &architecture), 20),
    ] {
        assert!(names.len() >= at_least, "{page}: {} names were found", names.len());
        let exists = |name: &str| {
            let path = name.replace('/', "::");
            let is_end = |before: &str| before.is_empty() || before.ends_with("::");
            tests.iter().any(|test| test.strip_suffix(path.as_str()).is_some_and(is_end))
        };
        let missing: Vec<_> = names.iter().filter(|name| !exists(name)).collect();
        assert!(missing.is_empty(), "{page}: no such tests: {missing:#?}");
    }
}

#[test]
fn each_failure_has_one_answer() {
    let page = read(RELIABILITY);
    let rows =
        |name: &str| page.lines().filter(|line| line.starts_with(&format!("| {name} |"))).collect();
    for name in (1..=FAILURES).map(|number| format!("F{number}")).chain(["R1".to_owned()]) {
        let rows: Vec<_> = rows(&name);
        let [row] = rows.as_slice() else { panic!("{name}: {rows:?}") };
        let answer = row.split('|').nth(3).expect("a third column");
        let reasons = ["impossible: ", "does not apply: "];
        let reasoned = reasons.iter().any(|reason| answer.trim().starts_with(reason));
        assert!(reasoned || !named(answer).is_empty(), "{row}");
    }
}
