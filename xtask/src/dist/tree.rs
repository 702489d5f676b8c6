//! The files of an installation below a prefix: `/usr/local` for the archive, `/usr` for the Debian package.
//!
//! The program itself makes its manual pages and completions.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use anyhow::{Context, Result};
use xshell::{Shell, TempDir};

use super::licences;
use super::source::Source;
use crate::image;

/// The pages, below `share/doc/hermes`.
const PAGES: [&str; 5] =
    ["README.md", "CHANGELOG.md", "SECURITY.md", "LICENSE-APACHE", "LICENSE-MIT"];
/// Where each shell looks for completions of `NAME`, below the prefix.
const COMPLETIONS: [(&str, &str, &str); 3] = [
    ("bash", "share/bash-completion/completions", "NAME"),
    ("fish", "share/fish/vendor_completions.d", "NAME.fish"),
    ("zsh", "share/zsh/site-functions", "_NAME"),
];
/// The program's names.
pub(super) const NAMES: [&str; 2] = ["hermes", "hermesctl"];

/// Puts all files in a temporary directory.
pub(super) fn stage(shell: &Shell, source: &Source, program: &Path) -> Result<TempDir> {
    let tree = shell.create_temp_dir()?;
    let prefix = tree.path();
    let bin = prefix.join("bin");
    fs::create_dir(&bin)?;
    image::copy(program, &bin.join(NAMES[0]))?;
    symlink(NAMES[0], bin.join(NAMES[1]))?;

    let man = prefix.join("share/man/man1");
    shell.cmd(bin.join(NAMES[0])).arg("man").arg(&man).quiet().run()?;
    fs::write(man.join("hermesctl.1"), ".so man1/hermes.1\n")?;
    for (kind, directory, file) in COMPLETIONS {
        let directory = prefix.join(directory);
        fs::create_dir_all(&directory)?;
        for name in NAMES {
            // The script then calls the program by its name, and not by its path here.
            let script = shell.cmd(name).args(["completions", kind]).env("PATH", &bin).quiet();
            let script = script.read().context("failed to print a completion script")?;
            fs::write(directory.join(file.replace("NAME", name)), script + "\n")?;
        }
    }

    let doc = prefix.join("share/doc/hermes");
    fs::create_dir_all(&doc)?;
    for page in PAGES {
        fs::copy(source.root.join(page), doc.join(page))
            .with_context(|| format!("failed to copy {page}"))?;
    }
    fs::write(doc.join("LICENSES-OF-DEPENDENCIES"), licences::of_dependencies(source)?)?;
    plain_modes(prefix)?;
    Ok(tree)
}

/// Sets modes that don't depend on the umask.
pub(super) fn plain_modes(path: &Path) -> Result<()> {
    let metadata = fs::symlink_metadata(path)?;
    if metadata.is_symlink() {
        return Ok(());
    }
    let executable = metadata.is_dir() || metadata.permissions().mode() & 0o100 != 0;
    fs::set_permissions(path, fs::Permissions::from_mode(if executable { 0o755 } else { 0o644 }))?;
    if metadata.is_dir() {
        for entry in fs::read_dir(path)? {
            plain_modes(&entry?.path())?;
        }
    }
    Ok(())
}
