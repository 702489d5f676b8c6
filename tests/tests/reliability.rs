//! `docs/reliability.md` names tests that there are, and answers for every failure that it is about.

use std::fs;
use std::path::{Path, PathBuf};

/// How many failures the page is about beside R1.
const FAILURES: usize = 62;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a member of the workspace")
}

fn page() -> String {
    fs::read_to_string(root().join("docs/reliability.md")).expect("the page")
}

/// Every Rust source of the workspace, by its path from there without the ending.
fn sources() -> Vec<(String, String)> {
    let mut pending: Vec<PathBuf> =
        ["hermes-cli", "hermes-core", "hermes-s6", "tests"].map(|at| root().join(at)).into();
    let mut sources = Vec::new();
    while let Some(path) = pending.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(&path).expect("a directory");
            pending.extend(entries.map(|entry| entry.expect("an entry").path()));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let text = fs::read_to_string(&path).expect("a source");
            sources.push((path.with_extension("").display().to_string(), text));
        }
    }
    sources
}

/// The tests that a text names: each the end of a file's path, and a function.
fn named(text: &str) -> Vec<(&str, &str)> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted.filter(|code| !code.contains(' ')).filter_map(|code| code.split_once("::")).collect()
}

#[test]
fn every_test_that_the_page_names_is_there() {
    let (page, sources) = (page(), sources());
    let named = named(&page);
    assert!(named.len() >= 80, "so many tests at least: {}", named.len());
    for (file, test) in named {
        let of_that_name = sources.iter().filter(|(path, _)| path.ends_with(&format!("/{file}")));
        let head = format!("#[test]\nfn {test}()");
        let is_there = |text: &str| text.replace("\n    ", "\n").contains(&head);
        assert!(of_that_name.into_iter().any(|(_, text)| is_there(text)), "`{file}::{test}`");
    }
}

#[test]
fn every_failure_is_answered_for_once() {
    let page = page();
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
