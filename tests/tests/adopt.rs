//! `hermes adopt`: gateways that the Python agent's own command runs become supervised, and run as before again.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use hermes_tests::agent::{Agent, TIMEOUT};
use hermes_tests::{Helper, TestEnv, free_port, is_alive, kill, pid, within};
use serde_json::{Value, json};

const ALL: [&str; 4] = ["default", "alpha", "beta", "gamma"];

/// Four profiles of the agent's, whose gateways its own command runs.
struct Running {
    env: TestEnv,
    agent: Agent,
    ports: BTreeMap<&'static str, u16>,
    _processes: Vec<Helper>,
}

impl Running {
    fn start(names: &[&'static str]) -> Self {
        let (env, agent) = (TestEnv::new(), Agent::installed());
        agent.link(&env);
        let mut ports = BTreeMap::new();
        for name in names {
            let port = free_port();
            if *name == "default" {
                env.write(&env.home().join(".env"), "");
            } else {
                agent.create(&env, name);
            }
            agent.enable(&env, name, port);
            ports.insert(*name, port);
        }
        let mut running = Self { env, agent, ports, _processes: Vec::new() };
        let processes = names.iter().map(|name| running.launch(name)).collect();
        running._processes = processes;
        within(TIMEOUT, "the agent's gateways serve", || {
            names.iter().all(|name| running.lock_holder(name).is_some()).then_some(())
        });
        running.all_serve();
        running
    }

    fn launch(&self, name: &str) -> Helper {
        let mut command = self.env.command(self.agent.program());
        command.args(["-p", name, "gateway", "run"]).env_remove("HERMES_SCANDIR");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Helper::start(&mut command)
    }

    fn home(&self, name: &str) -> PathBuf {
        if name == "default" { self.env.home() } else { self.env.profile(name) }
    }

    /// The process that the kernel lists as the holder of the agent's lock.
    fn lock_holder(&self, name: &str) -> Option<u64> {
        let lock = fs::metadata(self.home(name).join("gateway.lock")).ok()?;
        let inode = format!(":{}", std::os::unix::fs::MetadataExt::ino(&lock));
        let locks = fs::read_to_string("/proc/locks").ok()?;
        let line = locks.lines().find(|line| {
            line.contains("FLOCK")
                && line.split_whitespace().nth(5).is_some_and(|it| it.ends_with(&inode))
        });
        line?.split_whitespace().nth(4)?.parse().ok()
    }

    /// Blocks until each gateway serves its own profile.
    #[track_caller]
    fn all_serve(&self) {
        for (name, port) in &self.ports {
            let expected = if *name == "default" { "hermes-agent" } else { name };
            within(TIMEOUT, "its API server listens", || {
                std::net::TcpStream::connect(("127.0.0.1", *port)).ok()
            });
            assert_eq!(self.agent.served(*port), expected);
        }
    }

    fn hermes<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> hermes_tests::Hermes {
        self.env.hermes(args).args(["--timeout", "180"])
    }

    fn status(&self, name: &str) -> Value {
        self.env.hermes(["gateway", "status", name, "--json"]).run().json()
    }

    /// What a user wrote.
    fn files(&self) -> Vec<(PathBuf, Option<String>)> {
        let names = [".env", "SOUL.md", "config.yaml", "gateway.intent"];
        let homes = self.ports.keys().map(|name| self.home(name));
        let files = homes.flat_map(|home| names.map(|name| home.join(name)));
        files.map(|file| (file.clone(), fs::read_to_string(file).ok())).collect()
    }

    /// Checks that each gateway runs as its own command started it, outside of any supervisor.
    #[track_caller]
    fn run_as_before(&self) {
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

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.env.hermes(["down"]).run();
        self.env.end_processes();
    }
}

/// The first lines of a process's messages, until one contains `text`.
fn read_until(stderr: &mut impl std::io::Read, text: &str) {
    let mut read = Vec::new();
    while !String::from_utf8_lossy(&read).contains(text) {
        let mut byte = [0];
        assert_eq!(
            stderr.read(&mut byte).expect("a pipe"),
            1,
            "{}",
            String::from_utf8_lossy(&read)
        );
        read.push(byte[0]);
    }
}

#[test]
fn one_command_has_all_supervised_and_another_puts_them_back() {
    let running = Running::start(&ALL);
    let env = &running.env;
    let before = running.files();
    let plan = running.hermes(["adopt", "--dry-run"]).ok();
    for name in ALL {
        assert!(plan.stdout.contains(&format!("-p {name} gateway run")), "{plan}");
    }
    assert!(!env.home().join("hermes-adopted").exists(), "a dry run writes nothing");

    // No tree runs: it starts one.
    running.hermes(["adopt"]).ok();
    running.all_serve();
    for name in ALL {
        let status = running.status(name);
        assert_eq!((&status["state"], &status["ready"]), (&json!("up"), &json!(true)), "{status}");
        assert_eq!(running.lock_holder(name), Some(pid(&status)), "it is the only gateway");
    }
    let journal = env.home().join("hermes-adopted/journal.json");
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &fs::metadata(journal).expect("a journal").permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
    let again = running.hermes(["adopt"]).ok();
    assert!(again.stderr.contains("nothing to adopt"), "{again}");

    let first = pid(&running.status("alpha"));
    kill(first);
    within(TIMEOUT, "it is back", || {
        let status = running.status("alpha");
        (status["ready"] == true && pid(&status) != first).then_some(())
    });
    assert_eq!(running.agent.served(running.ports["alpha"]), "alpha");

    running.hermes(["adopt", "--undo"]).ok();
    running.run_as_before();
    assert_eq!(running.files(), before, "nobody wrote them");
    env.hermes(["gateway", "status", "alpha"]).fails_with(5);
}

#[test]
fn a_killed_adoption_goes_on_or_is_put_back() {
    let running = Running::start(&["alpha", "beta"]);
    let before = running.files();
    let kill_between = || {
        let mut command = running.env.command((running.env.program)());
        command.args(["adopt", "--timeout", "180"]).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut adopt = command.spawn().expect("hermes runs");
        let mut stderr = adopt.stderr.take().expect("a pipe");
        read_until(&mut stderr, "`alpha` is adopted");
        read_until(&mut stderr, "`beta`: stopping process");
        adopt.kill().expect("a child");
        adopt.wait().expect("a child");
    };
    kill_between();
    running.hermes(["adopt", "--undo"]).ok();
    running.run_as_before();
    assert_eq!(running.files(), before);

    kill_between();
    running.hermes(["adopt"]).ok();
    running.all_serve();
    for name in ["alpha", "beta"] {
        assert_eq!(running.status(name)["state"], "up");
    }
    running.hermes(["adopt", "--undo"]).ok();
    running.run_as_before();
    assert_eq!(running.files(), before);
}

#[test]
fn if_one_fails_all_run_as_before() {
    let running = Running::start(&["alpha", "beta"]);
    let (env, before) = (&running.env, running.files());
    // The program that would run `beta` can't serve.
    let broken = env.path().join("broken");
    env.write_program(&broken, "#!/bin/sh\nexit 3\n");
    let config = env.profile("beta").join("config.yaml");
    env.write(&config, &format!("gateway: {{program: {}}}\n", broken.display()));
    let failed = running.env.hermes(["adopt", "--timeout", "60"]).fails_with(1);
    let error = &failed.stderr;
    assert!(error.contains("failed to adopt the gateway of `beta`"), "{failed}");
    assert!(error.contains("hint: every gateway runs as before"), "{failed}");
    fs::remove_file(&config).expect("a file");
    running.run_as_before();
    assert_eq!(running.files(), before);
}

#[test]
fn what_only_the_shell_gave_it_is_no_way_to_run_it() {
    let mut running = Running::start(&[]);
    running.agent.create(&running.env, "alpha");
    let mut command = running.env.command(running.agent.program());
    command.args(["-p", "alpha", "gateway", "run"]).env("TELEGRAM_BOT_TOKEN", "secret-value");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    running._processes.push(Helper::start(&mut command));
    within(TIMEOUT, "it runs", || running.lock_holder("alpha"));
    let holder = running.lock_holder("alpha").expect("it runs");
    let refused = running.hermes(["adopt", "alpha"]).fails_with(1).stderr;
    assert!(refused.contains("put TELEGRAM_BOT_TOKEN into"), "{refused}");
    assert!(!refused.contains("secret-value"), "{refused}");
    assert!(is_alive(holder) && !running.env.home().join("hermes-adopted").exists());

    // Without an API server it counts as started when it has stayed up.
    let dotenv = running.home("alpha").join(".env");
    let text = fs::read_to_string(&dotenv).expect("the agent made it");
    running.env.write(&dotenv, &format!("{text}TELEGRAM_BOT_TOKEN=\n"));
    let unit = running.env.path().join(".config/systemd/user/hermes-gateway-alpha.service");
    make(&running.env, &unit, &running.home("alpha"));
    running.hermes(["adopt", "alpha"]).ok();
    assert_eq!(running.status("alpha")["state"], "up");
    assert!(!is_alive(holder) && !unit.exists(), "its unit was put aside");
    // It needs no tree.
    running.env.hermes(["down"]).ok();
    running.hermes(["adopt", "--undo"]).ok();
    assert!(running.lock_holder("alpha").is_some() && unit.exists());
}

/// Writes a unit of the agent's for `home`.
fn make(env: &TestEnv, unit: &Path, home: &Path) {
    for directory in unit.ancestors().skip(1).take(3).collect::<Vec<_>>().into_iter().rev() {
        env.make_directory(directory);
    }
    env.write(unit, &format!("[Service]\nExecStart=python3 -m hermes_cli.main gateway run\nEnvironment=\"HERMES_HOME={}\"\n", home.display()));
}
