//! Builds programs, and finds where cargo has put them.

use std::io::BufReader;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use cargo_metadata::{Artifact, Message};

/// Builds `hermes` with the release profile, and returns its path.
pub(crate) fn build() -> Result<PathBuf> {
    let args = ["build", "--release", "--locked", "--package", "hermes-cli"];
    println!("$ cargo {}", args.join(" "));
    let built = executables(&args).context("failed to build hermes-cli")?;
    let hermes = built.into_iter().find(|(artifact, _)| artifact.target.name == "hermes");
    hermes.map(|(_, path)| path).context("hermes-cli has no program `hermes`")
}

/// Runs cargo with `args`, which build something: each program that it has built or found up to date, and its path.
pub(crate) fn executables(args: &[&str]) -> Result<Vec<(Artifact, PathBuf)>> {
    let mut cargo = Command::new(crate::cargo())
        .current_dir(crate::root())
        .args(args)
        .arg("--message-format=json-render-diagnostics")
        .stdout(Stdio::piped())
        .spawn()
        .context("failed to run cargo")?;
    let messages = cargo.stdout.take().context("cargo's output is a pipe")?;
    let mut executables = Vec::new();
    for message in Message::parse_stream(BufReader::new(messages)) {
        if let Message::CompilerArtifact(mut artifact) =
            message.context("failed to read cargo's messages")?
            && let Some(path) = artifact.executable.take()
        {
            executables.push((artifact, path.into_std_path_buf()));
        }
    }
    let status = cargo.wait()?;
    ensure!(status.success(), "cargo: {status}");
    Ok(executables)
}
