//! Packs the crates that are published, and builds each from its package: a file that is missing in one is found here.

use anyhow::{Context, Result};
use cargo_metadata::MetadataCommand;
use xshell::Shell;

/// Packs and builds the crates. Nothing is uploaded.
pub(super) fn check(shell: &Shell) -> Result<()> {
    let metadata = MetadataCommand::new()
        .manifest_path(crate::root().join("Cargo.toml"))
        .no_deps()
        .exec()
        .context("failed to run `cargo metadata`")?;
    // An empty list of registries: `publish = false`.
    let own = metadata.packages.iter().filter(|package| package.publish == Some(Vec::new()));
    let own = own.flat_map(|package| ["--exclude", package.name.as_str()]);
    println!("dist: packing the crates, and building each from its package");
    let args = ["package", "--workspace", "--locked", "--allow-dirty", "--quiet"];
    let package = shell.cmd(crate::cargo()).args(args).args(own).quiet();
    package.run().context("failed to build the crates from their packages")
}
