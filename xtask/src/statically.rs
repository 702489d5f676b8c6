//! The programs as they are shipped: for release, and linked statically to the C library.
//!
//! Such a program starts without the dynamic linker and runs on any Linux of its architecture. Names are looked up without
//! the C library's modules for that reason: `hermes-core/src/passwd.rs` and `hosts.rs`.

use std::path::PathBuf;

use anyhow::{Context, Result};
use cargo_metadata::MetadataCommand;
use xshell::Shell;

/// Builds `hermes`; returns its path.
pub(crate) fn built(shell: &Shell) -> Result<PathBuf> {
    println!("building `hermes` for release, linked statically; the first build takes minutes");
    Ok(build(shell, &["hermes-cli"])?.join("hermes"))
}

/// Builds the programs of `packages`; returns their directory.
///
/// `--target` names this machine's own target: the option is then for the programs alone, since procedural macros can't be
/// linked statically. The directory is another one than that of `cargo build --release`, so that neither build discards
/// the other's.
pub(crate) fn build(shell: &Shell, packages: &[&str]) -> Result<PathBuf> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let target = shell.cmd(rustc).args(["--print", "host-tuple"]).quiet().read()?;
    let flags = format!("target.{target}.rustflags=['-C', 'target-feature=+crt-static']");
    let args = ["build", "--release", "--locked", "--target", &target, "--config", &flags];
    let packages = packages.iter().flat_map(|package| ["--package", package]);
    let cargo = shell.cmd(crate::cargo()).args(args).args(packages).quiet();
    cargo.run().context("failed to build the programs")?;
    let metadata = MetadataCommand::new()
        .manifest_path(crate::root().join("Cargo.toml"))
        .no_deps()
        .exec()
        .context("failed to run `cargo metadata`")?;
    Ok(metadata.target_directory.join(target).join("release").into_std_path_buf())
}
