//! Homes that the Python agent's own commands made, supervised as they are.

use std::fs;
use std::path::{Path, PathBuf};

use hermes_tests::agent::{Agent, TIMEOUT};
use hermes_tests::{Up, free_port, kill, pid, within};
use serde_json::json;

/// The files that a user wrote, with their texts.
fn files(home: &Path) -> Vec<(PathBuf, String)> {
    let files = [".env", "SOUL.md"].map(|name| home.join(name));
    files.map(|file| (file.clone(), fs::read_to_string(file).expect("a file"))).into()
}

#[test]
fn its_gateway_runs_without_an_edit() {
    let agent = Agent::installed();
    let tree = Up::start();
    let env = &tree.env;
    let port = agent.create_serving(env, "alpha");
    let before = files(&env.profile("alpha"));

    env.hermes(["gateway", "start", "alpha", "--timeout", "180"]).ok();
    let status = tree.status("alpha");
    assert_eq!((&status["state"], &status["ready"]), (&json!("up"), &json!(true)), "{status}");
    assert_eq!(status["port"], port);
    assert_eq!(status["kind"], "hermes-agent");
    let shown = env.hermes(["gateway", "status", "alpha"]).ok().stdout;
    assert!(shown.contains("\nruns       hermes-agent\n"), "{shown}");
    let doctor = env.hermes(["doctor"]).run().stdout;
    let found = env.path().join(".local/bin/hermes");
    let seen =
        format!("of 2 gateways: `{}` (the agent's installers put it there)", found.display());
    assert!(doctor.contains("hermes-agent 0.19") && doctor.contains(&seen), "{doctor}");
    let first = pid(&status);
    assert_eq!(agent.served(port), "alpha");
    assert_eq!(agent.processes(env), [first], "it is the supervised process, and alone");

    kill(first);
    within(TIMEOUT, "it is back and ready", || {
        let status = tree.status("alpha");
        (status["ready"] == true && pid(&status) != first).then_some(())
    });
    assert_eq!(agent.served(port), "alpha");
    env.hermes(["gateway", "stop", "alpha", "--timeout", "120"]).ok();
    assert!(agent.processes(env).is_empty());
    assert_eq!(files(&env.profile("alpha")), before, "nobody wrote them");
}

#[test]
fn without_its_program_the_service_parks_and_no_stub_answers() {
    let agent = Agent::installed();
    let tree = Up::start();
    let env = &tree.env;
    agent.create(env, "alpha");
    agent.enable(env, "alpha", free_port());
    let refused = env.hermes(["gateway", "start", "alpha", "--timeout", "60"]).fails_with(1).stderr;
    assert!(refused.contains("name its program, with the full path"), "{refused}");
    assert_eq!(tree.status("alpha")["state"], "parked");
    let doctor = env.hermes(["doctor"]).fails_with(1).stdout;
    let problem =
        "command: the Python agent that `alpha` runs was found nowhere\n  fix: name its program";
    assert!(doctor.contains(problem), "{doctor}");
    env.hermes(["profile", "create", "beta"]).ok();
    env.write(&env.profile("beta").join("config.yaml"), "gateway: {kind: built-in, port: 9}\n");
    let list = env.hermes(["gateway", "list"]).ok().stdout;
    assert!(
        list.lines().any(|line| line.starts_with("beta") && line.contains("built-in")),
        "{list}"
    );
}

#[test]
fn its_own_stop_counts_as_an_operators() {
    let agent = Agent::installed();
    let up = Up::start();
    let env = &up.env;
    let port = agent.create_serving(env, "alpha");
    env.hermes(["gateway", "start", "alpha", "--timeout", "180"]).ok();

    agent.command(env, ["-p", "alpha", "gateway", "stop"]).ok();
    let status = within(TIMEOUT, "it is down", || {
        let status = up.status("alpha");
        (status["state"] == "down").then_some(status)
    });
    assert_eq!((&status["intent"], &status["deaths"]), (&json!("stopped"), &json!(0)), "{status}");
    let why = status["reason"]["text"].as_str().unwrap_or_default();
    assert!(why.contains("the Python agent's own `gateway stop`"), "{status}");
    let stays = env.hermes(["doctor", "--health"]).run();
    assert_eq!(stays.code(), Some(0), "it is as wanted: {stays}");

    env.hermes(["gateway", "start", "alpha", "--timeout", "180"]).ok();
    assert_eq!(agent.served(port), "alpha");
    assert_eq!(up.status("alpha")["reason"], json!(null));
}
