//! `cargo xtask image`: builds the program for release and the container image with it.
//!
//! The base is the image of `--base`, else the distribution's own image, else, if that can't be pulled, one made from the
//! distribution's packages. It may be of any other distribution, since the program is linked statically.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use clap::Args;
use xshell::Shell;

use crate::{docker, install, statically};

/// The lists of a mirror that is a snapshot may have expired; their signatures are checked all the same.
const FROM_SNAPSHOT: &str = "--aptopt=Acquire::Check-Valid-Until \"false\"";
/// The releases of Debian that Hermes is for.
const DEBIAN: [&str; 3] = ["bookworm", "trixie", "sid"];

/// Options of `cargo xtask image`.
#[derive(Args)]
pub(crate) struct ImageOptions {
    /// The base image [default: this machine's distribution, pulled or made from its packages]
    #[arg(long, value_name = "IMAGE")]
    pub(crate) base: Option<String>,
    /// The name of the image
    #[arg(long, value_name = "TAG", default_value = "hermes:latest")]
    pub(crate) tag: String,
    /// A label of the image
    #[arg(long = "label", value_name = "KEY=VALUE")]
    pub(crate) labels: Vec<String>,
}

/// Builds the image.
pub(crate) fn run(image: &ImageOptions, no_install: bool) -> Result<()> {
    let shell = Shell::new()?;
    shell.change_dir(crate::root());
    docker::require(&shell)?;
    let program = statically::built(&shell, &crate::root())?;
    let base = base(&shell, image.base.as_deref(), no_install)?;
    let context = context(&program)?;
    println!("image: `{}` from `{base}`", image.tag);
    let base = format!("BASE_IMAGE={base}");
    let directory = context.path().to_str().context("a path is not valid UTF-8")?;
    let labels = image.labels.iter().flat_map(|label| ["--label", label]);
    docker::printed(&shell, &["build", "--build-arg", &base, "--tag", &image.tag])
        .args(labels)
        .arg(directory)
        .run()
        .context("failed to build the image")?;
    println!("image: `{}` is built", image.tag);
    Ok(())
}

/// `chosen`, else the name of a base image of this machine's distribution, which is pulled or made if it is missing.
pub(crate) fn base(shell: &Shell, chosen: Option<&str>, no_install: bool) -> Result<String> {
    if let Some(chosen) = chosen {
        return Ok(chosen.to_owned());
    }
    let here = Distribution::here().context("name a base image with --base")?;
    base_of(shell, &here, no_install)
}

/// The name of a release's base image, which is pulled or made if it is missing.
pub(crate) fn base_of(
    shell: &Shell,
    distribution: &Distribution,
    no_install: bool,
) -> Result<String> {
    let made = distribution.made();
    let public = distribution.public();
    if let Some(present) =
        [&public, &made].into_iter().find(|image| docker::has_image(shell, image))
    {
        return Ok(present.clone());
    }
    println!("image: pulling the base image `{public}`");
    if docker::printed(shell, &["pull", &public]).run().is_ok() {
        return Ok(public);
    }
    println!("image: failed to pull it; making `{made}` from packages, which takes a minute");
    install::ensure(install::FOR_BASE, no_install)?;
    debootstrap(shell, &distribution.codename, &["--include=s6,execline"], &made)?;
    Ok(made)
}

/// Makes an image from the essential packages of a release and what mmdebstrap's `options` name.
pub(crate) fn debootstrap(
    shell: &Shell,
    codename: &str,
    options: &[&str],
    image: &str,
) -> Result<()> {
    let dir = shell.create_temp_dir()?;
    let archive = dir.path().join("base.tar");
    let archive = archive.to_str().context("a path is not valid UTF-8")?;
    let args = [&["--variant=minbase", FROM_SNAPSHOT], options, &[codename, archive]].concat();
    println!("$ mmdebstrap {}", args.join(" "));
    shell
        .cmd(install::find("mmdebstrap").context("missing: mmdebstrap")?)
        .args(args)
        .quiet()
        .run()
        .context("failed to make a base image from packages")?;
    Ok(docker::printed(shell, &["import", archive, image]).run()?)
}

/// A distribution whose packages can make a base image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Distribution {
    pub(crate) name: String,
    pub(crate) codename: String,
}

impl Distribution {
    /// That of this machine.
    pub(crate) fn here() -> Result<Self> {
        let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
        Self::of(&release).context("this machine runs neither Debian nor Ubuntu")
    }

    /// Parses `/etc/os-release`; none for other distributions.
    fn of(release: &str) -> Option<Self> {
        let value = |key: &str| {
            let line = release.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
            line.map(|value| value.trim_matches('"').to_owned())
        };
        let name = value("ID").filter(|name| ["debian", "ubuntu"].contains(&name.as_str()))?;
        Some(Self { name, codename: value("VERSION_CODENAME")? })
    }

    fn is_debian(&self) -> bool {
        self.name == "debian"
    }

    /// Those of Debian, and of another distribution this one.
    pub(crate) fn releases(&self) -> Vec<Self> {
        if !self.is_debian() {
            return vec![self.clone()];
        }
        let release = |codename: &str| Self { codename: codename.to_owned(), ..self.clone() };
        DEBIAN.map(release).into()
    }

    /// Its image's name in registries.
    fn public(&self) -> String {
        let slim = if self.is_debian() { "-slim" } else { "" };
        format!("{}:{}{slim}", self.name, self.codename)
    }

    /// The name of an image made from packages.
    fn made(&self) -> String {
        format!("hermes-base:{}", self.codename)
    }
}

/// Creates the build context. Its file modes do not depend on the umask of whoever checked out the repository.
fn context(program: &Path) -> Result<xshell::TempDir> {
    let context = Shell::new()?.create_temp_dir()?;
    copy(&crate::root().join("docker"), context.path())
        .and_then(|()| copy(program, &context.path().join("hermes")))
        .context("failed to prepare the build context")?;
    Ok(context)
}

/// Copies a file or a directory, with modes that don't depend on the umask.
pub(crate) fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    let metadata = fs::metadata(from)?;
    let executable = metadata.permissions().mode() & 0o100 != 0;
    if metadata.is_dir() {
        fs::create_dir_all(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            copy(&entry.path(), &to.join(entry.file_name()))?;
        }
    } else {
        fs::copy(from, to)?;
    }
    let mode = if executable { 0o755 } else { 0o644 };
    fs::set_permissions(to, fs::Permissions::from_mode(mode))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_is_of_the_machines_own_distribution() {
        let debian = "PRETTY_NAME=\"Debian\"\nVERSION_CODENAME=bookworm\nID=debian\n";
        let found = Distribution::of(debian).unwrap();
        assert_eq!(found.public(), "debian:bookworm-slim");
        let ubuntu = "ID=ubuntu\nID_LIKE=debian\nVERSION_CODENAME=\"noble\"\n";
        assert_eq!(Distribution::of(ubuntu).unwrap().public(), "ubuntu:noble");
        let releases =
            |of: Distribution| -> Vec<_> { of.releases().iter().map(Distribution::made).collect() };
        assert_eq!(
            releases(found),
            ["bookworm", "trixie", "sid"].map(|it| format!("hermes-base:{it}"))
        );
        assert_eq!(releases(Distribution::of(ubuntu).unwrap()), ["hermes-base:noble"]);
        assert_eq!(Distribution::of("ID=fedora\nVERSION_CODENAME=\n"), None);
    }

    #[test]
    fn the_context_does_not_depend_on_the_umask() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::create_dir(&from).unwrap();
        for (name, mode) in [("run", 0o700), ("type", 0o600)] {
            fs::write(from.join(name), "").unwrap();
            fs::set_permissions(from.join(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        fs::set_permissions(&from, fs::Permissions::from_mode(0o700)).unwrap();
        copy(&from, &to).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(
            [mode(&to), mode(&to.join("run")), mode(&to.join("type"))],
            [0o755, 0o755, 0o644]
        );
    }
}
