//! `cargo xtask test`: installs missing tools, then runs every check, one after the other.
//!
//! A step that fails does not stop the steps after it; the end lists each failed step with the command that runs it
//! alone. CI runs `cargo xtask test --docker`, which requires the container tests. Without `--docker` they run if a Docker
//! engine answers.

use std::time::Instant;

use anyhow::{Result, ensure};
use xshell::{Cmd, Shell};

use crate::docker_test::TestOptions;
use crate::report::{Report, seconds};
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
    cargo(&mut report, &FMT, &shell);
    cargo(&mut report, &CLIPPY, &shell);
    report.step("tidy", "cargo xtask tidy", tidy::run);
    report.step("deny", "cargo xtask deny", || deny::run(no_install));
    let mut not_run = Vec::new();
    report.step("test", &format!("cargo {}", test_programs::ARGS.join(" ")), || {
        let tests = test_programs::run()?;
        not_run = tests.not_run;
        ensure!(tests.failed.is_empty(), "failed: {}", tests.failed.join(", "));
        Ok(())
    });
    cargo(&mut report, &DOC, &shell);
    let engine = if docker { Ok(()) } else { docker::require(&shell) };
    let skipped = match engine {
        Ok(()) => {
            report.step("docker-test", "cargo xtask docker-test --matrix", || {
                docker_test::run(&TestOptions::matrix(), no_install)
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

/// Runs a step that is one cargo command.
fn cargo(report: &mut Report, step: &Step, shell: &Shell) {
    report.step(step.name, &step.alone(), || Ok(step.command(shell).run()?));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_a_line_for_a_person_to_type() {
        assert_eq!(FMT.alone(), "cargo fmt --all --check");
        let doc = "RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --locked";
        assert_eq!(DOC.alone(), doc);
    }
}
