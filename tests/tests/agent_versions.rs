//! Each version of the Python agent that PyPI has of the last three: its own commands make the home and run the gateways,
//! Hermes takes them over, runs them through what befalls a gateway, and puts them back.

use std::collections::BTreeSet;

use hermes_tests::agent::{Agent, TIMEOUT, Unsupervised, Written};
use hermes_tests::{kill, pid, within};
use serde_json::json;

const NAMES: [&str; 2] = ["default", "alpha"];

/// What Hermes leaves in the root home: its locks, and the logs of what it did.
const LEFT: [&str; 8] = [
    "hermes-owner.lock",
    "logs/container-boot.log",
    "logs/events.jsonl",
    "logs/gateways",
    "logs/up.log",
    "logs/up.log.1",
    "profiles/.gateways",
    "profiles/.locks",
];

#[test]
fn version_0_17_is_adopted_and_put_back() {
    is_adopted_and_put_back(Agent::older("0.17"), "0.17.");
}

#[test]
fn version_0_18_is_adopted_and_put_back() {
    is_adopted_and_put_back(Agent::older("0.18"), "0.18.");
}

#[test]
fn version_0_19_is_adopted_and_put_back() {
    is_adopted_and_put_back(Agent::installed(), "0.19.");
}

#[track_caller]
fn is_adopted_and_put_back(agent: Agent, version: &str) {
    let these = Unsupervised::start(agent, &NAMES);
    let env = &these.env;
    // More of what a user has in a home.
    for name in NAMES {
        these.agent.command(env, ["-p", name, "config", "set", "display.skin", "mono"]).ok();
        let home = these.home(name);
        env.write(&home.join("memories/USER.md"), "likes tea\n");
        env.write(&home.join("skills/tea.md"), "boil water\n");
    }
    let before = Written::below(&env.home());

    these.hermes(["adopt"]).ok();
    these.all_serve();
    for name in NAMES {
        is_ready(&these, name);
    }
    let doctor = env.hermes(["doctor"]).run().stdout;
    let agent = doctor.lines().find(|line| line.contains("hermes-agent")).unwrap_or_default();
    assert!(agent.contains(version) && !agent.contains("untried"), "{doctor}");

    let first = pid(&these.status("alpha"));
    kill(first);
    within(TIMEOUT, "it is back", || {
        let status = these.status("alpha");
        (status["ready"] == true && pid(&status) != first).then_some(())
    });

    these.hermes(["gateway", "stop", "alpha"]).ok();
    assert_eq!(these.lock_holder("alpha"), None);
    these.hermes(["gateway", "start", "alpha"]).ok();
    let first = is_ready(&these, "alpha");
    these.hermes(["gateway", "restart", "alpha"]).ok();
    assert_ne!(is_ready(&these, "alpha"), first);
    these.all_serve();

    // The agent's own stop, and the way back from it.
    these.agent.command(env, ["-p", "alpha", "gateway", "stop"]).ok();
    within(TIMEOUT, "it is down", || (these.status("alpha")["state"] == "down").then_some(()));
    assert_eq!(these.status("alpha")["intent"], "stopped");
    these.hermes(["gateway", "start", "alpha"]).ok();

    these.hermes(["down"]).ok();
    assert_eq!(NAMES.map(|name| these.lock_holder(name)), [None; 2]);
    these.hermes(["up", "-d"]).ok();
    these.all_serve();
    for name in NAMES {
        within(TIMEOUT, "it is ready", || (these.status(name)["ready"] == true).then_some(()));
    }

    these.hermes(["adopt", "--undo"]).ok();
    these.run_as_before();
    let mut differ = Written::below(&env.home()).differences(&before);
    differ.retain(|path| !LEFT.iter().any(|left| path.starts_with(left)));
    assert_eq!(differ, BTreeSet::new(), "nobody wrote them");
}

/// Checks that a gateway is supervised, serves, and is the only one of its profile; returns its process.
#[track_caller]
fn is_ready(these: &Unsupervised, name: &str) -> u64 {
    let status = these.status(name);
    assert_eq!((&status["state"], &status["ready"]), (&json!("up"), &json!(true)), "{status}");
    assert_eq!(these.lock_holder(name), Some(pid(&status)), "{status}");
    pid(&status)
}
