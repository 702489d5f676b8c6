//! The image for tests under systemd: process 1 is systemd, and lingering is on for the user `hermes`.
//!
//! Registries have no image with systemd as process 1, so the base is always made from packages.

use std::fs;

use anyhow::{Context, Result};
use xshell::Shell;

use crate::image::{self, Distribution};
use crate::{docker, install, statically};

/// The packages of a system with logins, beside the essential ones; the Python agent's interpreter; and what the live tests
/// run, which are no tests under systemd and use the same base.
const PACKAGES: &str = "--include=systemd,systemd-sysv,dbus,dbus-user-session,libpam-systemd,python3,s6,execline,strace";

/// Makes the journal persistent, and starts the user's systemd manager at boot.
const DOCKERFILE: &str = "\
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
RUN useradd --create-home --uid 10000 --shell /bin/bash hermes \\
    && mkdir -p /var/log/journal /var/lib/systemd/linger \\
    && touch /var/lib/systemd/linger/hermes
COPY hermes /usr/local/bin/hermes
COPY set-clock.so /usr/local/lib/set-clock.so
COPY boot /usr/local/lib/boot
CMD [\"sh\", \"/usr/local/lib/boot\"]
";

/// Process 1 until systemd is. From version 258 on systemd needs control groups of version 2. A kernel that has its
/// controllers in version 1 has a hierarchy of version 2 as well, in which each container gets a group of its own.
const BOOT: &str = r#"
set -e
version=$(systemctl --version | sed -n 's/^systemd \([0-9]*\).*/\1/p')
if [ "$version" -ge 258 ] && [ "$(stat -f -c %T /sys/fs/cgroup)" != cgroup2fs ]; then
  mount -t cgroup2 none /mnt
  mkdir -p "/mnt/$(hostname)"
  echo $$ >"/mnt/$(hostname)/cgroup.procs"
  umount /mnt
  exec unshare --cgroup sh -c '
    umount -R /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup && exec /lib/systemd/systemd'
fi
exec /lib/systemd/systemd
"#;

/// A library that adds `CLOCK_OFFSET`, in seconds, to the wall clock of a process, for tests with journald. It changes
/// no other clock, as libfaketime would, whose timers fail in journald.
const SET_CLOCK: &str = "\
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *now) {
    int result = syscall(SYS_clock_gettime, clock, now);
    const char *offset = getenv(\"CLOCK_OFFSET\");
    if (result == 0 && clock == CLOCK_REALTIME && offset) now->tv_sec += atol(offset);
    return result;
}
";

/// Builds the image of a release with the name `tag`.
pub(crate) fn build(
    shell: &Shell,
    release: &Distribution,
    tag: &str,
    no_install: bool,
) -> Result<()> {
    let base = base(shell, release, no_install)?;
    let context = shell.create_temp_dir()?;
    image::copy(&statically::built(shell, &crate::root())?, &context.path().join("hermes"))
        .and_then(|()| fs::write(context.path().join("Dockerfile"), DOCKERFILE))
        .and_then(|()| fs::write(context.path().join("boot"), BOOT))
        .context("failed to prepare the build context")?;
    let library = context.path().join("set-clock.so");
    let cc = shell.cmd("cc").args(["-shared", "-fPIC", "-x", "c", "-", "-o"]).arg(library);
    cc.stdin(SET_CLOCK).quiet().run().context("failed to compile the library that sets a clock")?;
    let base = format!("BASE_IMAGE={base}");
    let directory = context.path().to_str().context("a path is not valid UTF-8")?;
    docker::printed(shell, &["build", "--build-arg", &base, "--tag", tag, directory])
        .run()
        .context("failed to build the image with systemd")
}

/// The name of the base image, which is made if the engine does not have it.
fn base(shell: &Shell, release: &Distribution, no_install: bool) -> Result<String> {
    let base = name_of_base(release);
    if !docker::has_image(shell, &base) {
        println!("docker-test: making `{base}` from packages, which takes a minute");
        install::ensure(install::FOR_BASE, no_install)?;
        image::debootstrap(shell, &release.codename, &[PACKAGES], &base)?;
    }
    Ok(base)
}

/// The name of a release's base image.
pub(crate) fn name_of_base(release: &Distribution) -> String {
    format!("hermes-systemd-s6-base:{}", release.codename)
}
