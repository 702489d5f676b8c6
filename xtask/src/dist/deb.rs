//! The Debian package, for Debian, Ubuntu and what descends from them.
//!
//! `dpkg-deb` builds it, Debian's own program for that, which is on every such machine; cargo-deb would take minutes to
//! build, and pack the same tree. The package has no maintainer scripts: it starts nothing, and touches no home. It has no
//! units: `hermes gateway install` makes one for each profile, in the user's own home.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use xshell::Shell;

use super::source::Source;
use super::tree;
use crate::install;

/// What is special in the package, for `lintian`.
const OVERRIDES: &str = "\
# It starts without the dynamic linker, and runs on every release.
hermes: statically-linked-binary [usr/bin/hermes]
hermes: shared-library-lacks-prerequisites [usr/bin/hermes]
# A translation of it to Rust, with the same messages.
hermes: embedded-library libyaml [usr/bin/hermes]
";
const DESCRIPTION: &str = "\
Description: supervise many AI agents on one machine
 Hermes runs many AI agents and keeps them running. Each agent is a profile:
 a home directory with its persona, configuration, secrets and port. Each
 profile has one long-running process, its gateway.
 .
 Gateways are supervised by s6 in a container, or by systemd on a host.
";

/// Fails if this machine can't build Debian packages.
pub(super) fn require() -> Result<()> {
    install::find("dpkg-deb").context(
        "missing: dpkg-deb; `cargo xtask dist` needs Debian, Ubuntu, or the package `dpkg`",
    )?;
    Ok(())
}

/// Writes `hermes_VERSION_ARCH.deb` from `tree`; returns its path.
pub(super) fn make(shell: &Shell, source: &Source, tree: &Path, output: &Path) -> Result<PathBuf> {
    let package = shell.create_temp_dir()?;
    let root = package.path();
    let usr = root.join("usr");
    shell.cmd("cp").arg("--archive").args([tree, &usr]).quiet().run()?;
    let zsh = usr.join("share/zsh");
    fs::rename(zsh.join("site-functions"), zsh.join("vendor-completions"))?;
    let doc = usr.join("share/doc/hermes");
    fs::remove_file(doc.join("LICENSE-APACHE"))?;
    fs::remove_file(doc.join("LICENSE-MIT"))?;
    fs::write(doc.join("copyright"), copyright(shell, source)?)?;
    fs::write(doc.join("changelog"), changelog(shell, source)?)?;
    let man = usr.join("share/man/man1");
    fs::remove_file(man.join("hermesctl.1"))?;
    compress(shell, &man)?;
    compress(shell, &doc)?;
    symlink("hermes.1.gz", man.join("hermesctl.1.gz"))?;
    let overrides = usr.join("share/lintian/overrides");
    fs::create_dir_all(&overrides)?;
    fs::write(overrides.join("hermes"), OVERRIDES)?;

    let arch = shell.cmd("dpkg").arg("--print-architecture").quiet().read()?;
    let control = root.join("DEBIAN");
    fs::create_dir(&control)?;
    fs::write(control.join("md5sums"), md5sums(shell, root)?)?;
    fs::write(control.join("control"), fields(source, &arch, kibibytes(&usr)?))?;
    tree::plain_modes(root)?;
    let deb = output.join(format!("hermes_{}_{arch}.deb", source.version));
    // One thread, as the number of threads changes what xz writes.
    let options = ["--root-owner-group", "-Zxz", "--threads-max=1", "--build"];
    let build = shell.cmd("dpkg-deb").args(options).arg(root).arg(&deb).quiet();
    let build = build.env("SOURCE_DATE_EPOCH", &source.epoch).ignore_stdout();
    build.run().context("failed to build the Debian package")?;
    Ok(deb)
}

fn fields(source: &Source, arch: &str, size: u64) -> String {
    let Source { version, author, .. } = source;
    format!(
        "Package: hermes\nVersion: {version}\nArchitecture: {arch}\nMaintainer: {author}\n\
         Installed-Size: {size}\nRecommends: s6\nSection: admin\nPriority: optional\n{DESCRIPTION}"
    )
}

/// The licences in Debian's format. The texts of the licences of dependencies stand beside this file.
fn copyright(shell: &Shell, source: &Source) -> Result<String> {
    let mit = fs::read_to_string(source.root.join("LICENSE-MIT"))?;
    let (_, mit) = mit.split_once("\n\nPermission").context("LICENSE-MIT has another form")?;
    let format = ["--utc", "+%Y", "--date", &format!("@{}", source.epoch)];
    let year = shell.cmd("date").args(format).quiet().read()?;
    let mut text = format!(
        "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\
        Comment: LICENSES-OF-DEPENDENCIES has those of the libraries in the program.\n\n\
        Files: *\nCopyright: {year} the Hermes developers\nLicense: Expat or Apache-2.0\n\n\
        License: Apache-2.0\n On Debian, /usr/share/common-licenses/Apache-2.0 has the text.\n\n\
        License: Expat\n"
    );
    for line in format!("Permission{mit}").trim_end().lines() {
        writeln!(text, " {}", if line.is_empty() { "." } else { line })?;
    }
    Ok(text)
}

/// The changelog in Debian's format.
fn changelog(shell: &Shell, source: &Source) -> Result<String> {
    let Source { version, author, epoch, .. } = source;
    let format = ["--utc", "--rfc-email", "--date", &format!("@{epoch}")];
    let date = shell.cmd("date").args(format).env("LC_ALL", "C").quiet().read()?;
    Ok(format!(
        "hermes ({version}) unstable; urgency=medium\n\n  * CHANGELOG.md.gz has the changes.\n\n \
         -- {author}  {date}\n"
    ))
}

/// Compresses the manual pages, and the pages that Debian wants compressed, without their names and times.
fn compress(shell: &Shell, directory: &Path) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name != "copyright" {
            let gzip = shell.cmd("gzip").args(["--no-name", "--best"]).arg(&path).quiet();
            gzip.run().with_context(|| format!("failed to compress {name}"))?;
        }
    }
    Ok(())
}

/// The hashes by which `dpkg --verify` finds changed files.
fn md5sums(shell: &Shell, root: &Path) -> Result<String> {
    let _here = shell.push_dir(root);
    let find = ["usr", "-type", "f", "-printf", "%p\\n"];
    let files = shell.cmd("find").args(find).quiet().read()?;
    let mut files: Vec<_> = files.lines().collect();
    files.sort_unstable();
    Ok(shell.cmd("md5sum").args(files).quiet().read()? + "\n")
}

/// The size as Debian counts it: whole kibibytes of each file, and one for each directory and link.
fn kibibytes(path: &Path) -> Result<u64> {
    let metadata = fs::symlink_metadata(path)?;
    if !metadata.is_dir() {
        return Ok(if metadata.is_file() { metadata.len().div_ceil(1024) } else { 1 });
    }
    let entries = fs::read_dir(path)?.collect::<Result<Vec<_>, _>>()?;
    entries.iter().try_fold(1, |sum, entry| Ok(sum + kibibytes(&entry.path())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_counted_as_debian_does() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a"), [0; 1025]).unwrap();
        symlink("a", dir.path().join("b")).unwrap();
        assert_eq!(kibibytes(dir.path()).unwrap(), 1 + 2 + 1);
    }
}
