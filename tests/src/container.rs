//! Runs the image under test; each test has its own containers.
//!
//! [`Container::exec`] runs programs as `hermes`, as in production; running one as root takes a longer name and
//! a reason. No other file may run programs in a container: `cargo xtask tidy` checks that.

#![expect(clippy::print_stderr, reason = "a failed test prints its logs")]

use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;

use crate::{Hermes, Outcome, Running, eventually};

/// The unprivileged user of the image.
const USER: &str = "hermes";

/// The variable with `HERMES_SUPERVISION` for images whose base allows both modes.
const SUPERVISION: &str = "HERMES_TEST_SUPERVISION";

/// The base of the image under test, and the user of the gateways' s6-svscan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Base {
    /// A plain base with our own process 1; the gateways' s6-svscan runs as `hermes`.
    Plain,
    /// s6-overlay; the gateways' s6-svscan runs as `hermes`.
    Overlay,
    /// s6-overlay; the gateways run under its s6-svscan, which runs as root.
    OverlayRoot,
}

/// A container of the image under test, removed at the end of its test.
#[derive(Debug)]
pub struct Container {
    name: String,
    kind: Kind,
}

/// The kind of process 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Kind {
    #[default]
    S6,
    /// As [`S6`](Self::S6), with the Python agent in the image.
    WithAgent,
    Systemd,
}

/// The options that systemd needs as process 1 of a container.
const SYSTEMD: [&str; 11] = [
    "--cap-add=SYS_ADMIN",
    "--security-opt=seccomp=unconfined",
    "--security-opt=apparmor=unconfined",
    "--cgroupns=host",
    "--volume=/sys/fs/cgroup:/sys/fs/cgroup:rw",
    "--tmpfs=/run:exec",
    "--tmpfs=/run/lock",
    "--tmpfs=/tmp",
    "--stop-signal=SIGRTMIN+3",
    "--stop-timeout=60",
    "--env=container=docker",
];

/// The settings of a container to start.
#[derive(Debug, Default)]
#[must_use = "nothing is started yet"]
pub struct Start {
    kind: Kind,
    options: Vec<String>,
    command: Vec<String>,
}

/// A volume, which containers may share, removed at the end of its test.
#[derive(Debug)]
pub struct Volume {
    name: String,
}

impl Start {
    /// The image's settings, without a command.
    pub fn new() -> Self {
        match std::env::var(SUPERVISION) {
            Ok(mode) => Self::default().env("HERMES_SUPERVISION", &mode),
            Err(_) => Self::default(),
        }
    }

    /// The image with systemd as process 1, and with a lingering user `hermes`.
    pub fn systemd() -> Self {
        Self { kind: Kind::Systemd, ..Self::default() }.options(SYSTEMD)
    }

    /// The image with the Python agent in it.
    pub fn with_agent() -> Self {
        Self { kind: Kind::WithAgent, ..Self::new() }
    }

    /// The image's name.
    pub fn image(&self) -> &'static str {
        image(self.kind)
    }

    /// Adds options of `docker run`.
    pub fn options<'a>(mut self, options: impl IntoIterator<Item = &'a str>) -> Self {
        self.options.extend(options.into_iter().map(str::to_owned));
        self
    }

    /// Sets a variable in the container's environment.
    pub fn env(self, name: &str, value: &str) -> Self {
        self.options(["--env", &format!("{name}={value}")])
    }

    /// Puts the home on a volume.
    pub fn home(self, volume: &Volume) -> Self {
        self.options(["--volume", &format!("{}:/opt/data", volume.name)])
    }

    /// Sets the command.
    pub fn command<'a>(mut self, command: impl IntoIterator<Item = &'a str>) -> Self {
        self.command.extend(command.into_iter().map(str::to_owned));
        self
    }

    /// Starts it in the background and does not wait.
    pub fn detached(self) -> Container {
        let container = Container { name: unique(), kind: self.kind };
        docker(self.arguments(&container, &["--detach"])).ok();
        container
    }

    /// Starts it and blocks until its gateways' tree has booted.
    #[track_caller]
    pub fn booted(self) -> Container {
        let container = self.detached();
        container.await_boot(1);
        container
    }

    /// Runs it in the foreground until it ends.
    pub fn run(self) -> Outcome {
        let container = Container { name: unique(), kind: self.kind };
        docker(self.arguments(&container, &[])).run()
    }

    fn arguments(&self, container: &Container, more: &[&str]) -> Vec<String> {
        let fixed = ["run", "--name", &container.name, "--label", label()];
        let fixed = fixed.iter().chain(more).map(|argument| (*argument).to_owned());
        let image = [image(self.kind).to_owned()];
        fixed
            .chain(self.options.iter().cloned())
            .chain(image)
            .chain(self.command.iter().cloned())
            .collect()
    }
}

impl Volume {
    /// A new, empty volume.
    #[expect(clippy::new_without_default, reason = "it creates a volume")]
    pub fn new() -> Self {
        let volume = Self { name: unique() };
        docker(["volume", "create", "--label", label(), &volume.name]).ok();
        volume
    }
}

impl Container {
    /// One with the agent in its image that another program makes.
    pub(crate) fn named(name: String) -> Self {
        Self { name, kind: Kind::WithAgent }
    }

    /// Its user's root home.
    pub fn home(&self) -> &'static str {
        match self.kind {
            Kind::S6 | Kind::WithAgent => "/opt/data",
            Kind::Systemd => "/home/hermes/.hermes",
        }
    }

    /// A program as the user `hermes`.
    pub fn exec<'a>(&self, command: impl IntoIterator<Item = &'a str>) -> Hermes {
        self.enter(USER, command)
    }

    /// `hermes` as the user `hermes`.
    pub fn hermes<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Hermes {
        self.exec(["hermes"].into_iter().chain(args))
    }

    /// A shell script as the user `hermes`.
    pub fn shell(&self, script: &str) -> Hermes {
        self.exec(["sh", "-c", script])
    }

    /// A program as root; `reason` states why it can't run as `hermes`.
    pub fn exec_as_root_because<'a>(
        &self,
        reason: &str,
        command: impl IntoIterator<Item = &'a str>,
    ) -> Hermes {
        assert!(reason.len() > 10, "state the reason: {reason}");
        self.enter("0:0", command)
    }

    fn enter<'a>(&self, user: &str, command: impl IntoIterator<Item = &'a str>) -> Hermes {
        let mut line = ["exec", "--user", user, &self.name].map(str::to_owned).to_vec();
        line.extend(command.into_iter().map(str::to_owned));
        docker(line)
    }

    /// The command lines of all processes whose program is called `name`.
    pub fn processes(&self, name: &str) -> Vec<String> {
        let script = "for p in /proc/[0-9]*; do [ \"$(cat $p/comm)\" = \"$1\" ] || continue; \
                      tr '\\0' ' ' <$p/cmdline; echo; done 2>/dev/null; true";
        let output = self.exec(["sh", "-c", script, "sh", name]).ok().stdout;
        output.lines().map(|line| line.trim_end().to_owned()).collect()
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Blocks until its output has reported `times` that a tree is up.
    #[track_caller]
    pub fn await_boot(&self, times: usize) {
        match self.kind {
            Kind::S6 | Kind::WithAgent => self.await_output("the tree is up", times),
            Kind::Systemd => {
                eventually("systemd has booted and started the manager of hermes", || {
                    let booted = ["systemctl", "is-system-running"];
                    let own =
                        "XDG_RUNTIME_DIR=/run/user/$(id -u) systemctl --user is-system-running";
                    let is_running = |status: Hermes| status.run().stdout == "running\n";
                    (is_running(self.exec(booted)) && is_running(self.shell(own))).then_some(())
                })
            }
        }
    }

    /// Blocks until its output contains `text` this many times.
    #[track_caller]
    pub fn await_output(&self, text: &str, times: usize) {
        eventually(text, || {
            let output = self.output();
            assert!(self.is_running() || output.contains(text), "it ended:\n{output}");
            (output.matches(text).count() >= times).then_some(())
        });
    }

    /// Its stdout and stderr so far.
    pub fn output(&self) -> String {
        let logs = docker(["logs", &self.name]).run();
        logs.stdout + &logs.stderr
    }

    /// Whether it runs.
    pub fn is_running(&self) -> bool {
        self.inspect("{{.State.Running}}") == "true"
    }

    /// Blocks until it has ended; then its exit code.
    #[track_caller]
    pub fn exit_code(&self) -> i32 {
        eventually("it ends", || (!self.is_running()).then_some(()));
        self.inspect("{{.State.ExitCode}}").parse().expect("a number")
    }

    /// How often Docker has started it again.
    pub fn restarts(&self) -> String {
        self.inspect("{{.RestartCount}}")
    }

    /// Its health, as Docker reports it.
    pub fn health(&self) -> String {
        self.inspect("{{.State.Health.Status}}")
    }

    fn inspect(&self, format: &str) -> String {
        let output = docker(["inspect", "--format", format, &self.name]).ok();
        output.stdout.trim().to_owned()
    }

    /// Runs `docker stop`, `restart`, `kill` or `start`, until it ends.
    #[track_caller]
    pub fn docker(&self, verb: &str) {
        docker([verb, &self.name]).ok();
    }

    /// Runs such a command in the background.
    pub fn docker_spawn(&self, verb: &str) -> Running {
        docker([verb, &self.name]).spawn()
    }

    /// A gateway's status.
    #[track_caller]
    pub fn status(&self, profile: &str) -> Value {
        self.hermes(["gateway", "status", profile, "--json"]).run().json()
    }

    /// Creates a profile whose gateway is the shell command `command`.
    #[track_caller]
    pub fn profile_running(&self, name: &str, command: &str) {
        self.hermes(["profile", "create", name]).ok();
        let command = serde_json::to_string(command).expect("a string");
        let config = format!("gateway:\n  command: [/bin/sh, -c, {command}]\n");
        self.write(&format!("{}/profiles/{name}/config.yaml", self.home()), &config);
    }

    /// Writes a file as `hermes`.
    #[track_caller]
    pub fn write(&self, path: &str, text: &str) {
        self.exec(["sh", "-c", "printf %s \"$2\" >\"$1\"", "sh", path, text]).ok();
    }

    /// Reads a file as `hermes`.
    #[track_caller]
    pub fn read(&self, path: &str) -> String {
        self.exec(["cat", path]).ok().stdout
    }

    /// The lines in a gateway's log, without their timestamps.
    pub fn logged(&self, profile: &str) -> Vec<String> {
        let path = format!("/opt/data/logs/gateways/{profile}/current");
        let text = self.exec(["cat", &path]).run().stdout;
        text.lines().map(crate::log_line::text_of).collect()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the container {}\n{}", self.name, self.output());
            if std::env::var_os("HERMES_TEST_KEEP").is_some() {
                return;
            }
        }
        let _ = docker(["rm", "--force", "--volumes", &self.name]).run();
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        // Fails if the kept container of a failed test uses it.
        let _ = docker(["volume", "rm", "--force", &self.name]).run();
    }
}

/// The base of the image under test.
pub fn base() -> Base {
    static OVERLAY: OnceLock<bool> = OnceLock::new();
    let overlay = *OVERLAY.get_or_init(|| {
        let probe =
            ["--rm", "--entrypoint", "test", image(Kind::S6), "-d", "/package/admin/s6-overlay"];
        docker(["run"].into_iter().chain(probe)).run().code() == Some(0)
    });
    match (overlay, std::env::var_os(SUPERVISION).is_some()) {
        (false, _) => Base::Plain,
        (true, false) => Base::Overlay,
        (true, true) => Base::OverlayRoot,
    }
}

fn docker<S: AsRef<str>>(args: impl IntoIterator<Item = S>) -> Hermes {
    let mut command = Command::new("docker");
    command.args(args.into_iter().map(|argument| argument.as_ref().to_owned()));
    command.stdin(Stdio::null());
    Hermes::new(command)
}

pub(crate) fn unique() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("hermes-test-{}-{number}", std::process::id())
}

fn image(kind: Kind) -> &'static str {
    static IMAGES: [OnceLock<String>; 3] = [const { OnceLock::new() }; 3];
    match kind {
        Kind::S6 => given(&IMAGES[0], "HERMES_TEST_IMAGE"),
        Kind::WithAgent => given(&IMAGES[1], "HERMES_TEST_AGENT_IMAGE"),
        Kind::Systemd => given(&IMAGES[2], "HERMES_TEST_SYSTEMD_IMAGE"),
    }
}

pub(crate) fn label() -> &'static str {
    static LABEL: OnceLock<String> = OnceLock::new();
    given(&LABEL, "HERMES_TEST_LABEL")
}

fn given(cell: &'static OnceLock<String>, name: &str) -> &'static str {
    cell.get_or_init(|| {
        std::env::var(name)
            .unwrap_or_else(|_| panic!("{name} is not set: run cargo xtask docker-test"))
    })
}
