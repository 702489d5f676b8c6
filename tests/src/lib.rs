//! The test kit: each test gets its own environment, with the real programs.
//!
//! Everything runs as a plain user, as in production; if root runs the tests, as the user 10000. So code that
//! works only as root fails here.

pub mod agent;
mod browser;
mod clock;
mod command;
pub mod compose;
pub mod container;
#[cfg(target_os = "linux")]
mod control_group;
pub mod crash;
mod dashboard;
pub mod doctor;
#[cfg(target_os = "linux")]
pub mod foreign_lock;
mod http;
pub mod installation;
#[cfg(target_os = "linux")]
pub mod kubernetes;
mod log_line;
mod logger;
pub mod manifests;
pub mod model;
#[cfg(target_os = "linux")]
pub mod mounts;
pub mod multiplexer;
mod previous;
mod programs;
mod proxy;
#[cfg(target_os = "linux")]
pub mod seccomp;
mod seeded_rng;
mod snapshot;
mod stream;
pub mod suite;
mod test_env;
mod tree;

pub use browser::{Browser, Theme, colours, keep, keeps_pictures};
pub use clock::Clock;
pub use command::{Hermes, Outcome, Running};
#[cfg(target_os = "linux")]
pub use control_group::TestGroup;
pub use dashboard::{Dashboard, Events};
pub use http::{Answer, request};
pub use logger::Logger;
pub use previous::previous_program;
pub use programs::{custom_backend_program, hermes_program, kubernetes_program, libfaketime};
pub use proxy::Proxy;
pub use seeded_rng::SeededRng;
pub use snapshot::Snapshot;
pub use stream::Stream;
pub use test_env::{TestEnv, free_port, is_free};
pub use tree::{Helper, Svscan, Up};

use std::convert::Infallible;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use hermes_core::process::Process;
use hermes_core::wait::{self, Poll};
use hermes_s6::slot::layout::ServiceDir;
use serde_json::Value;

/// The timeout for expected events. It is long, because test machines may be slow.
pub const SOON: Duration = Duration::from_secs(60);

/// Calls `look` until it returns a value, at most for [`SOON`].
///
/// # Panics
///
/// If it does not answer in time.
#[track_caller]
pub fn eventually<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    within(SOON, what, look)
}

/// Calls `look` until it returns a value, at most for `timeout`.
///
/// # Panics
///
/// If it does not answer in time.
#[track_caller]
pub fn within<T>(timeout: Duration, what: &str, look: impl FnMut() -> Option<T>) -> T {
    let value = answered(timeout, look);
    value.unwrap_or_else(|| panic!("not within {timeout:?}: {what}"))
}

/// Calls `look` until it returns a value; `None` after `timeout`.
pub fn answered<T>(timeout: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let Ok(value) = wait::until(Instant::now() + timeout, || {
        Ok::<_, Infallible>(look().map_or(Poll::Wait, Poll::Done))
    });
    value
}

/// Prints a line to stderr even if the test passes.
pub fn tell(text: std::fmt::Arguments<'_>) {
    // Unlike `eprintln!`, this is not captured.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Whether root runs the tests. Only root can cause some faults.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Skips a test that needs root if another user runs it, and prints a line to stderr:
/// `not run: links::some_test: needs root`. `cargo xtask test` collects these lines.
#[macro_export]
macro_rules! require_root {
    () => {{
        fn marker() {}
        if $crate::needs_root(std::any::type_name_of_val(&marker)) {
            return;
        }
    }};
}

/// Whether to skip a test that needs root; prints a line if so. For [`require_root!`], which defines a
/// function `marker` in the test.
#[doc(hidden)]
pub fn needs_root(marker: &str) -> bool {
    if !is_root() {
        tell_not_run(marker, "needs root");
    }
    !is_root()
}

/// Prints that a test was not run. For the macros, which define a function `marker` in the test.
#[doc(hidden)]
pub fn tell_not_run(marker: &str, reason: &str) {
    let test = marker.strip_suffix("::marker").unwrap_or(marker);
    tell(format_args!("not run: {test}: {reason}"));
}

/// Whether a process with this id exists and is not a zombie.
pub fn is_alive(pid: u64) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// The processes with `needle` in their arguments or environment.
pub fn processes_naming(needle: &str) -> Vec<u64> {
    let names = |pid: u64, file: &str| {
        let text = std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        text.windows(needle.len()).any(|window| window == needle.as_bytes())
    };
    let entries = std::fs::read_dir("/proc").expect("/proc is mounted");
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid| names(*pid, "cmdline") || names(*pid, "environ"))
        .filter(|pid| is_alive(*pid))
        .collect()
}

/// Whether a process has the file at `path` open.
pub fn is_open_in(pid: u64, path: &Path) -> bool {
    let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    files.into_iter().any(|file| fs::read_link(file.path()).is_ok_and(|open| open == path))
}

/// The running supervisors of a slot's service and logger.
pub fn supervisors(slot: &Path) -> Vec<u64> {
    let parts = ServiceDir::new(slot).parts();
    let holders = parts.iter().filter_map(|part| part.supervisor().expect("a readable lock"));
    holders.map(|holder| holder.pid.expect("a pid namespace of ours").into()).collect()
}

/// The pid in a status.
#[track_caller]
pub fn pid(status: &Value) -> u64 {
    status["pid"].as_u64().unwrap_or_else(|| panic!("no pid in {status}"))
}

/// Sends `signal` to a process that the test started, or whose id it has just read from a supervisor.
pub fn signal(pid: u64, signal: rustix::process::Signal) {
    let pid = u32::try_from(pid).expect("a pid");
    let process = Process::open(pid).expect("a pidfd").expect("a living process");
    process.signal(signal).expect("permission to signal");
}

/// Sends SIGKILL to such a process, as [`signal`] does.
pub fn kill(pid: u64) {
    signal(pid, rustix::process::Signal::KILL);
}

/// A command without a configured scan directory and without a running `hermes up`.
pub fn alone<'a>(env: &TestEnv, args: impl IntoIterator<Item = &'a str>) -> Hermes {
    let runtime = env.path().join("runtime");
    env.make_directory(&runtime);
    env.hermes(args)
        .env_remove("HERMES_SCANDIR")
        .env("XDG_RUNTIME_DIR", runtime.to_str().expect("a UTF-8 path"))
}

/// Checks stderr: one line `error: …`, indented causes below it, quoted lines of a configuration, at most one hint.
#[track_caller]
pub fn is_one_clear_error(outcome: &Outcome) {
    let lines: Vec<_> = outcome.stderr.lines().collect();
    assert!(lines[0].starts_with("error: "), "{outcome}");
    let rest: Vec<_> = lines[1..].iter().filter(|line| !is_quote(line)).collect();
    let hints = rest.iter().filter(|line| line.starts_with("hint: ")).count();
    let causes = rest.iter().filter(|line| line.starts_with("  ")).count();
    assert!(hints <= 1 && hints + causes == rest.len(), "{outcome}");
    assert_eq!(outcome.stdout, "", "{outcome}");
}

/// Whether it is a line of a quoted configuration: the place, the line with its number, the caret.
fn is_quote(line: &str) -> bool {
    let line = line.trim_start_matches(|c: char| c == ' ' || c.is_ascii_digit());
    ["-->", ":::", "|"].iter().any(|begin| line.starts_with(begin))
}

/// The text with the environment's path replaced by `W`.
pub fn short(env: &TestEnv, text: &str) -> String {
    text.replace(env.path().to_str().expect("a UTF-8 path"), "W")
}

/// The sorted names in a directory, without those of locks; empty if the directory does not exist.
pub fn names(directory: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let name = |entry: std::io::Result<fs::DirEntry>| {
        entry.expect("an entry").file_name().into_string().expect("UTF-8")
    };
    let mut names: Vec<_> =
        entries.map(name).filter(|name| name != ".locks" && name != ".gateways").collect();
    names.sort();
    names
}

/// Sets a mode, independent of the umask.
pub fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("the file exists");
}

/// A Python with `module`. The system's comes first: other users may not run that of a version manager.
pub fn python_with(module: &str) -> &'static str {
    let has = |python: &&str| {
        let mut import = Command::new(python);
        let import = import.args(["-I", "-c", &format!("import {module}")]).stderr(Stdio::null());
        import.status().is_ok_and(|status| status.success())
    };
    let python = ["/usr/bin/python3", "python3"].into_iter().find(has);
    python.unwrap_or_else(|| panic!("no python3 with `{module}`: `cargo xtask install`"))
}
