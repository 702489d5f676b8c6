//! The licences of the dependencies that are linked into the program, whose texts must come with it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package, PackageId};

use super::source::Source;

/// Beginnings of the names of files with a licence.
const FILES: [&str; 4] = ["LICENSE", "LICENCE", "COPYING", "NOTICE"];

/// Each dependency's name, version and licence, then each text once, with the dependencies that have it.
pub(super) fn of_dependencies(source: &Source) -> Result<String> {
    let metadata = MetadataCommand::new()
        .manifest_path(source.root.join("Cargo.toml"))
        .other_options(["--locked", "--filter-platform", &source.target].map(str::to_owned))
        .exec()
        .context("failed to run `cargo metadata`")?;
    let mut list = String::from("`hermes` is linked with these libraries:\n\n");
    let mut texts = BTreeMap::<String, Vec<String>>::new();
    for package in linked(&metadata, "hermes-cli")? {
        let name = format!("{} {}", package.name, package.version);
        let licence = package.license.as_deref().unwrap_or("see its text below");
        writeln!(list, "{name}: {licence}")?;
        let directory = package.manifest_path.parent().context("a manifest is in a directory")?;
        for text in texts_in(directory.as_std_path())? {
            texts.entry(text).or_default().push(name.clone());
        }
    }
    let mut texts: Vec<_> = texts.into_iter().map(|(text, names)| (names, text)).collect();
    texts.sort();
    for (names, text) in texts {
        let line = "-".repeat(72);
        write!(list, "\n{line}\n{}\n{line}\n\n{}\n", names.join(", "), text.trim_end())?;
    }
    Ok(list)
}

/// The packages from a registry that `root` is linked with, by name.
fn linked<'a>(metadata: &'a Metadata, root: &str) -> Result<Vec<&'a Package>> {
    let resolve = metadata.resolve.as_ref().context("cargo resolved no dependencies")?;
    let root = metadata.packages.iter().find(|package| package.name == root);
    let mut next = vec![&root.context("no such crate")?.id];
    let mut seen = BTreeSet::<&PackageId>::new();
    while let Some(id) = next.pop() {
        if !seen.insert(id) {
            continue;
        }
        let node = resolve.nodes.iter().find(|node| node.id == *id).context("a resolved crate")?;
        let deps = node
            .deps
            .iter()
            .filter(|dep| dep.dep_kinds.iter().any(|kind| kind.kind == DependencyKind::Normal));
        next.extend(deps.map(|dep| &dep.pkg));
    }
    let mut linked: Vec<_> = seen.into_iter().map(|id| &metadata[id]).collect();
    linked.retain(|package| package.source.is_some());
    linked.sort_by_key(|package| (&package.name, &package.version));
    Ok(linked)
}

/// The licences in a package's directory.
fn texts_in(directory: &Path) -> Result<Vec<String>> {
    let mut texts = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().to_uppercase();
        if FILES.iter().any(|file| name.starts_with(file)) && entry.path().is_file() {
            texts.push(fs::read_to_string(entry.path())?);
        }
    }
    texts.sort();
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_may_have_several_licences() {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [("LICENSE-MIT", "b"), ("license.txt", "a"), ("README", "c")] {
            fs::write(dir.path().join(name), text).unwrap();
        }
        fs::create_dir(dir.path().join("LICENSES")).unwrap();
        assert_eq!(texts_in(dir.path()).unwrap(), ["a", "b"]);
    }
}
