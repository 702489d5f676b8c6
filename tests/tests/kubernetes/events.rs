//! The root home's journal of events has what happened in Pods, which can't write to it.

use hermes_tests::suite::Machine;
use hermes_tests::{eventually, pid};
use serde_json::Value;

use crate::console::Console;

/// How each death was, as the journal has it.
fn deaths(console: &Console) -> Vec<String> {
    let events = console.hermes(&["events", "coder", "--json"]).ok().stdout;
    let events = events.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let deaths = events.filter(|event| event["event"] == "died");
    deaths.map(|event| event["why"].as_str().expect("a reason").to_owned()).collect()
}

#[test]
fn a_death_in_a_pod_is_recorded_once() {
    let console = Console::new();
    console.profile("coder");
    console.hermes(&["gateway", "start", "coder"]).ok();
    console.kill(pid(&console.status("coder")));
    eventually("the death is known", || (console.status("coder")["deaths"] == 1).then_some(()));
    assert_eq!(deaths(&console), ["SIGKILL"]);
    assert_eq!(deaths(&console), ["SIGKILL"]);
    // A stop removes the record of the Pod.
    eventually("it is up", || (console.status("coder")["state"] == "up").then_some(()));
    console.kill(pid(&console.status("coder")));
    eventually("the death is known", || (console.status("coder")["deaths"] == 2).then_some(()));
    console.hermes(&["gateway", "stop", "coder"]).ok();
    assert_eq!(deaths(&console), ["SIGKILL", "SIGKILL"]);
    console.hermes(&["gateway", "start", "coder"]).ok();
    console.cluster.kill_main(&Console::pod("coder"));
    eventually("the end of the container is known", || {
        (deaths(&console).last()? == "SIGKILL, its container").then_some(())
    });
    assert_eq!(deaths(&console).len(), 3);
}

#[test]
fn new_events_are_followed_over_broken_watches() {
    let console = Console::new();
    console.profile("coder");
    console.hermes(&["gateway", "start", "coder"]).ok();
    let follow = console.hermes(&["events", "coder", "--follow"]).stream();
    let containers = || {
        let lines = follow.lines();
        lines.iter().filter(|line| line.ends_with("SIGKILL, its container")).count()
    };
    let watches = || {
        let requests = console.cluster.requests().into_iter();
        requests.filter(|one| one.verb == "watch").count()
    };
    eventually("it watches", || (watches() >= 2).then_some(()));
    for (round, forget) in [(1, false), (2, true)] {
        let before = watches();
        if forget {
            console.cluster.forget_versions();
        }
        console.cluster.close_streams();
        eventually("it watches again", || (watches() >= before + 2).then_some(()));
        console.cluster.kill_main(&Console::pod("coder"));
        eventually("the end is told", || (containers() == round).then_some(()));
        eventually("it is up", || (console.status("coder")["state"] == "up").then_some(()));
    }
}
