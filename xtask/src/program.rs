//! Builds the program `hermes` for the tasks that run it.

use std::io::BufReader;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use cargo_metadata::Message;

/// Builds `hermes` with the release profile, and returns its path.
pub(crate) fn build() -> Result<PathBuf> {
    let args = ["build", "--release", "--locked", "--package", "hermes-cli"];
    println!("$ cargo {}", args.join(" "));
    let mut cargo = Command::new(crate::cargo())
        .current_dir(crate::root())
        .args(args)
        .arg("--message-format=json-render-diagnostics")
        .stdout(Stdio::piped())
        .spawn()
        .context("failed to run cargo")?;
    let messages = cargo.stdout.take().context("cargo's output is a pipe")?;
    let mut program = None;
    for message in Message::parse_stream(BufReader::new(messages)) {
        if let Message::CompilerArtifact(artifact) =
            message.context("failed to read cargo's messages")?
            && artifact.target.name == "hermes"
            && let Some(path) = artifact.executable
        {
            program = Some(path.into_std_path_buf());
        }
    }
    ensure!(cargo.wait()?.success(), "failed to build hermes-cli");
    program.context("hermes-cli has no program `hermes`")
}
