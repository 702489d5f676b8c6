//! `cargo xtask test`: every check there is, one after the other, on a machine that may lack the tools.
//!
//! Stops at the first failure and says how to run that step alone. What CI runs is exactly this, with the
//! image's tests demanded: elsewhere they run where an engine answers.

use std::time::{Duration, Instant};

use anyhow::{Error, Result};
use xshell::Shell;

use crate::docker_test::TestOptions;
use crate::{agent, deny, docker, docker_test, install, tidy};

/// The steps that are one cargo command, in the order in which a mistake is cheapest to find.
/// `tidy` and `deny` run between the first two and the rest.
const BEFORE_TIDY: &[Step] = &[
    Step { name: "fmt", args: &["fmt", "--all", "--check"], rustdocflags: None },
    Step {
        name: "clippy",
        args: &[
            "clippy",
            "--workspace",
            "--all-targets",
            "--all-features",
            "--locked",
            "--",
            "-D",
            "warnings",
        ],
        rustdocflags: None,
    },
];
const AFTER_TIDY: &[Step] = &[
    Step { name: "test", args: &["test", "--workspace", "--locked"], rustdocflags: None },
    Step {
        name: "doc",
        args: &["doc", "--workspace", "--no-deps", "--locked"],
        rustdocflags: Some("-D warnings"),
    },
];

struct Step {
    name: &'static str,
    args: &'static [&'static str],
    rustdocflags: Option<&'static str>,
}

impl Step {
    /// The command as a person types it.
    fn alone(&self) -> String {
        let env =
            self.rustdocflags.map(|flags| format!("RUSTDOCFLAGS='{flags}' ")).unwrap_or_default();
        format!("{env}cargo {}", self.args.join(" "))
    }

    fn run(&self, shell: &Shell) -> Result<()> {
        let mut command = shell.cmd(crate::cargo()).args(self.args).quiet();
        if let Some(flags) = self.rustdocflags {
            command = command.env("RUSTDOCFLAGS", flags);
        }
        Ok(command.run()?)
    }
}

/// Runs all checks; those of the image where a Docker engine answers, or in any case with `docker`.
pub(crate) fn run(no_install: bool, docker: bool) -> Result<()> {
    let shell = Shell::new()?;
    shell.change_dir(crate::root());
    let start = Instant::now();

    step("tools", "cargo xtask install", || for_test(no_install))?;
    for cargo in BEFORE_TIDY {
        step(cargo.name, &cargo.alone(), || cargo.run(&shell))?;
    }
    step("tidy", "cargo xtask tidy", tidy::run)?;
    step("deny", "cargo xtask deny", || deny::run(no_install))?;
    for cargo in AFTER_TIDY {
        step(cargo.name, &cargo.alone(), || cargo.run(&shell))?;
    }
    let engine = if docker { Ok(()) } else { docker::require(&shell) };
    let left_out = match engine {
        Ok(()) => {
            step("docker-test", "cargo xtask docker-test", || {
                docker_test::run(&TestOptions::default(), no_install)
            })?;
            ""
        }
        Err(why) => {
            println!("docker-test: left out: {why}");
            ", but for the image's, which were left out"
        }
    };

    println!("all checks passed in {}{left_out}", seconds(start.elapsed()));
    Ok(())
}

/// Returns once everything is there that the checks need.
pub(crate) fn for_test(no_install: bool) -> Result<()> {
    install::ensure(install::FOR_TEST, no_install)?;
    deny::ensure(no_install)?;
    agent::ensure(no_install)
}

fn step(name: &str, alone: &str, run: impl FnOnce() -> Result<()>) -> Result<()> {
    println!("{name}: {alone}");
    let start = Instant::now();
    let result = run();
    let took = seconds(start.elapsed());
    match result {
        Ok(()) => {
            println!("{name}: passed in {took}");
            Ok(())
        }
        Err(error) => Err(failure(error, name, alone, &took)),
    }
}

fn failure(error: Error, name: &str, alone: &str, took: &str) -> Error {
    error.context(format!("step `{name}` failed after {took}; to run it alone: {alone}"))
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_the_step_and_the_way_to_run_it_alone() {
        let doc = &AFTER_TIDY[1];
        let error = step(doc.name, &doc.alone(), || anyhow::bail!("broken link")).unwrap_err();
        let text = format!("{error:#}");
        assert!(text.starts_with("step `doc` failed after "), "{text}");
        assert!(
            text.contains("RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --locked"),
            "{text}"
        );
        assert!(text.ends_with("broken link"), "{text}");
    }
}
