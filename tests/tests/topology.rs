//! `gateway.topology`: one process for each profile of the Python agent's, or that of `default` for all.
//!
//! hermes-agent 0.19.0 serves several profiles if it is asked to, and is what runs here. For what its later versions do
//! differently there is a stand-in: none of them was ever run.

use std::fs;

use hermes_tests::agent::{Agent, TIMEOUT};
use hermes_tests::doctor::{finds, finds_nothing};
use hermes_tests::{
    Dashboard, TestEnv, Up, eventually, free_port, hermes_program, kill, multiplexer, pid, request,
    within,
};
use serde_json::{Value, json};

const START: [&str; 2] = ["--timeout", "180"];

/// Profiles of the agent's, `coder` and `writer`, and the API server of `default` on the port that it returns.
fn create(agent: &Agent, env: &TestEnv, config: &str) -> u16 {
    agent.link(env);
    env.write(&env.home().join(".env"), "");
    for name in ["coder", "writer"] {
        agent.create(env, name);
    }
    let port = free_port();
    agent.enable(env, "default", port);
    env.write(&env.home().join("config.yaml"), config);
    port
}

/// The state, whether it is healthy, whether it needs attention, and the intent.
fn seen(status: &Value) -> [Value; 4] {
    ["state", "healthy", "attention", "intent"].map(|key| status[key].clone())
}

fn served() -> [Value; 4] {
    [json!("served"), json!(true), json!(false), json!("running")]
}

/// Blocks until `name` has the state `state`; returns its status.
#[track_caller]
fn await_state(tree: &Up, name: &str, state: &str) -> Value {
    within(TIMEOUT, &format!("`{name}` is {state}"), || {
        Some(tree.status(name)).filter(|status| status["state"] == state)
    })
}

/// Blocks until the gateway that serves `name` says so.
#[track_caller]
fn await_served(tree: &Up, name: &str) {
    within(TIMEOUT, &format!("`{name}` is served"), || {
        (seen(&tree.status(name)) == served()).then_some(())
    });
}

/// Whether the gateway of `name` has ever had a process of its own.
fn ever_ran(env: &TestEnv, name: &str) -> bool {
    env.events(name).iter().any(|(event, _)| event == "started")
}

#[test]
fn one_process_serves_all_and_what_it_serves_is_not_forgotten() {
    let agent = Agent::installed();
    let tree = Up::start();
    let env = &tree.env;
    let shared =
        "gateway: {multiplex_profiles: true, defaults: {kind: hermes-agent, topology: shared}}\n";
    let port = create(&agent, env, shared);
    // The agent serves none whose own API server is enabled.
    let lone = free_port();
    agent.create(env, "lone");
    agent.enable(env, "lone", lone);
    let started = env.hermes(["gateway", "start", "--all"].into_iter().chain(START)).ok();
    for name in ["coder", "writer"] {
        let line = format!("`{name}` is served by `default`'s gateway");
        assert!(started.stderr.contains(&line), "{started}");
        assert_eq!(seen(&tree.status(name)), served());
    }
    assert!(started.stderr.contains("`default` is up"), "{started}");
    let key = format!("Bearer {}", Agent::KEY);
    let url = format!("http://127.0.0.1:{port}/p/coder/v1/models");
    let models = request("GET", &url, &[("Authorization", &key)], None).json();
    assert_eq!(models["data"][0]["id"], "coder", "it really is served");
    assert_eq!((agent.served(lone), &tree.status("lone")["state"]), (json!("lone"), &json!("up")));
    let mut own = ["default", "lone"].map(|name| pid(&tree.status(name)));
    own.sort_unstable();
    assert_eq!(agent.processes(env), own);

    let one = env.hermes(["gateway", "status", "coder"]).ok().stdout;
    assert!(one.contains("state      served\n") && one.contains("served by  default\n"), "{one}");
    let all = env.hermes(["gateway", "status", "--all"]).ok().stdout;
    assert_eq!(all.lines().filter(|line| line.contains(" served ")).count(), 2, "{all}");
    env.hermes(["doctor", "--health"]).ok();
    finds_nothing(env, "topology");
    finds_nothing(env, "wanted");
    let dashboard = Dashboard::start(env);
    let gateway = dashboard.ask("GET", "/api/v1/gateways/coder", None).json();
    assert_eq!(seen(&gateway), served());
    let metrics = dashboard.ask("GET", "/metrics", None).text;
    for line in
        ["up{profile=\"coder\"} 1", "served{profile=\"coder\"} 1", "served{profile=\"default\"} 0"]
    {
        let line = format!("hermes_gateway_{line}");
        assert!(metrics.lines().any(|other| other == line), "{line}:\n{metrics}");
    }

    let refused = env.hermes(["gateway", "restart", "coder"]).fails_with(1).stderr;
    assert!(refused.contains("hint: `hermes gateway restart default`"), "{refused}");
    let stopped = env.hermes(["gateway", "stop", "coder"]).ok().stderr;
    assert!(stopped.contains("`coder` is served by `default`'s gateway"), "{stopped}");
    assert_eq!(tree.status("coder")["intent"], "stopped");
    env.hermes(["gateway", "start", "coder"]).ok();

    // Its health is that gateway's, and nothing takes its place while that is coming up.
    let first = pid(&tree.status("default"));
    kill(first);
    let missing = within(TIMEOUT, "its server is missed", || {
        Some(tree.status("coder")).filter(|status| status["reason"]["kind"] == "served")
    });
    assert_eq!(missing["healthy"], false, "{missing}");
    await_state(&tree, "coder", "served");
    let log = tree.end(rustix::process::Signal::TERM);
    // The agent's start takes more than a minute on a busy machine.
    let mut up = log.0.command(hermes_program());
    up.args(["up", "--timeout", "180"]);
    let tree = Up::launch(log.0, up).await_up();
    let env = &tree.env;
    within(TIMEOUT, "the boot is over", || {
        tree.log().contains("gateways started: 2").then_some(())
    });
    assert!(tree.log().contains("`coder` is not started: `default`'s gateway serves it"));
    await_served(&tree, "coder");
    assert!(!ever_ran(env, "coder") && !ever_ran(env, "writer"));

    // One goes its own way, and the other one does once nobody serves it.
    env.write(&env.profile("coder").join("config.yaml"), "gateway: {topology: isolated}\n");
    await_state(&tree, "coder", "up");
    assert_eq!(tree.status("writer")["state"], "served");
    let problem = ["the gateway of `default` serves `coder`, whose `gateway.topology`"];
    let found = finds(env, "topology", "error", &problem);
    assert!(found.remedy.contains("set `gateway.topology: shared`"), "{found:?}");
    env.hermes(["gateway", "stop", "default", "--timeout", "120"]).ok();
    await_state(&tree, "writer", "up");
    env.hermes(["gateway", "start", "default"].into_iter().chain(START)).ok();
    await_served(&tree, "writer");
    assert_eq!(tree.status("coder")["state"], "up");
}

#[test]
fn an_isolated_gateway_that_serves_another_is_an_error_until_its_cause_is_gone() {
    let agent = Agent::installed();
    let tree = Up::start();
    let env = &tree.env;
    let variable = "env: {GATEWAY_MULTIPLEX_PROFILES: 'true'}";
    create(&agent, env, &format!("gateway: {{kind: hermes-agent, {variable}}}\n"));
    let start = || env.hermes(["gateway", "restart", "default"].into_iter().chain(START)).ok();
    start();
    let problem = ["the gateway of `default` serves `coder`, `writer`"];
    let found = finds(env, "topology", "error", &problem);
    let remedy = "remove `gateway.env.GATEWAY_MULTIPLEX_PROFILES` from";
    assert!(found.remedy.starts_with(remedy), "{found:?}");
    assert!(found.remedy.ends_with("then `hermes gateway restart default`"), "{found:?}");
    let health = env.hermes(["doctor", "--health"]).fails_with(1).stdout;
    assert!(health.contains("`default` is up, but it serves `coder`, too"), "{health}");
    // Its API server says so, too.
    let state = env.home().join("gateway_state.json");
    let recorded = fs::read_to_string(&state).expect("the agent wrote it");
    let mut state_of: Value = serde_json::from_str(&recorded).expect("JSON");
    state_of["served_profiles"] = json!([]);
    env.write(&state, &state_of.to_string());
    let health = env.hermes(["doctor", "--health"]).fails_with(1).stdout;
    assert!(health.contains("GET /p/coder/v1/models names `coder`"), "{health}");
    // It is not `shared`: the reconciler creates its service.
    await_state(&tree, "coder", "down");

    // The agent itself would keep the list of its former gateway.
    env.write(&state, &recorded);
    env.write(&env.home().join("config.yaml"), "gateway: {kind: hermes-agent}\n");
    start();
    let recorded = fs::read_to_string(&state).expect("the agent wrote it");
    assert!(!recorded.contains("served_profiles"), "{recorded}");
    finds_nothing(env, "topology");
    env.hermes(["doctor", "--health"]).ok();
    let dotenv = env.home().join(".env");
    let text = fs::read_to_string(&dotenv).expect("a file");
    env.write(&dotenv, &format!("{text}GATEWAY_MULTIPLEX_PROFILES=true\n"));
    start();
    let found = finds(env, "topology", "error", &problem);
    assert!(found.remedy.starts_with("remove `GATEWAY_MULTIPLEX_PROFILES` from"), "{found:?}");
    assert!(found.remedy.contains("/.env`"), "{found:?}");
}

#[test]
fn a_version_that_can_not_be_isolated_by_its_environment_is_told_by_its_list() {
    let tree = Up::start();
    let env = &tree.env;
    multiplexer::install(env, "topology: isolated");
    for name in ["coder", "writer"] {
        env.hermes(["profile", "create", name]).ok();
    }
    env.hermes(["gateway", "start", "--all"]).ok();
    let found =
        finds(env, "topology", "error", &["the gateway of `default` serves `coder`, `writer`"]);
    let remedy = "set `gateway.multiplex_profile_allowlist: []` in";
    assert!(found.remedy.starts_with(remedy), "{found:?}");
    let server = pid(&tree.status("default"));
    multiplexer::serve(env, server, "");
    eventually("it serves its own profile alone", || {
        let state = fs::read_to_string(env.home().join("gateway_state.json")).expect("a file");
        (!state.contains("coder")).then_some(())
    });
    finds_nothing(env, "topology");
    for name in ["coder", "writer"] {
        assert_eq!(tree.status(name)["state"], "up", "it has a process of its own");
    }
}

#[test]
fn a_profile_that_leaves_the_list_runs_by_itself_and_one_that_joins_it_stands_down() {
    let tree = Up::start();
    let env = &tree.env;
    multiplexer::install(env, "topology: shared");
    for name in ["coder", "writer"] {
        env.hermes(["profile", "create", name]).ok();
    }
    env.hermes(["gateway", "start", "--all"]).ok();
    let server = pid(&tree.status("default"));
    assert_eq!(seen(&tree.status("coder")), served());
    multiplexer::serve(env, server, "writer");
    let own = await_state(&tree, "coder", "up");
    assert_eq!(seen(&tree.status("writer")), served());
    let mended = |what: &str| {
        eventually(what, || tree.log().contains(&format!("mended: {what}")).then_some(()));
    };
    mended("start coder");
    multiplexer::serve(env, server, "coder writer");
    await_state(&tree, "coder", "served");
    eventually("its own process has ended", || (!hermes_tests::is_alive(pid(&own))).then_some(()));
    mended("stop coder: `default`'s gateway serves it");
    assert_eq!(seen(&tree.status("coder")), served());
    assert!(!ever_ran(env, "writer"));

    // A file of a gateway that has died says nothing.
    env.hermes(["gateway", "stop", "default"]).ok();
    let state = fs::read_to_string(env.home().join("gateway_state.json")).expect("a file");
    assert!(state.contains("writer"), "{state}");
    await_state(&tree, "writer", "up");
}
