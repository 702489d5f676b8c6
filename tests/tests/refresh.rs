//! `hermes gateway register --refresh`: what a new service keeps of the old one, and what a failure leaves.

use std::fs;

use hermes_tests::doctor::{finds_nothing, repairs};
use hermes_tests::{Svscan, eventually, pid};

#[test]
fn a_slot_that_is_replaced_keeps_its_variables() {
    let tree = Svscan::start();
    let env = &tree.env;
    env.profile_running("a", "echo it is $WORD; exec sleep 600");
    env.hermes(["gateway", "register", "a", "--refresh", "--env", "WORD=kept"]).ok();
    let says = |word: &str, times: usize| {
        eventually("it says its word", || {
            let line = format!("it is {word}");
            (env.logged("a").iter().filter(|said| **said == line).count() == times).then_some(())
        });
    };
    let age = || env.write(&env.slot("a").join("data/generation"), "0\n");
    age();
    env.hermes(["doctor", "--fix"]).run();
    finds_nothing(env, "stale-slots");
    env.hermes(["gateway", "start", "a"]).ok();
    says("kept", 1);
    age();
    env.hermes(["gateway", "register", "a", "--refresh"]).ok();
    says("kept", 2);
    env.hermes(["gateway", "register", "a", "--refresh", "--env", "WORD=new"]).ok();
    says("new", 1);
}

#[test]
fn a_refresh_that_fails_stops_no_gateway_for_good() {
    let tree = Svscan::start();
    let env = &tree.env;
    env.profile_running("a", "exec sleep 600");
    env.hermes(["gateway", "start", "a"]).ok();
    let before = pid(&tree.status("a"));
    let refresh = ["gateway", "register", "a", "--refresh"];
    let config = env.profile("a").join("config.yaml");
    let text = fs::read_to_string(&config).expect("a configuration");
    env.write(&config, "gateway: {stop_timeout: -1}");
    env.hermes(refresh).fails_with(1);
    assert_eq!(pid(&tree.status("a")), before, "nothing was stopped");
    env.write(&config, &text);
    // The old slot can't be taken away, the new one not be put in its place.
    for rename in 1..=2 {
        let fault = format!("renameat2:error=EIO:when={rename}");
        env.hermes_injected(&[&fault], refresh).fails_with(1);
        eventually("it is up again", || (tree.status("a")["state"] == "up").then_some(()));
    }
    env.hermes(refresh).ok();
}

#[test]
fn a_script_that_was_changed_or_removed_is_named_and_rendered_again() {
    let tree = Svscan::start();
    let env = &tree.env;
    env.profile_running("coder", "exec sleep 600");
    env.hermes(["gateway", "register", "--refresh", "coder", "--env", "NAME=a b"]).ok();
    env.hermes(["gateway", "start", "coder"]).ok();
    finds_nothing(env, "stale-slots");
    let before = env.slot("coder").join("run");
    let rendered = fs::read_to_string(&before).expect("a script");
    for (file, text, problem) in [
        ("run", Some("#!/bin/sh\nexec sleep 600\n"), "differs from what this version renders"),
        ("finish", None, "is missing"),
        ("log/run", Some(""), "differs from what this version renders"),
    ] {
        let path = env.slot("coder").join(file);
        match text {
            Some(text) => env.write(&path, text),
            None => fs::remove_file(&path).expect("a script"),
        }
        let evidence = format!("in the slot of `coder`, `{}` {problem}", path.display());
        let remedy = repairs(env, "stale-slots", "warning", &[&evidence]);
        assert_eq!(remedy, "hermes gateway register --refresh coder");
        assert_eq!(fs::read_to_string(&before).expect("a script"), rendered);
        eventually("it is up", || (tree.status("coder")["state"] == "up").then_some(()));
    }
}
