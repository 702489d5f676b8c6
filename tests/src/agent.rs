//! The Python agent, which `cargo xtask install` installs, and homes that its own commands make.

mod unsupervised;
mod written;

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

pub use self::unsupervised::Unsupervised;
pub use self::written::Written;
use crate::{Hermes, TestEnv, free_port, processes_naming, request};

/// How long its gateway may take to start on a slow machine.
pub const TIMEOUT: Duration = Duration::from_secs(180);
/// The words in its command line that run a gateway.
const RUN: &[u8] = b"\0gateway\0run\0";

/// An installed agent.
#[derive(Debug, Clone)]
pub struct Agent {
    venv: PathBuf,
}

impl Agent {
    /// The key of its API server.
    pub const KEY: &str = "0123456789abcdef0123456789abcdef";

    /// The newest one that `cargo xtask install` installs.
    ///
    /// # Panics
    ///
    /// If it is not installed.
    pub fn installed() -> Self {
        Self::at("python-agent")
    }

    /// The last release of a minor version before the newest, `0.18` or `0.17`.
    ///
    /// # Panics
    ///
    /// If it is not installed.
    pub fn older(minor: &str) -> Self {
        Self::at(&format!("python-agent-{minor}"))
    }

    fn at(name: &str) -> Self {
        let test = std::env::current_exe().expect("a test is a program");
        let target = test.ancestors().nth(3).expect("target/<profile>/deps/<test>");
        let venv = target.join(name).canonicalize();
        Self { venv: venv.expect("the Python agent is installed: `cargo xtask install`") }
    }

    /// Its virtual environment.
    pub fn venv(&self) -> &Path {
        &self.venv
    }

    /// Its program.
    pub fn program(&self) -> PathBuf {
        self.venv.join("bin/hermes")
    }

    /// A command of the agent's own, in an environment.
    pub fn command<'a>(&self, env: &TestEnv, args: impl IntoIterator<Item = &'a str>) -> Hermes {
        Hermes::new(env.command(self.program())).args(args)
    }

    /// Links the program where its installer links it, in the user's home, so that Hermes finds it.
    pub fn link(&self, env: &TestEnv) {
        let bin = env.path().join(".local/bin");
        env.make_directory(&env.path().join(".local"));
        env.make_directory(&bin);
        symlink(self.program(), bin.join("hermes")).expect("a link");
    }

    /// Makes a profile with the agent's own command.
    #[track_caller]
    pub fn create(&self, env: &TestEnv, name: &str) {
        self.command(env, ["profile", "create", name, "--no-alias"]).ok();
    }

    /// Enables the profile's API server on `port`, as the agent's users do.
    pub fn enable(&self, env: &TestEnv, name: &str, port: u16) {
        let home = if name == "default" { env.home() } else { env.profile(name) };
        let dotenv = home.join(".env");
        let mut file = OpenOptions::new().append(true).open(dotenv).expect("the agent made it");
        let lines = format!("API_SERVER_KEY={}\nAPI_SERVER_PORT={port}\n", Self::KEY);
        file.write_all(lines.as_bytes()).expect("space on the disk");
    }

    /// Makes a profile whose API server is enabled, and links the program; returns the port.
    #[track_caller]
    pub fn create_serving(&self, env: &TestEnv, name: &str) -> u16 {
        self.link(env);
        self.create(env, name);
        let port = free_port();
        self.enable(env, name, port);
        port
    }

    /// The profile that the gateway on `port` serves.
    #[track_caller]
    pub fn served(&self, port: u16) -> Value {
        let bearer = format!("Bearer {}", Self::KEY);
        let url = format!("http://127.0.0.1:{port}/v1/models");
        request("GET", &url, &[("Authorization", &bearer)], None).json()["data"][0]["id"].take()
    }

    /// The processes that run a gateway of the agent's in an environment.
    pub fn processes(&self, env: &TestEnv) -> Vec<u64> {
        let command = |pid: &u64| fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let runs = |pid: &u64| {
            let command = command(pid);
            command.windows(RUN.len()).any(|words| words == RUN)
        };
        processes_naming(env.path().to_str().expect("UTF-8")).into_iter().filter(runs).collect()
    }
}
