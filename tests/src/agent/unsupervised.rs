//! Profiles of the agent's whose gateways its own command runs, outside of any supervisor.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::Stdio;

use serde_json::Value;

use super::{Agent, TIMEOUT};
use crate::{Helper, Hermes, TestEnv, free_port, within};

/// An environment with such profiles. Its end ends the tree and all gateways.
#[derive(Debug)]
pub struct Unsupervised {
    /// The environment.
    pub env: TestEnv,
    /// The agent that runs them.
    pub agent: Agent,
    /// The port of each API server.
    pub ports: BTreeMap<String, u16>,
    processes: Vec<Helper>,
}

impl Unsupervised {
    /// Makes the profiles `names`, each with an API server, and runs their gateways.
    #[track_caller]
    pub fn start(agent: Agent, names: &[&str]) -> Self {
        let env = TestEnv::new();
        agent.link(&env);
        let mut these = Self { env, agent, ports: BTreeMap::new(), processes: Vec::new() };
        for name in names {
            these.create(name);
        }
        for name in names {
            these.launch(name, &[]);
        }
        these.all_serve();
        these
    }

    /// Makes a profile whose API server is enabled.
    #[track_caller]
    pub fn create(&mut self, name: &str) {
        let port = free_port();
        if name == "default" {
            self.env.write(&self.env.home().join(".env"), "");
        } else {
            self.agent.create(&self.env, name);
        }
        self.agent.enable(&self.env, name, port);
        self.ports.insert(name.to_owned(), port);
    }

    /// Runs a gateway with the agent's own command and these variables.
    pub fn launch(&mut self, name: &str, variables: &[(&str, &str)]) {
        let mut command = self.env.command(self.agent.program());
        command.args(["-p", name, "gateway", "run"]).env_remove("HERMES_SCANDIR");
        command.envs(variables.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.processes.push(Helper::start(&mut command));
    }

    /// The home of a profile.
    pub fn home(&self, name: &str) -> PathBuf {
        if name == "default" { self.env.home() } else { self.env.profile(name) }
    }

    /// The process that the kernel lists as the holder of the agent's lock.
    pub fn lock_holder(&self, name: &str) -> Option<u64> {
        let lock = fs::metadata(self.home(name).join("gateway.lock")).ok()?;
        let inode = format!(":{}", lock.ino());
        let locks = fs::read_to_string("/proc/locks").ok()?;
        let line = locks.lines().find(|line| {
            line.contains("FLOCK")
                && line.split_whitespace().nth(5).is_some_and(|it| it.ends_with(&inode))
        });
        line?.split_whitespace().nth(4)?.parse().ok()
    }

    /// Blocks until each gateway serves its own profile.
    #[track_caller]
    pub fn all_serve(&self) {
        self.ports.iter().for_each(|(name, port)| self.serves(name, *port));
    }

    /// Blocks until a gateway holds its lock and serves its own profile.
    #[track_caller]
    pub fn serves(&self, name: &str, port: u16) {
        within(TIMEOUT, "its gateway runs", || self.lock_holder(name));
        within(TIMEOUT, "its API server listens", || {
            std::net::TcpStream::connect(("127.0.0.1", port)).ok()
        });
        let expected = if name == "default" { "hermes-agent" } else { name };
        assert_eq!(self.agent.served(port), expected);
    }

    /// The `hermes` program, which waits as long as a gateway may take.
    pub fn hermes<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Hermes {
        self.env.hermes(args).args(["--timeout", "180"])
    }

    /// A gateway's status.
    #[track_caller]
    pub fn status(&self, name: &str) -> Value {
        self.env.hermes(["gateway", "status", name, "--json"]).run().json()
    }

    /// What a user wrote.
    pub fn files(&self) -> Vec<(PathBuf, Option<String>)> {
        let names = [".env", "SOUL.md", "config.yaml", "gateway.intent"];
        let homes = self.ports.keys().map(|name| self.home(name));
        let files = homes.flat_map(|home| names.map(|name| home.join(name)));
        files.map(|file| (file.clone(), fs::read_to_string(file).ok())).collect()
    }

    /// Checks that each gateway runs as its own command started it, outside of any supervisor.
    #[track_caller]
    pub fn run_as_before(&self) {
        for name in self.ports.keys() {
            let pid = self.lock_holder(name).expect("it runs");
            let read = |file: &str| fs::read(format!("/proc/{pid}/{file}")).expect("a process");
            let command = String::from_utf8_lossy(&read("cmdline")).replace('\0', " ");
            assert!(command.ends_with(&format!("-p {name} gateway run ")), "{command}");
            let environment = String::from_utf8_lossy(&read("environ")).into_owned();
            assert!(!environment.contains("HERMES_S6_SUPERVISED_CHILD"), "{environment}");
            assert_eq!(fs::read_link(format!("/proc/{pid}/cwd")).expect("a link"), self.env.path());
        }
        self.all_serve();
        assert!(!self.env.home().join("hermes-adopted").exists(), "nothing is adopted");
    }
}

impl Drop for Unsupervised {
    fn drop(&mut self) {
        let _ = self.env.hermes(["down"]).run();
        self.env.end_processes();
    }
}
