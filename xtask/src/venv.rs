//! Virtual environments below the build directory, one for each installation with pip.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use xshell::Shell;

use crate::install;

/// The file that is written last, so that an interrupted installation is repeated.
const STAMP: &str = "installed-by-xtask";
/// The file that `cargo install --root` writes.
const CARGO_ROOT: &str = ".crates.toml";

/// The build directory of this program.
pub(crate) fn target() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    let target = program.ancestors().nth(2).context("target/<profile>/xtask")?;
    Ok(target.to_owned())
}

/// Whether `stamp` is recorded in `dir`.
pub(crate) fn has(dir: &Path, stamp: &str) -> bool {
    fs::read_to_string(dir.join(STAMP)).is_ok_and(|found| found == stamp)
}

/// Records `stamp` in `dir`, once the installation is complete.
pub(crate) fn record(dir: &Path, stamp: &str) -> Result<()> {
    Ok(fs::write(dir.join(STAMP), stamp)?)
}

/// Installs `packages` in the environment `name` in the build directory, unless they are installed; with `no_install` missing
/// ones are an error. Returns its directory.
pub(crate) fn ensure(name: &str, packages: &[&str], no_install: bool) -> Result<PathBuf> {
    let (at, stamp) = (target()?.join(name), packages.join("\n"));
    if has(&at, &stamp) {
        return Ok(at);
    }
    let wanted = packages.join(" and ");
    ensure!(
        !no_install,
        "missing: {wanted} in {}, which --no-install does not install",
        at.display()
    );
    remove(&at)?;
    create(&Shell::new()?, &at, None, packages)
        .with_context(|| format!("failed to install {wanted}"))?;
    record(&at, &stamp)?;
    Ok(at)
}

/// Creates a virtual environment and runs `pip install` with `args` in it. It sees the packages of the environment
/// `shared`, which its own come before; pip, too, is that one's then.
pub(crate) fn create(
    shell: &Shell,
    dir: &Path,
    shared: Option<&Path>,
    args: &[&str],
) -> Result<()> {
    let python = install::python_with("ensurepip").context("missing: python3 with `ensurepip`")?;
    let mut create = vec![text(&python)?, "-m", "venv", text(dir)?];
    create.extend(shared.map(|_| "--without-pip"));
    install::run(shell, &create)?;
    if let Some(shared) = shared {
        fs::write(packages(dir)?.join("shared.pth"), text(&packages(shared)?)?)?;
    }
    let python = dir.join("bin/python");
    let pip = [text(&python)?, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    install::run(shell, &[&pip, args].concat())
}

/// The directory of an environment's packages.
fn packages(dir: &Path) -> Result<PathBuf> {
    let pythons = fs::read_dir(dir.join("lib"))?.flatten().map(|python| python.path());
    let mut packages = pythons.map(|python| python.join("site-packages"));
    packages
        .find(|path| path.is_dir())
        .with_context(|| format!("no site-packages below {}", dir.display()))
}

/// Removes a symbolic link, a virtual environment, or a directory of `cargo install`.
pub(crate) fn remove(path: &Path) -> Result<()> {
    let Ok(metadata) = fs::symlink_metadata(path) else { return Ok(()) };
    if !metadata.is_dir() {
        return Ok(fs::remove_file(path)?);
    }
    let ours = ["pyvenv.cfg", CARGO_ROOT].iter().any(|file| path.join(file).exists())
        || fs::read_dir(path)?.next().is_none();
    ensure!(ours, "{} exists and is not a virtual environment", path.display());
    Ok(fs::remove_dir_all(path)?)
}

/// A path as text, for a command line that is printed.
pub(crate) fn text(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("`{}` is not valid UTF-8", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_installations_and_links_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let (venv, link) = (dir.path().join("venv"), dir.path().join("link"));
        for file in ["pyvenv.cfg", CARGO_ROOT] {
            fs::create_dir(&venv).unwrap();
            fs::write(venv.join("precious"), "").unwrap();
            symlink(&venv, &link).unwrap();
            remove(&link).unwrap();
            assert!(!link.exists());
            remove(&venv).unwrap_err();
            fs::write(venv.join(file), "").unwrap();
            remove(&venv).unwrap();
            remove(&venv).unwrap();
            assert!(!venv.exists());
        }
    }

    #[test]
    fn another_version_is_not_the_recorded_one() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!has(dir.path(), "1"));
        record(dir.path(), "1").unwrap();
        assert!(has(dir.path(), "1") && !has(dir.path(), "2"));
    }
}
