//! The journal of events on a live tree: what happened to which gateway, in order.

use std::fs;
use std::os::unix::fs::symlink;

use hermes_tests::{Dashboard, Svscan, TestEnv, Up, doctor, eventually, kill, pid};
use rustix::process::Signal;

/// Blocks until the names of the events after the first `skip` are `expected`, and returns their reasons.
#[track_caller]
fn become_events(env: &TestEnv, profile: &str, skip: usize, expected: &[&str]) -> Vec<String> {
    let mut last = Vec::new();
    let found = hermes_tests::answered(hermes_tests::SOON, || {
        last = env.events(profile).split_off(skip);
        let names: Vec<_> = last.iter().map(|(event, _)| event.as_str()).collect();
        (names.len() >= expected.len()).then_some(())
    });
    let names: Vec<_> = last.iter().map(|(event, _)| event.as_str()).collect();
    assert_eq!(names, expected, "{found:?}: {last:?}");
    last.into_iter().map(|(_, why)| why).collect()
}

#[test]
fn a_gateways_life_is_recorded_in_order() {
    let mut env = TestEnv::new();
    env.faster = 50;
    let tree = Svscan::start_with(env, &[]);
    let env = &tree.env;
    env.profile_serving("a");
    env.hermes(["gateway", "start", "a"]).ok();
    let old = pid(&tree.status("a"));
    let whys = become_events(env, "a", 0, &["registered", "requested", "started", "ready"]);
    assert_eq!(whys[1..], ["start", &format!("process {old}"), ""]);

    kill(old);
    let whys = become_events(env, "a", 4, &["died", "backed-off", "started", "ready"]);
    assert_eq!(whys[..2], ["SIGKILL", "0.02 s, after death 1 in a row"]);

    env.hermes(["gateway", "restart", "a"]).ok();
    let whys = become_events(env, "a", 8, &["requested", "stopped", "started", "ready"]);
    assert_eq!(whys[0], "restart");
    env.hermes(["gateway", "stop", "a"]).ok();
    become_events(env, "a", 12, &["requested", "stopped"]);
    env.hermes(["profile", "rename", "a", "b"]).ok();
    assert_eq!(become_events(env, "b", 0, &["renamed"]), ["it was `a`"]);
    env.hermes(["profile", "delete", "b", "-y"]).ok();
    let whys = become_events(env, "b", 1, &["removed"]);
    assert_eq!(whys, ["its profile was deleted"]);
    // The names select, -n counts what they selected, and text has one line per event.
    let outcome = env.hermes(["events", "-n", "2", "-p", "b"]).ok();
    assert_eq!(outcome.stdout.lines().count(), 2, "{outcome}");
    assert!(outcome.stdout.ends_with("b  removed       its profile was deleted\n"), "{outcome}");
    assert_eq!(env.hermes(["events"]).ok().stdout.lines().count(), 16);
}

#[test]
fn a_parking_is_recorded_with_its_reason() {
    let tree = Svscan::start();
    let env = &tree.env;
    env.profile_running("wrong", "exit 78");
    env.hermes(["gateway", "start", "wrong"]).fails_with(1);
    let expected = ["registered", "requested", "started", "died", "parked"];
    let whys = become_events(env, "wrong", 0, &expected);
    assert_eq!(whys[3], "exit 78");
    assert_eq!(whys[4], tree.status("wrong")["parked"]["reason"]);
}

#[test]
fn a_mend_is_recorded() {
    let env = TestEnv::new();
    env.profile_for_later("a", "exec sleep 600", "running");
    let up = Up::start_in(env);
    let env = &up.env;
    let whys = become_events(env, "a", 0, &["requested", "started"]);
    assert_eq!(whys[0], "start, by a boot");
    // As any other program would, or a command that was killed.
    env.write(&env.profile("a").join("gateway.intent"), "stopped\n");
    assert_eq!(become_events(env, "a", 2, &["mended"]), ["stop a: it is not wanted"]);
    assert_eq!(up.end(Signal::TERM).1, Some(0));
}

#[test]
fn commands_go_on_without_a_journal() {
    let tree = Svscan::start();
    let env = &tree.env;
    env.profile_serving("a");
    let (journal, elsewhere) = (env.home().join("logs/events.jsonl"), env.path().join("elsewhere"));
    fs::remove_file(&journal).expect("it was written");
    env.write(&elsewhere, "");
    symlink(&elsewhere, &journal).expect("a link");
    let outcome = env.hermes(["gateway", "start", "a"]).ok();
    let warning = "warning: failed to record the event `requested` of `a`";
    assert!(outcome.stderr.contains(warning), "{outcome}");
    assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "");
    kill(pid(&tree.status("a")));
    eventually("it is back", || (tree.status("a")["state"] == "up").then_some(()));
    env.hermes(["events"]).fails_with(1);
}

/// Nobody waits for the writer of a FIFO.
#[test]
fn what_is_in_the_place_of_the_journal_is_refused_and_named() {
    let env = TestEnv::new();
    env.hermes(["profile", "create", "a"]).env_remove("HERMES_SCANDIR").ok();
    let logs = env.home().join("logs");
    env.make_directory(&logs);
    for file in ["events.jsonl", "events.jsonl.1"] {
        let path = logs.join(file);
        let _ = fs::remove_file(&path);
        for kind in ["mkfifo", "mkdir", "ln -s a.txt"] {
            env.shell(&format!("touch {0}/a.txt; {kind} {0}/{file}", logs.display())).ok();
            let read = env.hermes(["events"]).fails_with(1);
            assert!(read.stderr.contains(&*path.to_string_lossy()), "{kind}: {read}");
            let named = format!("`{}` is not a regular file", path.display());
            let findings = doctor::finds(&env, "obstacles", "error", &[&named]);
            env.shell(&findings.remedy).ok();
            doctor::finds_nothing(&env, "obstacles");
            env.hermes(["events"]).ok();
            env.shell(&format!("rm -rf {}.old", path.display())).ok();
        }
    }
}

#[test]
fn a_follower_prints_each_event_as_it_comes() {
    let tree = Svscan::start();
    let env = &tree.env;
    // There is no journal yet.
    let follower = env.hermes(["events", "-f", "--json"]).stream();
    follower.await_message("no event has been recorded yet");
    env.profile_serving("a");
    follower.await_lines(1);
    env.hermes(["gateway", "start", "a"]).ok();
    follower.await_lines(4);
    let journal = env.home().join("logs/events.jsonl");
    fs::rename(&journal, env.home().join("logs/events.jsonl.1")).expect("it was written");
    env.hermes(["gateway", "stop", "a"]).ok();
    follower.await_lines(6);
    follower.signal(Signal::INT);
    let (stdout, stderr, code) = follower.ended();
    assert_eq!(code, Some(0), "{stderr}");
    assert_eq!(stdout, env.hermes(["events", "--json"]).ok().stdout);
    let outcome = env.hermes(["events", "-f", "-n", "0", "--timeout", "1"]).fails_with(6);
    assert_eq!(outcome.stdout, "", "{outcome}");
}

#[test]
fn the_dashboard_serves_the_journal() {
    let tree = Svscan::start();
    let env = &tree.env;
    env.profile_serving("a");
    env.profile_serving("b");
    let dashboard = Dashboard::start(env);
    let ask = |path: &str| dashboard.ask("GET", path, None);
    let printed = env.hermes(["events", "-n", "1", "--json"]).ok().json();
    assert_eq!(ask("/api/v1/journal?lines=1").json(), serde_json::json!([printed]));
    assert_eq!(ask("/api/v1/journal").json().as_array().expect("events").len(), 2);
    assert_eq!(ask("/api/v1/journal?lines=x").status, 400);
    assert_eq!(ask("/api/v1/journal?profile=..").status, 400);
    let mut journal = dashboard.events("/api/v1/journal?follow&profile=a&lines=1");
    let (name, first) = journal.next_event();
    assert_eq!((name.as_str(), &first[0]["event"]), ("events", &"registered".into()));
    env.hermes(["profile", "delete", "b", "-y"]).ok();
    env.hermes(["gateway", "start", "a"]).ok();
    let mut events = Vec::new();
    while events.len() < 3 {
        let (_, new) = journal.next_event();
        events.extend(new.as_array().expect("events").iter().map(|event| event["event"].clone()));
    }
    assert_eq!(events, ["requested", "started", "ready"]);
    assert_eq!(dashboard.end(Signal::TERM), Some(0));
}
