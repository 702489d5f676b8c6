//! The image for tests under systemd: process 1 is systemd, and `hermes` a user who lingers.
//!
//! No registry's image has systemd as process 1, so the base is always made from packages. The program is
//! the one that the other image has been built with.

use std::fs;

use anyhow::{Context, Result};
use xshell::Shell;

use crate::image::{self, Distribution};
use crate::{docker, install};

/// What a system with logins needs besides the essential packages.
const PACKAGES: &str = "systemd,systemd-sysv,dbus,dbus-user-session,libpam-systemd";

/// What makes a host of the base: the journal is kept, and the user's manager is there from the start.
const DOCKERFILE: &str = "\
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
RUN useradd --create-home --uid 10000 --shell /bin/bash hermes \\
    && mkdir -p /var/log/journal /var/lib/systemd/linger \\
    && touch /var/lib/systemd/linger/hermes
COPY hermes /usr/local/bin/hermes
CMD [\"/lib/systemd/systemd\"]
";

/// Builds it under the name `tag`.
pub(crate) fn build(shell: &Shell, tag: &str, no_install: bool) -> Result<()> {
    let base = base(shell, no_install)?;
    let context = shell.create_temp_dir()?;
    image::copy(&image::release_build(shell)?, &context.path().join("hermes"))
        .and_then(|()| fs::write(context.path().join("Dockerfile"), DOCKERFILE))
        .context("failed to prepare the build context")?;
    let base = format!("BASE_IMAGE={base}");
    let directory = context.path().to_str().context("a path in UTF-8")?;
    docker::told(shell, &["build", "--build-arg", &base, "--tag", tag, directory])
        .run()
        .context("failed to build the image with systemd")
}

/// The base, kept by the engine from one run to the next.
fn base(shell: &Shell, no_install: bool) -> Result<String> {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let distribution = Distribution::of(&release)
        .context("this machine runs neither Debian nor Ubuntu, of which the image is made")?;
    let base = format!("hermes-systemd-base:{}", distribution.codename);
    if !docker::has_image(shell, &base) {
        println!("docker-test: making `{base}` from packages, which takes a minute");
        install::ensure(install::FOR_BASE, no_install)?;
        image::debootstrap(shell, &distribution, PACKAGES, &base)?;
    }
    Ok(base)
}
