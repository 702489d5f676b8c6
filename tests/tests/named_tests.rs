//! Pages that say which test holds a promise name tests that are there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The pages, each with how many tests it names at least.
const PAGES: [(&str, usize); 1] = [("docs/security.md", 30)];
/// The head of the column that names them.
const COLUMN: &str = "tested by";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

/// The names of all tests below `directory`.
fn tests_below(directory: &Path) -> BTreeSet<String> {
    let mut tests = BTreeSet::new();
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            tests.extend(tests_below(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("a source file");
            let name = |text: &str| Some(text.split_once("fn ")?.1.split_once('(')?.0.to_owned());
            tests.extend(text.split("#[test]").skip(1).filter_map(name));
        }
    }
    tests
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
fn every_test_that_a_page_names_is_there() {
    let crates = ["hermes-cli", "hermes-core", "hermes-host", "hermes-s6", "tests"];
    let tests: BTreeSet<_> =
        crates.iter().flat_map(|name| tests_below(&root().join(name))).collect();
    for (path, at_least) in PAGES {
        let page = fs::read_to_string(root().join(path)).expect("a page");
        let mut named = 0;
        for cell in cells(&page) {
            let names: Vec<_> = cell.split('`').skip(1).step_by(2).collect();
            assert!(!names.is_empty(), "{path}: nothing tests what is held by: {cell}");
            for name in names {
                assert!(tests.contains(name), "{path}: there is no test `{name}`");
                named += 1;
            }
        }
        assert!(named >= at_least, "{path}: {named} names were found");
    }
}
