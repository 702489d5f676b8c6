//! The port of the Python agent's gateway: every place that names it, and the one from which its API server listens.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use hermes_tests::agent::Agent;
use hermes_tests::{TestEnv, Up, free_port};
use serde_json::json;

const START: [&str; 2] = ["--timeout", "180"];

fn append(file: &Path, text: &str) {
    let mut file = OpenOptions::new().append(true).open(file).expect("the agent made it");
    file.write_all(text.as_bytes()).expect("space on the disk");
}

/// A profile of the agent's whose API server is enabled, and whose port is that of `places`: lines for its `.env`,
/// and lines for its `config.yaml`.
fn profile(agent: &Agent, env: &TestEnv, name: &str, [dotenv, config]: [&str; 2]) {
    agent.create(env, name);
    let home = env.profile(name);
    if !home.join("config.yaml").exists() {
        env.write(&home.join("config.yaml"), "_config_version: 33\n");
    }
    append(&home.join(".env"), &format!("API_SERVER_KEY={}\n{dotenv}", Agent::KEY));
    append(&home.join("config.yaml"), config);
}

#[test]
fn each_place_alone_is_the_port_on_which_the_agent_listens() {
    let agent = Agent::installed();
    let tree = Up::start();
    let env = &tree.env;
    agent.link(env);
    let ports = [(); 3].map(|()| free_port());
    let [dotenv, extra, top] = ports;
    let extra = format!("platforms:\n  api_server:\n    extra:\n      port: {extra}\n");
    let places = [
        ("one", [&*format!("API_SERVER_PORT={dotenv}\n"), ""], ".env"),
        ("two", ["", &*extra], "config.yaml"),
        ("three", ["", &*format!("API_SERVER_PORT: '{top}'\n")], "config.yaml"),
    ];
    for ((name, place, file), port) in places.into_iter().zip(ports) {
        profile(&agent, env, name, place);
        let explained = env.hermes(["profile", "port", name, "--explain", "--json"]).json();
        assert_eq!((&explained["port"], &explained["agree"]), (&json!(port), &json!(true)));
        let winner = &explained["places"][0];
        assert_eq!(winner["wins"], true, "{explained}");
        assert_eq!(winner["file"], json!(env.profile(name).join(file)), "{explained}");
        env.hermes(["gateway", "start", name].into_iter().chain(START)).ok();
        assert_eq!(agent.served(port), name);
        let explained = env.hermes(["profile", "port", name, "--explain", "--json"]).json();
        assert_eq!(explained["listener"]["own"], true, "{explained}");
        env.hermes(["gateway", "stop", name, "--timeout", "120"]).ok();
    }
}

#[test]
fn places_that_disagree_are_explained_and_one_command_mends_them() {
    let agent = Agent::installed();
    let tree = Up::start();
    let env = &tree.env;
    agent.link(env);
    let (other, wins, new) = (free_port(), free_port(), free_port());
    let config = format!("API_SERVER_PORT: {other}\n");
    profile(&agent, env, "alpha", [&*format!("API_SERVER_PORT={wins}\n"), &config]);
    let refused = env.hermes(["gateway", "start", "alpha"]).fails_with(1).stderr;
    let mend = format!("hermes profile port alpha {wins}");
    assert!(refused.contains("different ports"), "{refused}");
    let doctor = env.hermes(["doctor"]).fails_with(1).stdout;
    assert!(doctor.contains(&format!("fix: {mend}")), "{doctor}");
    let explained = env.hermes(["profile", "port", "alpha", "--explain"]).ok();
    assert!(explained.stdout.starts_with(&format!("port     {wins}\n")), "{explained}");
    assert!(explained.stdout.contains(&format!("differs  {other} by `API_SERVER_PORT`")));
    assert!(explained.stderr.contains(&mend), "{explained}");

    let dotenv = env.profile("alpha").join(".env");
    let before = fs::read_to_string(&dotenv).expect("a file");
    let written = env.hermes(["profile", "port", "alpha", &new.to_string()]).ok().stderr;
    assert!(written.contains("took `API_SERVER_PORT` out of"), "{written}");
    let after = fs::read_to_string(&dotenv).expect("a file");
    assert_eq!(after, before.replace(&format!("API_SERVER_PORT={wins}\n"), ""));
    env.hermes(["gateway", "start", "alpha"].into_iter().chain(START)).ok();
    assert_eq!(agent.served(new), "alpha");
    let written = env.hermes(["profile", "port", "alpha", &other.to_string()]).ok().stderr;
    assert!(written.contains("keeps its port until `hermes gateway restart alpha`"), "{written}");
}

#[test]
fn a_clone_of_the_agents_has_a_port_that_is_taken_until_it_gets_one_of_its_own() {
    let agent = Agent::installed();
    let tree = Up::start();
    let env = &tree.env;
    agent.link(env);
    let port = free_port();
    profile(&agent, env, "alpha", [&*format!("API_SERVER_PORT={port}\n"), ""]);
    let clone = ["profile", "create", "beta", "--clone", "--clone-from", "alpha", "--no-alias"];
    agent.command(env, clone).ok();
    env.hermes(["gateway", "start", "alpha"].into_iter().chain(START)).ok();
    let refused = env.hermes(["gateway", "start", "beta"]).fails_with(1).stderr;
    assert!(refused.contains("`alpha`"), "{refused}");
    let doctor = env.hermes(["doctor"]).fails_with(1).stdout;
    assert!(doctor.contains(&format!("port {port} is named by `alpha`, `beta`")), "{doctor}");
    let explained = env.hermes(["profile", "port", "beta", "--explain", "--json"]).json();
    let other = &explained["others"][0];
    assert_eq!((&other["profile"], &other["key"]), (&json!("alpha"), &json!("API_SERVER_PORT")));
    let own = free_port();
    env.hermes(["profile", "port", "beta", &own.to_string()]).ok();
    env.hermes(["gateway", "start", "beta"].into_iter().chain(START)).ok();
    assert_eq!((agent.served(port), agent.served(own)), (json!("alpha"), json!("beta")));
}

#[test]
fn an_imported_profile_whose_port_is_taken_gets_one_in_every_place() {
    let tree = Up::start();
    let env = &tree.env;
    let port = free_port();
    let home = env.profile("alpha");
    env.make_directory(&env.home().join("profiles"));
    env.make_directory(&home);
    let config = format!(
        "_config_version: 33\nAPI_SERVER_ENABLED: true\nplatforms: {{api_server: {{extra: {{port: {port}}}}}}}\n"
    );
    env.write(&home.join("config.yaml"), &config);
    env.write(&home.join(".env"), &format!("API_SERVER_PORT={port}\nA=1\n"));
    env.hermes(["profile", "export", "alpha", "--include", ".env"]).ok();
    env.hermes(["profile", "import", "alpha.tar.zst", "--name", "beta"]).ok();
    let explained = env.hermes(["profile", "port", "beta", "--explain", "--json"]).json();
    assert_eq!((&explained["agree"], &explained["others"]), (&json!(true), &json!([])));
    assert_ne!(explained["port"], json!(port), "{explained}");
    let dotenv = fs::read_to_string(env.profile("beta").join(".env")).expect("a file");
    assert_eq!(dotenv, "A=1\n");
    let text = fs::read_to_string(env.profile("beta").join("config.yaml")).expect("a file");
    assert!(!text.contains(&port.to_string()), "{text}");
}
