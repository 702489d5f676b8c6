//! The restart policy on a live s6: delays, parking, and what ends either.

use hermes_tests::{Svscan, Up, World, eventually, kill, pid};
use rustix::process::Signal;
use serde_json::{Value, json};

/// A tree in which the policy's delays are a fiftieth.
fn hasty() -> Svscan {
    let mut world = World::new();
    world.faster = 50;
    Svscan::start_with(world, &[])
}

/// Waits until the gateway waits to be started after `count` deaths in a row.
fn backs_off(tree: &Svscan, profile: &str, count: u64) -> Value {
    eventually("it waits to be started again", || {
        let status = tree.status(profile);
        let waits = status["state"] == "backoff" && status["backoff"]["count"] == count;
        waits.then_some(status)
    })
}

/// The policy as it is, not faster: 1, 2 and 4 s have passed when this returns, and 8 s have begun. What
/// ends within 6 s has not waited for them.
fn in_a_long_wait() -> Svscan {
    let tree = Svscan::start();
    tree.world.profile_running("looper", "exit 1");
    let outcome = tree.world.hermes(["gateway", "start", "looper"]).fails_with(1);
    assert!(outcome.stderr.contains("it died (exit 1)"), "{outcome}");
    let status = backs_off(&tree, "looper", 4);
    assert_eq!(status["deaths"], 4);
    tree
}

#[test]
fn a_stop_ends_the_wait_at_once() {
    let tree = in_a_long_wait();
    tree.world.hermes(["gateway", "stop", "looper", "--timeout", "6"]).ok();
    let status = tree.status("looper");
    assert_eq!((&status["state"], &status["backoff"]), (&json!("down"), &Value::Null));
    assert_eq!(status["deaths"], 4, "the wait was over before another start");
}

#[test]
fn a_start_ends_the_wait_at_once_and_forgets_the_deaths_before() {
    let tree = in_a_long_wait();
    let config = tree.world.profile("looper").join("config.yaml");
    tree.world.write(&config, "gateway: {command: [sleep, '600']}\n");
    tree.world.hermes(["gateway", "start", "looper", "--timeout", "6"]).ok();
    let status = tree.status("looper");
    assert_eq!(status["state"], "up");
    kill(pid(&status));
    assert_eq!(backs_off(&tree, "looper", 1)["state"], "backoff");
}

#[test]
fn the_end_of_a_tree_does_not_wait_for_a_wait() {
    let world = World::new();
    world.make_directory(&world.home());
    let up = Up::start_in(world);
    up.world.profile_running("looper", "exit 1");
    up.world.hermes(["gateway", "start", "looper"]).fails_with(1);
    eventually("a long wait has begun", || {
        let status = up.world.hermes(["gateway", "status", "looper", "--json"]).run().json();
        (status["backoff"]["count"] == 4).then_some(())
    });
    let starts = |log: &str| log.matches("[looper]").count();
    let before = starts(&up.log());
    let log = up.world.path().join("up.log");
    let (_world, code) = up.end(Signal::TERM);
    assert_eq!(code, Some(0));
    let text = std::fs::read_to_string(log).unwrap_or_default();
    assert_eq!(starts(&text).max(before), before, "{text}");
}

#[test]
fn a_crash_loop_parks_and_says_why() {
    let tree = hasty();
    tree.world.profile_running("looper", "exit 3");
    tree.world.hermes(["gateway", "start", "looper"]).fails_with(1);
    let status = eventually("it is parked", || {
        let status = tree.status("looper");
        (status["state"] == "parked").then_some(status)
    });
    assert_eq!(status["deaths"], 10);
    assert_eq!(status["last_exit"], json!({ "code": 3 }));
    let reason = status["parked"]["reason"].as_str().unwrap();
    assert!(reason.starts_with("it died 10 times within"), "{reason}");
    assert!(reason.ends_with("last with exit 3; its log says more"), "{reason}");
    assert_eq!(status["intent"], "running", "nobody asked for a stop");
    let shown = tree.world.hermes(["gateway", "status", "looper"]).fails_with(3);
    assert!(shown.stdout.contains("parked     it died 10 times"), "{shown}");
}

#[test]
fn ten_restarts_by_the_operator_and_one_crash_do_not_park() {
    let tree = hasty();
    tree.world.profile_serving("coder");
    tree.world.hermes(["gateway", "start", "coder"]).ok();
    for _ in 0..10 {
        tree.world.hermes(["gateway", "restart", "coder"]).ok();
    }
    let status = tree.status("coder");
    assert_eq!(status["deaths"], 0, "none that nobody asked for: {status}");
    let old = pid(&status);
    kill(old);
    let status = eventually("it is back", || {
        let status = tree.status("coder");
        (status["state"] == "up" && pid(&status) != old).then_some(status)
    });
    assert_eq!(status["deaths"], 1);
}

#[test]
fn exit_75_restarts_at_once() {
    let tree = Svscan::start();
    // The second life is told by a file that the first one leaves.
    tree.world.profile_running("again", "[ -e again ] && exec sleep 600; : >again; exit 75");
    tree.world.hermes(["gateway", "start", "again"]).fails_with(1);
    eventually("it runs again", || (tree.status("again")["state"] == "up").then_some(()));
    let waited = tree.world.slot("again").join("data/backoff");
    assert!(!waited.exists(), "there was nothing to wait for");
}
