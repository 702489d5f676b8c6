//! The Docker engine: a check that one answers, and the `docker` commands that several tasks run.

use anyhow::{Context, Result, bail};
use xshell::{Cmd, Shell};

use crate::install;

/// Fails if no engine answers.
pub(crate) fn require(shell: &Shell) -> Result<()> {
    let info = ["info", "--format", "{{.ServerVersion}}"];
    let output = shell.cmd("docker").args(info).quiet().ignore_status().output();
    let why = match output {
        Ok(output) if output.status.success() => return Ok(()),
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim_end().to_owned(),
        Err(error) => error.to_string(),
    };
    bail!(
        "no Docker engine answers: {why}; install one (on Debian: apt-get install docker.io), start it, \
         and give this user access"
    )
}

/// Installs `docker-compose`, unless `docker compose` works.
pub(crate) fn ensure_compose(shell: &Shell, no_install: bool) -> Result<()> {
    let plugin = shell.cmd("docker").args(["compose", "version"]).quiet();
    if plugin.ignore_stdout().ignore_stderr().run().is_ok() {
        return Ok(());
    }
    install::ensure(install::FOR_COMPOSE, no_install)
}

/// Prints a `docker` command and returns it.
pub(crate) fn printed<'a>(shell: &'a Shell, args: &[&str]) -> Cmd<'a> {
    println!("$ docker {}", args.join(" "));
    shell.cmd("docker").args(args).quiet()
}

/// Whether the engine has an image with this name.
pub(crate) fn has_image(shell: &Shell, image: &str) -> bool {
    let inspect = shell.cmd("docker").args(["image", "inspect", image]).quiet();
    inspect.ignore_stdout().ignore_stderr().run().is_ok()
}

/// Removes the image's name, and the image if it has no other name.
pub(crate) fn remove_image(shell: &Shell, image: &str) -> Result<()> {
    Ok(shell.cmd("docker").args(["rmi", image]).quiet().ignore_stdout().run()?)
}

/// Removes the containers, then the volumes, that have `label`.
pub(crate) fn remove_labelled(shell: &Shell, label: &str) -> Result<()> {
    let filter = format!("label={label}");
    for (list, remove) in [
        (["ps", "--all", "--quiet"].as_slice(), ["rm", "--force", "--volumes"].as_slice()),
        (&["volume", "ls", "--quiet"], &["volume", "rm", "--force"]),
    ] {
        let found = shell.cmd("docker").args(list).arg("--filter").arg(&filter).quiet().read();
        let found =
            found.with_context(|| format!("failed to list objects with the label {label}"))?;
        let found: Vec<_> = found.lines().collect();
        if !found.is_empty() {
            shell.cmd("docker").args(remove).args(found).quiet().ignore_stdout().run()?;
        }
    }
    Ok(())
}
