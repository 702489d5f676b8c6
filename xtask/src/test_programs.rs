//! Builds the workspace's test programs and runs several of them at the same time.
//!
//! `cargo test` runs one program after the other. Each ends with its slowest tests, which mostly wait for processes, and the
//! cores are idle meanwhile.

use std::io::{Read, Seek};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Sender};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::not_run::NotRun;
use crate::program;

/// What cargo is asked for, to build the programs or to run them one after the other.
pub(crate) const ARGS: &[&str] = &["test", "--workspace", "--locked", "--no-fail-fast"];
/// The tests in the documentation, which are no programs before cargo runs them.
const DOC_ARGS: &[&str] = &["test", "--workspace", "--locked", "--no-fail-fast", "--doc"];

/// How many programs run at the same time, for each core.
const PROGRAMS_PER_CORE: usize = 2;
/// How many tests of a program run at once, for libtest.
pub(crate) const THREADS: (&str, &str) = ("RUST_TEST_THREADS", "2");

/// What the programs have reported.
#[derive(Debug, Default)]
pub(crate) struct Reported {
    /// The programs with failed tests.
    pub(crate) failed: Vec<String>,
    pub(crate) not_run: Vec<NotRun>,
}

/// A program that has ended.
struct Ended {
    status: ExitStatus,
    output: String,
    took: Duration,
}

/// A test program that was built.
pub(crate) struct TestProgram {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    package: PathBuf,
}

impl TestProgram {
    /// The command that cargo would run.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.current_dir(&self.package).env("CARGO_MANIFEST_DIR", &self.package);
        command.env("CARGO", crate::cargo());
        command
    }
}

/// Builds and runs all tests. Prints the output of each program in one piece, once that has ended.
pub(crate) fn run() -> Result<Reported> {
    let built = build(ARGS)?;
    let programs = built.iter().map(|program| (program.name.clone(), program.command()));
    let mut doc = Command::new(crate::cargo());
    doc.current_dir(crate::root()).args(DOC_ARGS);
    let programs = [("doc-tests".to_owned(), doc)].into_iter().chain(programs).collect();
    let cores = thread::available_parallelism().map_or(1, usize::from);
    run_at_once(programs, PROGRAMS_PER_CORE * cores)
}

/// Builds the test programs that cargo would run with `args`, sorted by name.
pub(crate) fn build(args: &[&str]) -> Result<Vec<TestProgram>> {
    let built = program::executables(&[args, &["--no-run"]].concat());
    let built = built.context("the tests do not build")?.into_iter();
    let tests = built.filter(|(artifact, _)| artifact.profile.test);
    let mut programs: Vec<_> = tests
        .map(|(artifact, path)| {
            let package = artifact.manifest_path.parent().map(PathBuf::from).unwrap_or_default();
            TestProgram { name: artifact.target.name, path, package }
        })
        .collect();
    programs.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(programs)
}

/// Runs `programs`, at most `count` at the same time.
pub(crate) fn run_at_once(programs: Vec<(String, Command)>, count: usize) -> Result<Reported> {
    let queue = Mutex::new(programs.into_iter());
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let (sender, ended) = mpsc::channel();
    let run_some = |sender: Sender<_>| {
        while let Some((name, mut command)) = next() {
            let ended = run_one(&mut command);
            // The receiver is gone only if another program could not be run.
            let _ = sender.send((name, ended));
        }
    };
    let mut reported = Reported::default();
    thread::scope(|scope| {
        for sender in vec![sender; count] {
            scope.spawn(|| run_some(sender));
        }
        for (name, ended) in ended {
            let Ended { status, output, took } =
                ended.with_context(|| format!("failed to run `{name}`"))?;
            println!("\n     Ran {name} in {:.1} s\n{output}", took.as_secs_f64());
            reported.not_run.extend(NotRun::all_in(&output));
            reported.failed.extend((!status.success()).then_some(name));
        }
        Ok::<_, anyhow::Error>(())
    })?;
    reported.failed.sort();
    reported.not_run.sort();
    reported.not_run.dedup();
    Ok(reported)
}

/// Runs a program to its end. Its output goes to a file: a process that a test left behind would keep a pipe open.
fn run_one(command: &mut Command) -> Result<Ended> {
    let mut output = tempfile::tempfile()?;
    let is_set = command.get_envs().any(|(name, _)| name == THREADS.0);
    if !is_set && std::env::var_os(THREADS.0).is_none() {
        command.env(THREADS.0, THREADS.1);
    }
    command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output.try_clone()?);
    let begun = Instant::now();
    let status = command.status()?;
    let took = begun.elapsed();
    output.rewind()?;
    let mut bytes = Vec::new();
    output.read_to_end(&mut bytes)?;
    Ok(Ended { status, output: String::from_utf8_lossy(&bytes).into_owned(), took })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(name: &str, script: &str) -> (String, Command) {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        (name.to_owned(), command)
    }

    #[test]
    fn all_programs_run_and_the_report_names_what_failed_or_did_not_run() {
        let dir = tempfile::tempdir().unwrap();
        let marker = dir.path().join("marker");
        // The first one ends only beside the second one.
        let waits = format!("until test -e {}; do :; done", marker.display());
        let programs = vec![
            script("waits", &waits),
            script(
                "fails",
                &format!("touch {}; echo 'not run: b: needs root' >&2; exit 3", marker.display()),
            ),
            script(
                "passes",
                "echo 'not run: a: needs root' >&2; echo 'not run: b: needs root' >&2",
            ),
        ];
        let reported = run_at_once(programs, 2).unwrap();
        assert_eq!(reported.failed, ["fails"]);
        assert_eq!(reported.not_run.len(), 2, "{:?}", reported.not_run);
    }

    #[test]
    fn a_remaining_process_does_not_block_the_end() {
        // `sleep` inherits the output.
        let (_, mut command) = script("ends", "sleep 60 & echo $!; exit 3");
        let ended = run_one(&mut command).unwrap();
        assert_eq!(ended.status.code(), Some(3));
        assert!(ended.took < Duration::from_secs(60));
        let kill = Command::new("kill").arg(ended.output.trim()).status().unwrap();
        assert!(kill.success(), "it still ran");
    }
}
