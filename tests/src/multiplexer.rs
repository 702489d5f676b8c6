//! A stand-in for versions of the Python agent that the package index does not have (0.20 and later).
//!
//! It really runs, holds the agent's lock and records what it serves as the agent does. Like those versions, as their
//! users describe them, it takes no notice of `GATEWAY_MULTIPLEX_PROFILES=false` and has an allowlist. It listens nowhere.

use std::path::PathBuf;

use rustix::process::Signal;

use crate::{TestEnv, python_with};

/// Written to `allowlist` in the home of `default`: the profiles that its gateway serves, besides its own. All without it.
const PROGRAM: &str = r#"
import fcntl, json, os, signal, sys

home = os.environ["HERMES_HOME"]
name = sys.argv[sys.argv.index("-p") + 1]
lock = open(os.path.join(home, "gateway.lock"), "a+")
fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
started = int(open("/proc/self/stat").read().rsplit(")")[-1].split()[19])

def served():
    if name != "default":
        return []
    try:
        return open(os.path.join(home, "allowlist")).read().split()
    except FileNotFoundError:
        profiles = os.listdir(os.path.join(home, "profiles"))
        return sorted(entry for entry in profiles if not entry.startswith("."))

def record(*_):
    state = {
        "kind": "hermes-gateway", "pid": os.getpid(), "start_time": started, "argv": sys.argv,
        "gateway_state": "running", "served_profiles": [name, *served()],
    }
    path = os.path.join(home, "gateway_state.json")
    with open(path + ".tmp", "w") as file:
        json.dump(state, file)
    os.replace(path + ".tmp", path)

signal.signal(signal.SIGHUP, record)
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
record()
while True:
    signal.pause()
"#;

/// Writes the program, and makes it that of every profile in `env`, each with the configuration `gateway`.
pub fn install(env: &TestEnv, gateway: &str) -> PathBuf {
    let program = env.path().join("agent-0.20");
    let python = python_with("fcntl");
    let python =
        if python.starts_with('/') { python.to_owned() } else { format!("/usr/bin/env {python}") };
    env.write_program(&program, &format!("#!{python}\n{PROGRAM}"));
    let config = format!(
        "gateway:\n  defaults: {{kind: hermes-agent, program: {}, {gateway}}}\n",
        program.display()
    );
    env.write(&env.home().join("config.yaml"), &config);
    program
}

/// Changes whom the gateway of `default`, which runs as `pid`, serves.
pub fn serve(env: &TestEnv, pid: u64, profiles: &str) {
    env.write(&env.home().join("allowlist"), profiles);
    crate::signal(pid, Signal::HUP);
}
