//! The programs as they are shipped: for release, and linked statically to the C library.
//!
//! Such a program starts without the dynamic linker and runs on any Linux of its architecture. Names are looked up without
//! the C library's modules for that reason: `hermes-core/src/passwd.rs` and `hosts.rs`. Two builds of the same sources have
//! the same bytes, wherever the sources and cargo's own directory are: `cargo xtask dist --twice` checks it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use xshell::Shell;

/// Builds `hermes` with every backend, as images and packages have it, from the workspace in `root`; returns its path.
pub(crate) fn built(shell: &Shell, root: &Path) -> Result<PathBuf> {
    println!("building `hermes` for release, linked statically; the first build takes minutes");
    Ok(build(shell, root, &["hermes-cli"], &["hermes-cli/kubernetes"])?.join("hermes"))
}

/// Builds the programs of `packages` with `features` from the workspace in `root`; returns their directory.
///
/// `--target` names this machine's own target: the option is then for the programs alone, since procedural macros can't be
/// linked statically. The directory is another one than that of `cargo build --release`, so that neither build discards
/// the other's.
pub(crate) fn build(
    shell: &Shell,
    root: &Path,
    packages: &[&str],
    features: &[&str],
) -> Result<PathBuf> {
    let target = target(shell)?;
    let flags = flags(root, &cargo_home()?);
    let flags: Vec<_> = flags.iter().map(|flag| format!("'{flag}'")).collect();
    let flags = format!("target.{target}.rustflags=[{}]", flags.join(", "));
    let args = ["build", "--release", "--locked", "--target", &target, "--config", &flags];
    let packages = packages.iter().flat_map(|package| ["--package", package]);
    let features = features.iter().flat_map(|feature| ["--features", feature]);
    let built = crate::target_of(root)?;
    let cargo = shell.cmd(crate::cargo()).args(args).args(packages).args(features).quiet();
    // This variable would replace the flags.
    let cargo = cargo.arg("--manifest-path").arg(root.join("Cargo.toml")).env_remove("RUSTFLAGS");
    cargo.run().context("failed to build the programs")?;
    Ok(built.join(target).join("release"))
}

/// The target of this machine.
pub(crate) fn target(shell: &Shell) -> Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    Ok(shell.cmd(rustc).args(["--print", "host-tuple"]).quiet().read()?)
}

/// Links statically, and names files in messages of panics without the directories of the machine that builds.
fn flags(root: &Path, cargo_home: &Path) -> [String; 4] {
    [
        "-C".to_owned(),
        "target-feature=+crt-static".to_owned(),
        format!("--remap-path-prefix={}=.", root.display()),
        format!("--remap-path-prefix={}=cargo", cargo_home.display()),
    ]
}

/// Where cargo keeps the sources of dependencies.
fn cargo_home() -> Result<PathBuf> {
    let path = |variable| std::env::var_os(variable).map(PathBuf::from);
    let home = || path("HOME").map(|home| home.join(".cargo"));
    path("CARGO_HOME").or_else(home).context("neither CARGO_HOME nor HOME is set")
}
