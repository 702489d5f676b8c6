//! The archive: one directory with the files of an installation, to unpack below any prefix.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use xshell::Shell;

use super::source::Source;

/// Writes `hermes-VERSION-TARGET.tar.gz` from `tree`; returns its path.
pub(super) fn make(shell: &Shell, source: &Source, tree: &Path, output: &Path) -> Result<PathBuf> {
    let name = format!("hermes-{}-{}", source.version, source.target);
    let archive = output.join(format!("{name}.tar"));
    let times = format!("--mtime=@{}", source.epoch);
    let rename = format!("--transform=s,^\\.,{name},");
    let same = ["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--format=gnu"];
    let tar = shell.cmd("tar").arg("--create").args(same).args([times, rename]).quiet();
    let tar = tar.arg("--file").arg(&archive).arg("--directory").arg(tree).arg(".");
    tar.run().context("failed to write the archive")?;
    // Without the name and the time of the archive in it.
    let gzip = shell.cmd("gzip").args(["--force", "--no-name", "--best"]).arg(&archive).quiet();
    gzip.run().context("failed to compress the archive")?;
    Ok(archive.with_extension("tar.gz"))
}
