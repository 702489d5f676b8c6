//! Installs each package in bare containers of the distribution's releases, with the commands that README.md has, until a
//! gateway is healthy; then removes it, again with README.md's commands, and compares the files. Only the user's home may
//! have more then, and `/tmp/hermes-UID`, the tree's place where there is no runtime directory.
//!
//! The containers have no network. Their bases are made from packages, and have apt's lists and the package s6 in apt's
//! cache, where a machine with a network would get it.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use xshell::Shell;

use crate::image::{self, Distribution};
use crate::{docker, install};

const PAGE: &str = "README.md";
/// Keeps apt's lists and cache, and puts s6 into the cache.
const WITH_S6: [&str; 3] = [
    "--skip=cleanup/apt,cleanup/reproducible",
    "--include=apt",
    "--customize-hook=APT_CONFIG=\"$MMDEBSTRAP_APT_CONFIG\" apt-get --yes --install-recommends \
     install --download-only s6",
];

/// A package, known by a word in README.md's commands that install it, and one in the command that removes it.
struct Package {
    installs: &'static str,
    removes: &'static str,
    /// What `find` compares. Files that were unpacked below `/usr/local` leave empty directories there.
    left: &'static str,
}

const PACKAGES: [Package; 2] = [
    Package { installs: "apt install ./hermes_", removes: "apt purge", left: "-true" },
    Package { installs: "tar xzf hermes-", removes: "tar tzf hermes-", left: "! -type d" },
];

/// Checks the packages in `output` on each release.
pub(super) fn run(shell: &Shell, output: &Path, no_install: bool) -> Result<()> {
    let page = fs::read_to_string(crate::root().join(PAGE))?;
    for release in Distribution::here()?.releases() {
        let codename = &release.codename;
        let base = base(shell, codename, no_install)?;
        for package in &PACKAGES {
            let directory = shell.create_temp_dir()?;
            fs::write(directory.path().join("script"), script(&page, package)?)?;
            println!("dist: `{}…` on {codename}", package.installs);
            let volumes = [(output, "/dist"), (directory.path(), "/check")]
                .map(|(here, there)| format!("--volume={}:{there}:ro", here.display()));
            let run = ["run", "--rm", "--network=none", "--workdir=/dist"];
            let run = shell.cmd("docker").args(run).args(volumes).quiet();
            let run = run.args([&base, "bash", "/check/script"]);
            run.run().with_context(|| format!("{PAGE}'s commands failed on {codename}"))?;
        }
    }
    Ok(())
}

/// The name of the base image, which is made if the engine does not have it.
fn base(shell: &Shell, codename: &str, no_install: bool) -> Result<String> {
    let base = format!("hermes-bare:{codename}");
    if !docker::has_image(shell, &base) {
        println!("dist: making `{base}` from packages, which takes a minute");
        install::ensure(install::FOR_BASE, no_install)?;
        image::debootstrap(shell, codename, &WITH_S6, &base)?;
    }
    Ok(base)
}

/// The script for a container: README.md's commands as a user, and those that begin with `sudo` as root.
fn script(page: &str, package: &Package) -> Result<String> {
    let blocks = || page.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let block = |words: &str| {
        let block = blocks().find(|block| block.contains(words));
        block.with_context(|| format!("{PAGE} has no block with `{words}`"))
    };
    // Of root, what installs this package; of the user, what follows the installation of the first one.
    let install = block(package.installs)?.lines().filter(|line| line.starts_with("sudo "));
    let start = block(PACKAGES[0].installs)?.lines().filter(|line| !line.starts_with("sudo "));
    let install: Vec<_> = install.chain(start).map(command).collect();
    let remove = blocks().flat_map(str::lines).find(|line| line.contains(package.removes));
    let remove = remove.with_context(|| format!("{PAGE} has no `{}`", package.removes))?;
    let left = package.left;
    Ok(format!(
        "set -eu\n\
         useradd --create-home you\n\
         echo 'APT::Get::Assume-Yes \"true\";' > /etc/apt/apt.conf.d/90-yes\n\
         export DEBIAN_FRONTEND=noninteractive\n\
         files() {{ find / -xdev \\( -path /proc -o -path /home -o -path /root -o -path /dist -o -path /check -o -path '/tmp/hermes-*' \
           -o -path /var/lib/apt -o -path /var/lib/dpkg -o -path /var/log -o -path /var/cache \\) \
           -prune -o {left} -print | sort; }}\n\
         files > /root/before\n\
         set -x\n\
         {}\n\
         su - you -c 'hermes doctor --health'\n\
         su - you -c 'hermesctl status coder --json' | grep -q '\"ready\": *true'\n\
         su - you -c 'hermes down'\n\
         {}\n\
         apt purge --autoremove s6\n\
         if type hermes || type hermesctl; then exit 1; fi\n\
         test -e /home/you/.hermes/profiles/coder/config.yaml\n\
         files | diff /root/before -\n",
        install.join("\n"),
        command(remove),
    ))
}

/// A line of README.md for the script.
fn command(line: &str) -> String {
    let line = line.split("  #").next().unwrap_or_default().trim_end();
    match line.strip_prefix("sudo ") {
        Some(command) => command.to_owned(),
        None => format!("su - you -c '{}'", line.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_commands_for_each_package() {
        let page = fs::read_to_string(crate::root().join(PAGE)).unwrap();
        for package in &PACKAGES {
            let script = script(&page, package).unwrap();
            assert!(script.contains("su - you -c 'hermes up -d'\n"), "{script}");
        }
    }

    #[test]
    fn root_runs_what_begins_with_sudo() {
        assert_eq!(command("sudo apt install ./a.deb   # the package"), "apt install ./a.deb");
        assert_eq!(command("echo 'a'"), "su - you -c 'echo '\\''a'\\'''");
    }
}
