//! The restart policy on a live s6: delays, parking, and how both end.

use std::fs;
use std::time::Duration;

use hermes_tests::{Dashboard, Svscan, TestEnv, Up, eventually, kill, pid};
use jiff::Timestamp;
use rustix::process::Signal;
use serde_json::{Value, json};

/// A tree with a fiftieth of the policy's delays.
fn hasty() -> Svscan {
    let mut env = TestEnv::new();
    env.faster = 50;
    Svscan::start_with(env, &[])
}

/// A gateway that writes a line into the root home each time it starts.
const LOOPER: &str = "echo life >>lives; exit 1";

fn lives(env: &TestEnv) -> usize {
    fs::read_to_string(env.home().join("lives")).unwrap_or_default().lines().count()
}

/// The status, if the gateway waits for its restart.
fn waiting(status: Value) -> Option<Value> {
    (status["state"] == "backoff" && status["backoff"] != Value::Null).then_some(status)
}

fn until(status: &Value) -> Timestamp {
    status["backoff"]["until"].as_str().and_then(|until| until.parse().ok()).expect("a time")
}

/// Starts the looper with the policy's real delays, and returns its status at the beginning of a long delay: the
/// fifth, of 16 s, or a later one, of 30 s. Whatever happens before its end has not waited for it.
#[track_caller]
fn in_a_long_wait(env: &TestEnv, status: impl Fn() -> Value) -> Value {
    env.profile_running("looper", LOOPER);
    let outcome = env.hermes(["gateway", "start", "looper"]).fails_with(1);
    assert!(outcome.stderr.contains("it died (exit 1)"), "{outcome}");
    let status = eventually("a long wait has begun", || {
        let ahead = Timestamp::now() + Duration::from_secs(12);
        let all = |status: &Value| status["deaths"] == status["backoff"]["count"];
        waiting(status()).filter(|status| all(status) && until(status) > ahead)
    });
    assert_eq!(lives(env) as u64, status["deaths"].as_u64().expect("a number"));
    status
}

/// In JSON as in the API, for programs that ask for the reason alone.
#[test]
fn what_waits_or_is_parked_has_a_reason() {
    let tree = Svscan::start();
    let env = &tree.env;
    let status = in_a_long_wait(env, || tree.status("looper"));
    let times = &status["backoff"]["count"];
    let text = format!("it died {times} times in a row, last with exit 1");
    assert_eq!(status["reason"], json!({ "kind": "backoff", "text": text }));
    env.profile_running("wrong", "exit 78");
    env.hermes(["gateway", "start", "wrong"]).fails_with(1);
    let status = tree.status("wrong");
    let text = &status["parked"]["reason"];
    assert_eq!(status["reason"], json!({ "kind": "parked", "text": text }));
    let shown = Dashboard::start(env).ask("GET", "/api/v1/gateways/wrong", None).json();
    assert_eq!(shown["reason"], status["reason"], "{shown}");
    // People read it once.
    let printed = env.hermes(["gateway", "status", "looper", "wrong"]).run();
    assert_eq!(printed.stderr.matches("`wrong` is parked: ").count(), 1, "{printed}");
    assert_eq!(printed.stderr.matches("`looper`").count(), 1, "{printed}");
    env.hermes(["gateway", "stop", "looper"]).ok();
}

#[test]
fn stop_ends_the_wait() {
    let tree = Svscan::start();
    let before = in_a_long_wait(&tree.env, || tree.status("looper"));
    tree.env.hermes(["gateway", "stop", "looper", "--timeout", "60"]).ok();
    assert!(Timestamp::now() < until(&before), "it waited for the end of the wait");
    let status = tree.status("looper");
    assert_eq!((&status["state"], &status["backoff"]), (&json!("down"), &Value::Null));
    assert_eq!(status["deaths"], before["deaths"], "the wait was over before another start");
}

#[test]
fn another_programs_command_ends_the_wait() {
    let tree = Svscan::start();
    let before = in_a_long_wait(&tree.env, || tree.status("looper"));
    let down = tree.s6("s6-svc").arg("-d").arg(tree.env.slot("looper")).status();
    assert!(down.expect("s6-svc runs").success());
    eventually("it is down", || (tree.status("looper")["state"] == "down").then_some(()));
    assert!(Timestamp::now() < until(&before), "it waited for the end of the wait");
}

#[test]
fn start_ends_the_wait_and_forgets_deaths() {
    let tree = Svscan::start();
    let before = in_a_long_wait(&tree.env, || tree.status("looper"));
    let old = lives(&tree.env);
    let config = tree.env.profile("looper").join("config.yaml");
    let command = "echo life >>lives; [ -e loop ] || exec sleep 600; exit 1";
    tree.env.write(&config, &format!("gateway: {{command: [/bin/sh, -c, '{command}']}}\n"));
    tree.env.hermes(["gateway", "start", "looper", "--timeout", "60"]).ok();
    let begun = fs::metadata(tree.env.home().join("lives")).unwrap().modified().unwrap();
    assert!(begun < until(&before).into(), "it waited for the end of the wait");
    let status = tree.status("looper");
    assert_eq!(status["state"], "up");
    assert_eq!(lives(&tree.env), old + 1);
    // It keeps dying: the status during any delay shows the count.
    tree.env.write(&tree.env.home().join("loop"), "");
    kill(pid(&status));
    let status = eventually("it waits again", || waiting(tree.status("looper")));
    let (count, lives) = (status["backoff"]["count"].as_u64().unwrap(), lives(&tree.env) - old);
    assert!((1..=lives as u64).contains(&count), "{lives} lives since the start: {status}");
}

#[test]
fn a_trees_end_cancels_the_wait() {
    let up = Up::start();
    let status = in_a_long_wait(&up.env, || up.status("looper"));
    let before = lives(&up.env);
    let (env, code) = up.end(Signal::TERM);
    assert!(Timestamp::now() < until(&status), "it waited for the end of the wait");
    assert_eq!(code, Some(0));
    assert_eq!(lives(&env), before, "and started nothing");
}

#[test]
fn operator_restarts_do_not_park() {
    let tree = hasty();
    tree.env.profile_serving("coder");
    tree.env.hermes(["gateway", "start", "coder"]).ok();
    for _ in 0..10 {
        tree.env.hermes(["gateway", "restart", "coder"]).ok();
    }
    let status = tree.status("coder");
    assert_eq!(status["deaths"], 0, "none that nobody asked for: {status}");
    let old = pid(&status);
    kill(old);
    let status = eventually("it is back", || {
        let status = tree.status("coder");
        (status["state"] == "up" && pid(&status) != old).then_some(status)
    });
    assert_eq!((&status["deaths"], &status["last_exit"]), (&json!(1), &json!({ "signal": 9 })));
}

#[test]
fn exit_75_restarts_at_once_and_is_no_death() {
    let mut env = TestEnv::new();
    env.faster = 10;
    let tree = Svscan::start_with(env, &[]);
    // Twelve lives that each last longer than a hasty one, which is a tenth of ten seconds here.
    let life =
        "echo life >>lives; [ $(wc -l <lives) -gt 12 ] && exec sleep 600; sleep 1.1; exit 75";
    tree.env.profile_running("again", life);
    let starting = tree.env.hermes(["gateway", "start", "again"]).spawn();
    let status = eventually("it runs again", || {
        let status = tree.status("again");
        // Twelve deaths would wait for some 20 seconds.
        assert_eq!(waiting(status.clone()), None, "there is nothing to wait for");
        (lives(&tree.env) == 13 && status["state"] == "up").then_some(status)
    });
    assert_eq!(status["deaths"], 0, "{status}");
    drop(starting.wait());
}

#[test]
fn exit_75_too_early_waits_and_does_not_park() {
    let tree = Svscan::start();
    tree.env.profile_running("again", "echo life >>lives; exit 75");
    tree.env.hermes(["gateway", "start", "again"]).fails_with(1);
    let status = eventually("it waits", || {
        waiting(tree.status("again")).filter(|status| status["backoff"]["count"] == 3)
    });
    assert_eq!((&status["deaths"], lives(&tree.env)), (&json!(0), 3), "{status}");

    let tree = hasty();
    tree.env.profile_running("again", "echo life >>lives; exit 75");
    tree.env.hermes(["gateway", "start", "again"]).fails_with(1);
    eventually("it has lived twelve times", || (lives(&tree.env) > 12).then_some(()));
    assert_eq!(tree.status("again")["parked"], Value::Null);
}
