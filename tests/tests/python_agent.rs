//! The Python agent's gateway, configured exactly as in README.md.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;

use hermes_tests::agent::{Agent, TIMEOUT};
use hermes_tests::{Svscan, TestEnv, free_port, is_alive, kill, pid};
use serde_json::{Value, json};

/// The heading in README.md.
const VENV_IN_README: &str = "/home/you/hermes-agent";
const PORT_IN_README: &str = "port: 8643";
const HOME_IN_README: &str = "~/.hermes";
const STOP_IN_README: &str = "stop_timeout: 8";

/// The fenced blocks in the agent's section of README.md.
fn readme(language: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let text = fs::read_to_string(path).expect("a README");
    let (_, section) = text.split_once("## The Python agent's gateway\n").expect("its section");
    let section = section.split_once("\n## ").map_or(section, |(section, _)| section);
    let (_, block) = section.split_once(&format!("```{language}\n")).expect("a block");
    block.split_once("```").expect("the end of the block").0.to_owned()
}

/// `text` with `from`, which must occur once, replaced.
#[track_caller]
fn with(text: &str, from: &str, to: &str) -> String {
    assert_eq!(text.matches(from).count(), 1, "`{from}` in {text}");
    text.replace(from, to)
}

/// Creates the profile `coder` as README.md describes; returns its port.
fn coder(env: &TestEnv, agent: &Agent) -> u16 {
    let port = free_port();
    env.hermes(["profile", "create", "coder", "--port", &port.to_string()]).ok();
    let config = with(&readme("yaml"), VENV_IN_README, agent.venv().to_str().expect("UTF-8"));
    let config = with(&config, PORT_IN_README, &format!("port: {port}"));
    // This test does not check how fast it stops.
    let config = with(&config, STOP_IN_README, "stop_timeout: 60");
    env.write(&env.profile("coder").join("config.yaml"), &config);
    let block = readme("sh");
    let key = block.lines().find(|line| line.starts_with("echo ")).expect("the key's line");
    let home = env.home();
    env.shell(&with(key, HOME_IN_README, home.to_str().expect("UTF-8"))).ok();
    port
}

/// Like the kit's function, with a longer timeout.
#[track_caller]
fn eventually<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    hermes_tests::within(TIMEOUT, what, look)
}

/// The response of `GET /health`.
fn health(port: u16) -> Option<Value> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.starts_with("HTTP/1.1 200 ").then_some(())?;
    serde_json::from_str(body).ok()
}

#[test]
fn it_runs_as_the_readme_says() {
    let agent = Agent::installed();
    let tree = Svscan::start();
    let env = &tree.env;
    let port = coder(env, &agent);

    env.hermes(["gateway", "start", "coder", "--timeout", "180"]).ok();
    let status = tree.status("coder");
    assert_eq!((&status["state"], &status["ready"]), (&json!("up"), &json!(true)), "{status}");
    let health = |port| health(port).unwrap_or_default()["platform"].clone();
    assert_eq!(health(port), "hermes-agent");
    let first = pid(&status);
    eventually("it is the supervised process, and alone", || {
        (agent.processes(env) == [first]).then_some(())
    });
    let log = eventually("its standard output is in the log", || {
        Some(env.logged("coder").join("\n")).filter(|log| log.contains("Hermes Gateway"))
    });
    assert!(!log.contains("warning: "), "{log}");

    kill(first);
    let second = eventually("it is back and ready", || {
        let status = tree.status("coder");
        (status["ready"] == true).then(|| pid(&status)).filter(|pid| *pid != first)
    });
    assert_eq!(health(port), "hermes-agent");

    env.hermes(["gateway", "stop", "coder", "--timeout", "120"]).ok();
    let status = tree.status("coder");
    assert_eq!((&status["state"], &status["intent"]), (&json!("down"), &json!("stopped")));
    // Usually 1; 0 if it has only just begun to listen. A killed process would have a signal.
    let code = status["last_exit"]["code"].as_u64();
    assert!(code.is_some_and(|code| code < 2), "it ended itself, within its budget: {status}");
    assert!(!is_alive(second));
    eventually("no other is left", || agent.processes(env).is_empty().then_some(()));

    env.hermes(["profile", "delete", "coder", "-y"]).ok();
    assert!(!env.profile("coder").exists() && !env.slot("coder").exists());
    assert!(agent.processes(env).is_empty());
}

#[test]
fn another_port_in_its_env_file_is_refused() {
    let agent = Agent::installed();
    let tree = Svscan::start();
    let env = &tree.env;
    coder(env, &agent);
    let port = free_port();
    let dotenv = env.profile("coder").join(".env");
    let text = fs::read_to_string(&dotenv).expect("a `.env`");
    env.write(&dotenv, &format!("{text}API_SERVER_PORT={port}\n"));
    let refused = env.hermes(["gateway", "start", "coder", "--timeout", "10"]).fails_with(1).stderr;
    for place in [format!("{port} by `API_SERVER_PORT`"), format!("`{}` line", dotenv.display())] {
        assert!(refused.contains(&place), "{refused}");
    }
    assert!(refused.contains("by `gateway.port`"), "{refused}");
    assert!(agent.processes(env).is_empty());
}
