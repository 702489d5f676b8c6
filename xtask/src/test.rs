//! `cargo xtask test`: installs missing tools, then runs every check, one after the other.
//!
//! A step that fails does not stop the steps after it; the end lists each failed step with the command that runs it
//! alone. CI runs `cargo xtask test --docker`, which requires the container tests. Without `--docker` they run if a Docker
//! engine answers.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use xshell::{Cmd, Shell};

use crate::docker_test::TestOptions;
use crate::{agent, deny, docker, docker_test, dotenv, install, not_run, test_programs, tidy};

const FMT: Step = Step { name: "fmt", args: &["fmt", "--all", "--check"], rustdocflags: None };
const CLIPPY: Step = Step {
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
};
const DOC: Step = Step {
    name: "doc",
    args: &["doc", "--workspace", "--no-deps", "--locked"],
    rustdocflags: Some("-D warnings"),
};

/// A step that is one cargo command.
struct Step {
    name: &'static str,
    args: &'static [&'static str],
    rustdocflags: Option<&'static str>,
}

impl Step {
    /// The command line, for a person to type.
    fn alone(&self) -> String {
        let env =
            self.rustdocflags.map(|flags| format!("RUSTDOCFLAGS='{flags}' ")).unwrap_or_default();
        format!("{env}cargo {}", self.args.join(" "))
    }

    fn command<'a>(&self, shell: &'a Shell) -> Cmd<'a> {
        let command = shell.cmd(crate::cargo()).args(self.args).quiet();
        command.envs(self.rustdocflags.map(|flags| ("RUSTDOCFLAGS", flags)))
    }
}

/// Runs all checks; the container tests if a Docker engine answers, or always with `docker`.
pub(crate) fn run(no_install: bool, docker: bool) -> Result<()> {
    let shell = Shell::new()?;
    shell.change_dir(crate::root());
    let start = Instant::now();

    let mut report = Report::default();
    // Without its tools every later step would fail, too.
    report.step("tools", "cargo xtask install", || for_test(no_install));
    report.end()?;
    // The cheapest checks come first.
    report.cargo(&FMT, &shell);
    report.cargo(&CLIPPY, &shell);
    report.step("tidy", "cargo xtask tidy", tidy::run);
    report.step("deny", "cargo xtask deny", || deny::run(no_install));
    let mut not_run = Vec::new();
    report.step("test", &format!("cargo {}", test_programs::ARGS.join(" ")), || {
        let tests = test_programs::run()?;
        not_run = tests.not_run;
        ensure!(tests.failed.is_empty(), "failed: {}", tests.failed.join(", "));
        Ok(())
    });
    report.cargo(&DOC, &shell);
    let engine = if docker { Ok(()) } else { docker::require(&shell) };
    let skipped = match engine {
        Ok(()) => {
            report.step("docker-test", "cargo xtask docker-test", || {
                docker_test::run(&TestOptions::default(), no_install)
            });
            ""
        }
        Err(why) => {
            println!("docker-test: skipped: {why}");
            ", without the skipped container tests"
        }
    };
    if let Some(list) = not_run::list(&not_run) {
        println!("{list}");
        if docker {
            report.fail("not run", "cargo xtask test --docker, as root");
        }
    }
    report.end()?;
    println!("all checks passed in {}{skipped}", seconds(start.elapsed()));
    Ok(())
}

/// Installs all tools that the checks need.
pub(crate) fn for_test(no_install: bool) -> Result<()> {
    install::ensure(install::FOR_TEST, no_install)?;
    deny::ensure(no_install)?;
    dotenv::ensure(no_install)?;
    agent::ensure_all(no_install)
}

/// The failed steps, each with the command that runs it alone.
#[derive(Default)]
struct Report {
    failed: Vec<(String, String)>,
}

impl Report {
    /// Runs a step and prints its result.
    fn step(&mut self, name: &str, alone: &str, run: impl FnOnce() -> Result<()>) {
        println!("{name}: {alone}");
        let start = Instant::now();
        let result = run();
        let took = seconds(start.elapsed());
        match result {
            Ok(()) => println!("{name}: passed in {took}"),
            Err(error) => {
                println!("{name}: failed after {took}: {error:#}");
                self.fail(name, alone);
            }
        }
    }

    fn cargo(&mut self, step: &Step, shell: &Shell) {
        self.step(step.name, &step.alone(), || Ok(step.command(shell).run()?));
    }

    fn fail(&mut self, name: &str, alone: &str) {
        self.failed.push((name.to_owned(), alone.to_owned()));
    }

    /// Fails if a step failed, and lists all failed steps.
    fn end(&self) -> Result<()> {
        let lines = self.failed.iter().map(|(name, alone)| format!("\n  {name}: {alone}"));
        match self.failed.len() {
            0 => Ok(()),
            1 => bail!("1 step failed; to run it alone:{}", lines.collect::<String>()),
            n => bail!("{n} steps failed; to run each alone:{}", lines.collect::<String>()),
        }
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_runs_and_the_end_lists_the_failed_ones() {
        let mut report = Report::default();
        let mut ran = 0;
        for (step, passes) in [(&FMT, false), (&CLIPPY, true), (&DOC, false)] {
            report.step(step.name, &step.alone(), || {
                ran += 1;
                if passes { Ok(()) } else { bail!("broken") }
            });
        }
        assert_eq!(ran, 3);
        assert_eq!(
            report.end().unwrap_err().to_string(),
            "2 steps failed; to run each alone:\n  fmt: cargo fmt --all --check\n  \
             doc: RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --locked"
        );
    }

    #[test]
    fn passed_steps_are_no_error() {
        let mut report = Report::default();
        report.step(FMT.name, &FMT.alone(), || Ok(()));
        report.end().unwrap();
    }
}
