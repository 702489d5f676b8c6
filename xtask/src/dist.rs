//! `cargo xtask dist`: the files of a release, for this machine's architecture.
//!
//! | file | what it makes |
//! |---|---|
//! | `source` | version, commit and time of the sources; a copy of them in another directory |
//! | `tree` | the files of an installation below a prefix, which both packages contain |
//! | `licences` | the licences of the dependencies that are linked in |
//! | `archive` | `hermes-VERSION-TARGET.tar.gz` |
//! | `deb` | `hermes_VERSION_ARCH.deb` |
//! | `sbom` | `hermes-VERSION-TARGET.cdx.json`, the list of components in the format of CycloneDX |
//! | `crates` | builds the published crates from their packages |
//! | `check` | installs both packages in bare containers, with the commands in README.md |
//!
//! Times in them are that of the last commit, and two builds have the same bytes: `--twice` checks it. Only the image's
//! archive, which contains a distribution, differs.

mod archive;
mod check;
mod crates;
mod deb;
mod licences;
mod sbom;
mod source;
mod tree;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::Args;
use xshell::Shell;

use crate::image::{self, ImageOptions};
use crate::{docker, statically};
use source::Source;

const SUMS: &str = "SHA256SUMS";

/// Options of `cargo xtask dist`.
#[derive(Args)]
pub(crate) struct DistOptions {
    /// The directory of the files [default: `dist` in the build directory]
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Build everything a second time, in another directory, and fail if a byte differs
    #[arg(long)]
    twice: bool,
    /// Build the crates from their packages; install the archive and the Debian package in bare containers, with the
    /// commands in README.md, and remove them; needs Docker
    #[arg(long)]
    check: bool,
    /// Make no archive of the image; without this option there is one if a Docker engine answers
    #[arg(long)]
    no_image: bool,
}

/// Makes the files, and prints their sizes and hashes.
pub(crate) fn run(options: &DistOptions, no_install: bool) -> Result<()> {
    let start = Instant::now();
    let shell = Shell::new()?;
    shell.change_dir(crate::root());
    if options.check {
        docker::require(&shell)?;
    }
    deb::require()?;
    sbom::ensure(no_install)?;
    let source = Source::of(&shell, &crate::root())?;
    let output = match &options.output {
        Some(output) => std::path::absolute(output)?,
        None => crate::target_of(&source.root)?.join("dist"),
    };
    fs::create_dir_all(&output)
        .with_context(|| format!("failed to create {}", output.display()))?;

    let mut files = pack(&shell, &source, &output)?;
    if options.twice {
        twice(&shell, &source, &files)?;
    }
    if !options.no_image {
        match docker::require(&shell) {
            Ok(()) => files.push(image(&shell, &source, &output, no_install)?),
            Err(why) => println!("dist: no archive of the image: {why}"),
        }
    }
    files.push(sums(&shell, &output, &files)?);
    if options.check {
        check::run(&shell, &output, no_install)?;
        crates::check(&shell)?;
    }
    summary(&shell, &files)?;
    println!("dist: {} files in {:.0} s", files.len(), start.elapsed().as_secs_f64());
    Ok(())
}

/// Builds the program and makes the packages and the list of components; returns their paths.
fn pack(shell: &Shell, source: &Source, output: &Path) -> Result<Vec<PathBuf>> {
    println!("dist: building `hermes` in {}; the first build takes minutes", source.root.display());
    let program = statically::built(shell, &source.root)?;
    let tree = tree::stage(shell, source, &program)?;
    Ok(vec![
        archive::make(shell, source, tree.path(), output)?,
        deb::make(shell, source, tree.path(), output)?,
        sbom::make(shell, source, output)?,
    ])
}

/// Fails if a build in another directory makes other bytes than `files`.
fn twice(shell: &Shell, source: &Source, files: &[PathBuf]) -> Result<()> {
    let directory = tempfile::tempdir_in(crate::target_of(&source.root)?)?;
    let copy = source.copy_to(shell, &directory.path().join("sources"))?;
    let again = directory.path().join("again");
    fs::create_dir(&again)?;
    same(files, &pack(shell, &copy, &again)?)
}

fn same(files: &[PathBuf], again: &[PathBuf]) -> Result<()> {
    for (first, second) in files.iter().zip(again) {
        let name = first.file_name().unwrap_or_default().display();
        ensure!(fs::read(first)? == fs::read(second)?, "a second build made another {name}");
        println!("dist: a second build made the same {name}");
    }
    Ok(())
}

/// Builds the image and writes it as an archive for `docker load`.
fn image(shell: &Shell, source: &Source, output: &Path, no_install: bool) -> Result<PathBuf> {
    let tag = format!("hermes:{}", source.version);
    let labels = source.labels();
    image::run(&ImageOptions { base: None, tag: tag.clone(), labels }, no_install)?;
    let archive = output.join(format!("hermes-{}-{}.image.tar", source.version, source.target));
    let path = archive.to_str().context("a path is not valid UTF-8")?;
    docker::printed(shell, &["save", "--output", path, &tag]).run()?;
    shell.cmd("gzip").args(["--force", "--no-name", path]).quiet().run()?;
    Ok(archive.with_extension("tar.gz"))
}

/// Writes the hashes of `files`.
fn sums(shell: &Shell, output: &Path, files: &[PathBuf]) -> Result<PathBuf> {
    let names = files.iter().filter_map(|file| file.file_name());
    let _here = shell.push_dir(output);
    let hashes = shell.cmd("sha256sum").args(names).quiet().read()?;
    let sums = output.join(SUMS);
    fs::write(&sums, hashes + "\n")?;
    Ok(sums)
}

/// Prints the size and the hash of each file.
fn summary(shell: &Shell, files: &[PathBuf]) -> Result<()> {
    for file in files {
        let hash = shell.cmd("sha256sum").arg(file).quiet().read()?;
        let hash = hash.split_whitespace().next().unwrap_or_default().to_owned();
        println!("{hash}  {:>10}  {}", fs::metadata(file)?.len(), file.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_byte_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let written = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::write(&path, text).unwrap();
            [path]
        };
        let (first, second) = (written("first", "a"), written("second", "a"));
        same(&first, &second).unwrap();
        let error = same(&second, &written("other", "b")).unwrap_err();
        assert_eq!(error.to_string(), "a second build made another second");
    }
}
