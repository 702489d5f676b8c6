//! The Docker engine: whether one answers, and commands that it is given.

use anyhow::{Context, Result, bail};
use xshell::{Cmd, Shell};

/// Fails where no engine answers.
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
         and let this user use it"
    )
}

/// `docker` with arguments, told before it runs.
pub(crate) fn told<'a>(shell: &'a Shell, args: &[&str]) -> Cmd<'a> {
    println!("$ docker {}", args.join(" "));
    shell.cmd("docker").args(args).quiet()
}

/// Whether the engine has an image of that name.
pub(crate) fn has_image(shell: &Shell, image: &str) -> bool {
    let inspect = shell.cmd("docker").args(["image", "inspect", image]).quiet();
    inspect.ignore_stdout().ignore_stderr().run().is_ok()
}

/// Removes the name `image`, and what only that name kept.
pub(crate) fn remove_image(shell: &Shell, image: &str) -> Result<()> {
    Ok(shell.cmd("docker").args(["rmi", image]).quiet().ignore_stdout().run()?)
}

/// Removes what carries `label`: containers first, then volumes.
pub(crate) fn remove_labelled(shell: &Shell, label: &str) -> Result<()> {
    let filter = format!("label={label}");
    for (list, remove) in [
        (["ps", "--all", "--quiet"].as_slice(), ["rm", "--force", "--volumes"].as_slice()),
        (&["volume", "ls", "--quiet"], &["volume", "rm", "--force"]),
    ] {
        let found = shell.cmd("docker").args(list).arg("--filter").arg(&filter).quiet().read();
        let found = found.with_context(|| format!("failed to list what is labelled {label}"))?;
        let found: Vec<_> = found.lines().collect();
        if !found.is_empty() {
            shell.cmd("docker").args(remove).args(found).quiet().ignore_stdout().run()?;
        }
    }
    Ok(())
}
