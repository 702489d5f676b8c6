//! What the tests of the store look at directories with.

use std::fs;
use std::path::Path;

/// Everything in a directory, dot names included, sorted.
pub(crate) fn entries(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).expect("a directory");
    let mut names: Vec<_> = entries
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
        .collect();
    names.sort();
    names
}
