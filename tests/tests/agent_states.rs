//! A home of the Python agent's whose gateways are in different states when it is adopted, and whose ports are in different
//! places: running, stopped by the agent's own command, crashed, and clones with the port of their source.

use std::fs;

use hermes_tests::agent::{Agent, TIMEOUT, Unsupervised};
use hermes_tests::{free_port, kill, within};
use serde_json::{Value, json};

/// Makes a profile of the agent's whose API server is enabled, with `config` in its `config.yaml`, where `NUMBER` is its port.
fn create(these: &mut Unsupervised, name: &str, config: &str) {
    these.agent.create(&these.env, name);
    let (home, port) = (these.home(name), free_port());
    let dotenv = fs::read_to_string(home.join(".env")).expect("the agent made it");
    these.env.write(&home.join(".env"), &format!("{dotenv}API_SERVER_KEY={}\n", Agent::KEY));
    let config = config.replace("NUMBER", &port.to_string());
    these.env.write(&home.join("config.yaml"), &format!("_config_version: 33\n{config}\n"));
    these.ports.insert(name.to_owned(), port);
}

/// Clones a profile with the agent's own command.
fn clone(these: &mut Unsupervised, source: &str, name: &str) {
    let clone = ["profile", "create", name, "--clone", "--clone-from", source, "--no-alias"];
    these.agent.command(&these.env, clone).ok();
}

/// Runs a gateway until it serves.
fn run(these: &mut Unsupervised, name: &str, variables: &[(&str, &str)]) {
    these.launch(name, variables);
    these.serves(name, these.ports[name]);
}

/// Kills a gateway, which leaves the agent's record that it runs.
fn crash(these: &Unsupervised, name: &str) {
    kill(these.lock_holder(name).expect("it runs"));
    within(TIMEOUT, "it has ended", || these.lock_holder(name).is_none().then_some(()));
    let state = fs::read(these.home(name).join("gateway_state.json")).expect("a file");
    let state: Value = serde_json::from_slice(&state).expect("an object");
    assert_eq!(state["gateway_state"], "running");
    assert!(these.home(name).join("gateway.pid").exists());
}

/// What the plan of an adoption says of a profile now, and what is to be done.
fn plan(these: &Unsupervised, name: &str) -> (String, String) {
    let plan = these.env.hermes(["adopt", "--dry-run", "--json"]).run().json();
    let rows = plan.as_array().expect("a list");
    let row = rows.iter().find(|row| row["profile"] == name).expect("its row");
    let text = |key: &str| row[key].as_str().expect("a string").to_owned();
    (text("now"), text("action"))
}

#[test]
fn each_state_and_place_of_a_port_is_taken_over_as_it_is() {
    let mut these = Unsupervised::start(Agent::installed(), &["alpha"]);
    create(&mut these, "beta", "platforms: {api_server: {extra: {port: NUMBER}}}");
    create(&mut these, "gamma", "API_SERVER_PORT: NUMBER");
    create(&mut these, "delta", "gateway: {port: NUMBER}");
    let taken = these.ports["beta"];
    // A clone that crashed, before its source ran; and one that never ran.
    clone(&mut these, "beta", "clone");
    clone(&mut these, "alpha", "copy");
    these.ports.insert("clone".to_owned(), taken);
    run(&mut these, "clone", &[]);
    crash(&these, "clone");
    run(&mut these, "beta", &[]);
    run(&mut these, "gamma", &[]);
    crash(&these, "gamma");
    // The agent does not read this place; Hermes passes it on.
    let port = these.ports["delta"].to_string();
    run(&mut these, "delta", &[("API_SERVER_PORT", &port)]);
    these.agent.command(&these.env, ["-p", "delta", "gateway", "stop"]).ok();

    // The port of the crashed clone is another's: said before anything is stopped.
    let running = ["alpha", "beta"].map(|name| these.lock_holder(name));
    let refused = these.hermes(["adopt"]).fails_with(1).stderr;
    assert!(refused.contains("failed to adopt the gateway of `clone`"), "{refused}");
    assert!(refused.contains(&format!("port {taken} belongs to the gateway of `beta`")));
    assert!(refused.contains("hint: `hermes profile port clone NUMBER`"), "{refused}");
    assert_eq!(["alpha", "beta"].map(|name| these.lock_holder(name)), running);
    assert!(!these.env.home().join("hermes-adopted").exists());
    let own = free_port();
    these.env.hermes(["profile", "port", "clone", &own.to_string()]).ok();
    these.ports.insert("clone".to_owned(), own);

    assert!(plan(&these, "alpha").0.starts_with("runs: "));
    let crashed = ("has crashed".to_owned(), "start it supervised".to_owned());
    assert_eq!(["gamma", "clone"].map(|name| plan(&these, name)), [crashed.clone(), crashed]);
    let down = ("does not run".to_owned(), "nothing".to_owned());
    assert_eq!(["delta", "copy"].map(|name| plan(&these, name)), [down.clone(), down]);

    let adopted = these.hermes(["adopt"]).ok().stderr;
    let notice = format!("`copy` stays down, and names port {} of `alpha`", these.ports["alpha"]);
    assert!(adopted.contains(&notice), "{adopted}");
    assert!(adopted.contains("`hermes profile port copy NUMBER`"), "{adopted}");
    for name in ["alpha", "beta", "gamma", "clone"] {
        let status = these.status(name);
        assert_eq!((&status["state"], &status["ready"]), (&json!("up"), &json!(true)), "{status}");
        these.serves(name, these.ports[name]);
    }
    for name in ["delta", "copy"] {
        assert_eq!(these.status(name)["intent"], "stopped");
        assert_eq!(these.lock_holder(name), None);
    }
    these.hermes(["gateway", "start", "delta"]).ok();
    these.all_serve();

    these.hermes(["adopt", "--undo"]).ok();
    for name in ["gamma", "delta", "clone"] {
        assert_eq!(these.lock_holder(name), None, "it did not run");
        these.ports.remove(name);
    }
    these.run_as_before();
}
