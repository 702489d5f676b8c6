//! The list of the program's components, in the format of CycloneDX, which cargo-cyclonedx writes.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use xshell::Shell;

use super::source::Source;
use crate::{install, venv};

/// Of 2026, by the organisation that makes the format. Pinned, since another version may write other bytes.
const VERSION: &str = "0.5.9";
const TOOL: &str = "cargo-cyclonedx";

/// Installs cargo-cyclonedx unless it is installed; with `no_install` a missing one is an error.
pub(super) fn ensure(no_install: bool) -> Result<()> {
    let dir = dir()?;
    if venv::has(&dir, VERSION) && program(&dir).is_file() {
        return Ok(());
    }
    if no_install {
        bail!("missing: {TOOL} {VERSION} in {}; to install: cargo xtask dist", dir.display());
    }
    venv::remove(&dir)?;
    println!("installing {TOOL} {VERSION}, which takes minutes");
    let cargo = crate::cargo();
    let what = ["install", TOOL, "--locked", "--version", VERSION, "--root"];
    install::run(
        &Shell::new()?,
        &[&[venv::text(&cargo)?], &what[..], &[venv::text(&dir)?]].concat(),
    )
    .with_context(|| format!("failed to install {TOOL} {VERSION}"))?;
    venv::record(&dir, VERSION)
}

/// Writes `hermes-VERSION-TARGET.cdx.json`; returns its path.
pub(super) fn make(shell: &Shell, source: &Source, output: &Path) -> Result<PathBuf> {
    // It writes a file beside the manifest of each crate.
    let copy = shell.create_temp_dir()?;
    let copied = source.copy_to(shell, copy.path())?;
    let name = format!("hermes-{}-{}.cdx", source.version, source.target);
    let args = ["cyclonedx", "--format", "json", "--spec-version", "1.5", "--no-build-deps"];
    let cargo = shell.cmd(program(&dir()?)).args(args).args(["--target", &source.target]);
    let cargo = cargo.args(["--override-filename", &name, "--manifest-path"]);
    let cargo = cargo.arg(copied.root.join("hermes-cli/Cargo.toml")).quiet();
    // Then the list has the commit's time, and no random number.
    let cargo = cargo.env("SOURCE_DATE_EPOCH", &source.epoch).env("CARGO", crate::cargo());
    cargo.run().context("failed to list the components")?;
    let name = format!("{name}.json");
    let list = fs::read_to_string(copied.root.join("hermes-cli").join(&name))
        .context("failed to read the list of components")?;
    let list = list.replace(&format!("file://{}", copied.root.display()), "file://");
    fs::write(output.join(&name), list)?;
    Ok(output.join(name))
}

fn dir() -> Result<PathBuf> {
    Ok(venv::target()?.join(TOOL))
}

fn program(dir: &Path) -> PathBuf {
    dir.join("bin").join(TOOL)
}
