//! The sources of a release: their version, commit and time, and a copy of them in another directory.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use cargo_metadata::MetadataCommand;
use xshell::Shell;

use crate::{image, statically};

/// What is packed.
pub(super) struct Source {
    /// The workspace that is built.
    pub(super) root: PathBuf,
    pub(super) version: String,
    /// The machine that the program is for, as rustc calls it.
    pub(super) target: String,
    /// The last commit.
    pub(super) commit: String,
    /// When it was made, in seconds since 1970: the time of every file in the packages.
    pub(super) epoch: String,
    /// Who made it: the maintainer of the Debian package.
    pub(super) author: String,
}

impl Source {
    /// The sources in `root`, which is a checkout.
    pub(super) fn of(shell: &Shell, root: &Path) -> Result<Self> {
        let git = |format: &str| {
            let log = shell.cmd("git").args(["log", "-1", format]).quiet().read();
            log.context("failed to read the last commit")
        };
        let changed = shell.cmd("git").args(["status", "--porcelain"]).quiet().read()?;
        if !changed.is_empty() {
            println!("dist: these files differ from the last commit, and are packed:\n{changed}");
        }
        let manifest = root.join("Cargo.toml");
        let metadata = MetadataCommand::new().manifest_path(manifest).no_deps().exec()?;
        let mut packages = metadata.packages.iter();
        let program = packages.find(|package| package.name == "hermes-cli");
        Ok(Self {
            root: root.to_owned(),
            version: program.context("no crate `hermes-cli`")?.version.to_string(),
            target: statically::target(shell)?,
            commit: git("--format=%H")?,
            epoch: git("--format=%ct")?,
            author: git("--format=%an <%ae>")?,
        })
    }

    /// Copies all files that git does not ignore.
    pub(super) fn copy_to(&self, shell: &Shell, to: &Path) -> Result<Self> {
        let list = ["ls-files", "--cached", "--others", "--exclude-standard", "-z"];
        let files = shell.cmd("git").args(list).quiet().read()?;
        for file in files.split_terminator('\0').map(Path::new) {
            let (from, to) = (self.root.join(file), to.join(file));
            // A file that was removed and is not committed.
            if !from.exists() {
                continue;
            }
            fs::create_dir_all(to.parent().context("a file is in a directory")?)?;
            image::copy(&from, &to)
                .with_context(|| format!("failed to copy {}", file.display()))?;
        }
        Ok(Self {
            root: to.to_owned(),
            version: self.version.clone(),
            target: self.target.clone(),
            commit: self.commit.clone(),
            epoch: self.epoch.clone(),
            author: self.author.clone(),
        })
    }

    /// The image's labels: annotations of the OCI's image specification.
    pub(super) fn labels(&self) -> Vec<String> {
        [
            ("title", "hermes"),
            ("description", "Supervises the gateways of many agent profiles"),
            ("licenses", "MIT OR Apache-2.0"),
            ("version", &self.version),
            ("revision", &self.commit),
        ]
        .map(|(key, value)| format!("org.opencontainers.image.{key}={value}"))
        .into()
    }
}
