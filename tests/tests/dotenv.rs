//! Differential test: Hermes and the current python-dotenv read the same `.env` files.

use std::collections::HashMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use hermes_core::dotenv;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// The environment for variable expansion.
const OUTSIDE: [(&str, &str); 4] =
    [("OUTSIDE", "out"), ("EMPTY", ""), ("PATH", "/bin"), ("A", "outer ${B}")];

/// A script that prints the variables and the number of invalid statements of each file.
const PYTHON: &str = r#"
import json, logging, sys
from dotenv import dotenv_values
from dotenv.parser import parse_stream
logging.disable()
answers = []
for path in json.load(sys.stdin):
    with open(path, encoding="utf-8") as file:
        bad = sum(binding.error for binding in parse_stream(file))
    answers.append((list(dotenv_values(path).items()), bad))
json.dump(answers, sys.stdout)
"#;

/// The Python with the release of python-dotenv that `cargo xtask install` pins.
fn python() -> PathBuf {
    let test = std::env::current_exe().expect("a test is a program");
    let target = test.ancestors().nth(3).expect("target/<profile>/deps/<test>");
    let python = target.join("python-dotenv/bin/python");
    assert!(python.exists(), "python-dotenv is missing: `cargo xtask install`");
    python
}

/// The variables in order, and the number of invalid statements.
type Meaning = (Vec<(String, Option<String>)>, usize);

fn theirs(paths: &[PathBuf]) -> Vec<Meaning> {
    let mut python = Command::new(python())
        .args(["-I", "-c", PYTHON])
        .env_clear()
        .envs(OUTSIDE)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python runs");
    let question = serde_json::to_vec(paths).expect("UTF-8 paths");
    python.stdin.take().expect("a pipe").write_all(&question).expect("python reads");
    let output = python.wait_with_output().expect("its output");
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn ours(path: &Path) -> Meaning {
    let text = fs::read_to_string(path).expect("a file of text");
    let parsed = dotenv::parse(&text);
    // Python adds this variable to its environment.
    let outside: HashMap<_, _> = OUTSIDE.into_iter().chain([("LC_CTYPE", "C.UTF-8")]).collect();
    let resolved =
        dotenv::resolve(&parsed.bindings, |name| outside.get(name).map(ToString::to_string))
            .expect("short values");
    (resolved, parsed.bad_lines.len())
}

#[track_caller]
fn compare(paths: &[PathBuf]) {
    for (path, theirs) in paths.iter().zip(theirs(paths)) {
        let text = fs::read_to_string(path).expect("a file of text");
        assert_eq!(ours(path), theirs, "ours, theirs: {} {text:?}", path.display());
    }
}

#[test]
fn the_corpus() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/dotenv");
    let entries = fs::read_dir(corpus).expect("the corpus");
    let paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    assert!(paths.len() >= 30, "{paths:?}");
    compare(&paths);
}

/// Parts of statements, above all line ends.
const PARTS: &[&str] = &[
    "\n", "\n", "\n", "\n", "\r\n", "\r", "A", "B", "C", "A=", "B=", "C=", "=", "=", "'", "'",
    "\"", "\"", "\\", "\\'", "\\\"", "\\n", "\\\\", " ", " ", "\t", "#", " #", "${A}", "${B}",
    "${", "}", ":-", "x", "\0", "= #", "=#", "\\\\'", "\\\\\"", "A='", "B=\"",
];
const LONGER_PARTS: &[&str] = &[
    "export ",
    "export\t",
    "${OUTSIDE:-x}",
    "${EMPTY:-x}",
    "\u{a0}",
    "\u{1c}",
    "\u{2028}",
    "\u{feff}",
];

proptest! {
    // One case has many files, so that one Python reads them all. A failure shows one short file, so
    // shrinking is not needed.
    #![proptest_config(ProptestConfig {
        cases: 1,
        max_shrink_iters: 0,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_text(files in vec(vec(select([PARTS, LONGER_PARTS].concat()), 0..40), 4000)) {
        let dir = tempfile::tempdir().expect("a directory");
        let write = |(number, parts): (usize, &Vec<&str>)| {
            let path = dir.path().join(number.to_string());
            fs::write(&path, parts.concat()).expect("a file");
            path
        };
        compare(&files.iter().enumerate().map(write).collect::<Vec<_>>());
    }
}
