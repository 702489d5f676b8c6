//! A test environment with launchd in charge: a launchctl of the tests that really starts and ends jobs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use hermes_tests::suite::Machine;
use hermes_tests::{Hermes, TestEnv, eventually, free_port};
use serde_json::Value;

/// A user's machine with a launchd. Dropping this value ends it.
pub(crate) struct Mac {
    pub(crate) env: TestEnv,
    launchd: PathBuf,
}

impl Mac {
    /// A machine with a graphical session.
    pub(crate) fn new() -> Self {
        let env = TestEnv::new();
        let launchd = env.path().join("launchd");
        env.make_directory(&launchd);
        let mac = Self { env, launchd };
        let text = include_str!("launchctl.py");
        let python = hermes_tests::python_with("plistlib");
        let text = text.replacen("#!/usr/bin/env python3", &interpreter(python), 1);
        mac.replace_launchctl(&text);
        mac.set("gui", "");
        // launchd's interval of ten seconds is too long for tests.
        mac.set("throttle", "0.2");
        mac
    }

    /// A machine without a graphical session.
    pub(crate) fn without_screen() -> Self {
        let mac = Self::new();
        fs::remove_file(mac.launchd.join("gui")).expect("it was there");
        mac
    }

    /// Replaces the program `launchctl` with this script.
    pub(crate) fn replace_launchctl(&self, text: &str) {
        self.env.write_program(&self.launchd.join("launchctl"), text);
    }

    /// Changes how launchd behaves: see `launchctl.py`.
    pub(crate) fn set(&self, name: &str, value: &str) {
        self.env.write(&self.launchd.join(name), value);
    }

    pub(crate) fn hermes<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Hermes {
        let launchctl = self.launchd.join("launchctl");
        let launchctl = launchctl.to_str().expect("a UTF-8 path");
        hermes_tests::alone(&self.env, args).env("HERMES_TEST_LAUNCHCTL", launchctl)
    }

    /// Creates a profile with the built-in gateway and installs it.
    pub(crate) fn serving(&self, name: &str) {
        let port = free_port().to_string();
        self.hermes(["profile", "create", name, "--port", &port]).ok();
        self.hermes(["gateway", "install", name]).ok();
    }

    /// Creates a profile whose gateway is the shell command `command`, and installs it.
    pub(crate) fn running(&self, name: &str, command: &str) {
        self.hermes(["profile", "create", name]).ok();
        self.configure(name, command, 8);
        self.hermes(["gateway", "install", name]).ok();
    }

    pub(crate) fn configure(&self, name: &str, command: &str, stop_timeout: u64) {
        let command = serde_json::to_string(command).expect("a string");
        let text = format!(
            "gateway:\n  command: [/bin/sh, -c, {command}]\n  stop_timeout: {stop_timeout}\n"
        );
        self.env.write(&self.env.profile(name).join("config.yaml"), &text);
    }

    pub(crate) fn status(&self, name: &str) -> Value {
        let outcome = self.hermes(["gateway", "status", name, "--json"]).run();
        outcome.json()
    }

    /// Waits until a status is in `state`.
    pub(crate) fn await_state(&self, name: &str, state: &str) -> Value {
        eventually(&format!("`{name}` is {state}"), || {
            Some(self.status(name)).filter(|status| status["state"] == state)
        })
    }

    /// The output of `launchctl print` for a profile's job in this domain.
    pub(crate) fn job(&self, kind: &str, name: &str) -> Option<String> {
        let uid = fs::metadata(self.env.home()).map(|home| {
            use std::os::unix::fs::MetadataExt;
            home.uid()
        });
        let uid = uid.expect("a home");
        let output = self.launchctl(["print", &format!("{kind}/{uid}/{}", self.label(name))]);
        output.status.success().then(|| String::from_utf8(output.stdout).expect("UTF-8"))
    }

    pub(crate) fn label(&self, name: &str) -> String {
        let agent = self.agent(name);
        agent.file_stem().expect("a name").to_str().expect("UTF-8").to_owned()
    }

    /// The profile's property list. All labels of this environment have the same prefix.
    pub(crate) fn agent(&self, name: &str) -> PathBuf {
        let home = self.env.home();
        let tag = hermes_host::account::tag(&hermes_core::RootHome::new(home));
        self.agents().join(format!("ai.hermes.gateway-{tag}.{name}.plist"))
    }

    pub(crate) fn agents(&self) -> PathBuf {
        self.env.path().join("Library/LaunchAgents")
    }

    /// The commands to launchctl since `mark`, without `print`.
    pub(crate) fn commands(&self, mark: usize) -> Vec<String> {
        let calls = fs::read_to_string(self.launchd.join("calls")).unwrap_or_default();
        let verb = |line: &str| line.split(' ').next().unwrap_or_default().to_owned();
        calls.lines().map(verb).filter(|verb| verb != "print").skip(mark).collect()
    }

    /// All commands to launchctl.
    pub(crate) fn calls(&self) -> String {
        fs::read_to_string(self.launchd.join("calls")).unwrap_or_default()
    }

    pub(crate) fn log_in(&self) {
        let agents = self.agents();
        let done = self.launchctl([Path::new("test-log-in"), &agents]);
        assert!(done.status.success(), "{done:?}");
    }

    pub(crate) fn log_out(&self) {
        let done = self.launchctl(["test-log-out"]);
        assert!(done.status.success(), "{done:?}");
    }

    fn launchctl(&self, args: impl IntoIterator<Item = impl AsRef<std::ffi::OsStr>>) -> Output {
        let mut command = self.env.command(self.launchd.join("launchctl"));
        command.env("HERMES_TEST_LAUNCHCTL", self.launchd.join("launchctl"));
        command.args(args).output().expect("python3 runs")
    }
}

/// The `#!` line for this Python.
fn interpreter(python: &str) -> String {
    if python.starts_with('/') { format!("#!{python}") } else { format!("#!/usr/bin/env {python}") }
}

impl Machine for Mac {
    fn hermes(&self, args: &[&str]) -> Hermes {
        self.hermes(args.iter().copied())
    }

    fn shell(&self, script: &str) -> Hermes {
        let launchctl = self.launchd.join("launchctl");
        let shell = self.env.shell(script).env_remove("HERMES_SCANDIR");
        shell.env("HERMES_TEST_LAUNCHCTL", launchctl.to_str().expect("a UTF-8 path"))
    }

    fn home(&self) -> String {
        self.env.home().to_str().expect("a UTF-8 path").to_owned()
    }

    fn serve(&self, profile: &str) {
        self.hermes(["gateway", "install", profile]).ok();
    }

    fn port(&self) -> Option<u16> {
        Some(free_port())
    }

    fn restart(&mut self) {
        self.log_out();
        self.log_in();
    }

    fn service_files(&self, profile: &str) -> Vec<String> {
        let agent = Some(self.agent(profile)).filter(|agent| agent.exists());
        let jobs = ["gui", "user"].map(|kind| self.job(kind, profile).map(|_| kind.to_owned()));
        let agent = agent.map(|agent| agent.display().to_string());
        agent.into_iter().chain(jobs.into_iter().flatten()).collect()
    }

    fn rendered(&self, profile: &str) -> String {
        let agent = fs::read_to_string(self.agent(profile)).expect("it is installed");
        let arguments = agent.replace("</string>\n\t\t<string>", " ");
        [arguments, self.calls(), self.job("gui", profile).unwrap_or_default()].concat()
    }
}

impl Drop for Mac {
    fn drop(&mut self) {
        self.env.end_processes();
    }
}
