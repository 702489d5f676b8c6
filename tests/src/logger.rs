//! A real s6-log on the log directory of a profile, without a tree around it.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};

use crate::{TestEnv, eventually, libfaketime};

/// An s6-log that adds timestamps like the slots' loggers, and rotates after 4,096 bytes.
#[derive(Debug)]
pub struct Logger {
    directory: PathBuf,
    child: Child,
    stdin: Option<ChildStdin>,
    keeps: usize,
    /// The count of logged numbers.
    pub written: usize,
    /// The archives that have existed at any time.
    pub archives: BTreeSet<PathBuf>,
}

impl Logger {
    /// An s6-log for `profile` that keeps this many archives.
    pub fn start(env: &TestEnv, profile: &str, keeps: usize) -> Self {
        Self::launch(env, profile, keeps, env.command(crate::programs::program("s6-log")))
    }

    /// The same with a clock that differs by `offset` from the machine's, such as `-1h`.
    pub fn start_at(env: &TestEnv, profile: &str, keeps: usize, offset: &str) -> Self {
        let mut command = env.command(crate::programs::program("s6-log"));
        command.env("LD_PRELOAD", libfaketime()).env("FAKETIME", offset);
        command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        Self::launch(env, profile, keeps, command)
    }

    fn launch(env: &TestEnv, profile: &str, keeps: usize, mut command: Command) -> Self {
        let directory = env.home().join("logs/gateways").join(profile);
        env.make_directory(&env.home().join("logs"));
        env.make_directory(&env.home().join("logs/gateways"));
        command.args(["--", "t", &format!("n{keeps}"), "s4096"]).arg(&directory);
        let mut child = command.stdin(Stdio::piped()).spawn().expect("s6-log runs");
        let stdin = child.stdin.take();
        let archives = BTreeSet::new();
        let logger = Self { directory, child, stdin, keeps, written: 0, archives };
        eventually("s6-log has a file", || logger.directory.join("current").exists().then_some(()));
        logger
    }

    /// Logs this many lines of equal length, with consecutive numbers from 0.
    pub fn write(&mut self, lines: usize) {
        let until = self.written + lines;
        let text: String = (self.written..until).map(|line| format!("{line:032}\n")).collect();
        self.log(&text);
        self.written = until;
    }

    /// Logs `text`.
    pub fn log(&mut self, text: &str) {
        let stdin = self.stdin.as_mut().expect("stdin is open until drop");
        stdin.write_all(text.as_bytes()).expect("s6-log reads");
    }

    /// Blocks until s6-log has written all lines to files.
    pub fn await_written(&mut self) {
        let last = format!("{:032}\n", self.written - 1);
        let current = self.directory.join("current");
        eventually("s6-log has written all", || {
            let ends =
                |path: &PathBuf| fs::read_to_string(path).unwrap_or_default().ends_with(&last);
            (ends(&current) || self.files().iter().any(ends)).then_some(())
        });
    }

    /// Logs numbers until the current file is partly filled and no rotation is in progress.
    pub fn settle(&mut self) {
        let [current, previous] = ["current", "previous"].map(|name| self.directory.join(name));
        while fs::metadata(&current).map_or(true, |metadata| metadata.len() > 3_000) {
            self.write(1);
            self.await_written();
        }
        eventually("s6-log has rotated", || {
            (self.files().len() <= self.keeps && !previous.exists()).then_some(())
        });
    }

    /// The archives, oldest first.
    pub fn files(&mut self) -> BTreeSet<PathBuf> {
        let entries = fs::read_dir(&self.directory).expect("a log directory");
        let paths = entries.map(|entry| entry.expect("an entry").path());
        let is_archive = |path: &PathBuf| path.extension().is_some_and(|end| end == "s");
        let files: BTreeSet<_> = paths.filter(is_archive).collect();
        self.archives.extend(files.iter().cloned());
        files
    }
}

impl Drop for Logger {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.child.wait();
    }
}
