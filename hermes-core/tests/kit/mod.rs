//! Helpers for the tests of the store.

use std::fs;
use std::path::Path;

/// The names in a directory, sorted, including dot names.
pub(crate) fn entries(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).expect("a directory");
    let mut names: Vec<_> = entries
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
        .collect();
    names.sort();
    names
}
