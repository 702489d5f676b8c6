//! Register, start, stop and unregister on a live s6, as far as that is s6's own: what holds under every
//! service manager is in the conformance suite.

use hermes_tests::{Svscan, eventually, is_alive, kill, pid, processes_naming, supervisors};
use serde_json::{Value, json};

#[test]
fn register_returns_when_both_supervisors_hold_their_locks() {
    let tree = Svscan::start();
    let world = &tree.world;
    world.profile_serving("coder");
    let slot = world.slot("coder");
    assert_eq!(supervisors(&slot).len(), 2, "without waiting");
    for part in ["", "log"] {
        let ok = tree.s6("s6-svok").arg(slot.join(part)).status().unwrap();
        assert!(ok.success(), "s6-svok says that `{part}` is not supervised");
    }
    assert_eq!(tree.status("coder")["state"], "down", "its intent is stopped");
}

#[test]
fn registering_twice_is_an_error_and_changes_nothing() {
    let tree = Svscan::start();
    tree.world.profile_serving("coder");
    let before = supervisors(&tree.world.slot("coder"));
    let outcome = tree.world.hermes(["gateway", "register", "coder"]).fails_with(1);
    assert!(outcome.stderr.contains("is already registered"), "{outcome}");
    assert_eq!(supervisors(&tree.world.slot("coder")), before);
}

#[test]
fn unregister_ends_supervisor_logger_and_gateway_and_twice_is_as_once() {
    let tree = Svscan::start();
    let world = &tree.world;
    world.profile_serving("coder");
    world.hermes(["gateway", "start", "coder"]).ok();
    let gateway = pid(&tree.status("coder"));
    let logger = format!("logs/gateways/{}", "coder");
    let loggers: Vec<_> = processes_naming(&world.home().join(logger).to_string_lossy());
    assert_eq!(loggers.len(), 1, "its s6-log");
    let all: Vec<_> =
        supervisors(&world.slot("coder")).into_iter().chain(loggers).chain([gateway]).collect();
    assert!(all.iter().all(|pid| is_alive(*pid)));
    world.hermes(["gateway", "unregister", "coder"]).ok();
    assert!(!all.iter().any(|pid| is_alive(*pid)), "on return nothing of it lives");
    assert!(!world.slot("coder").exists());
    world.hermes(["gateway", "unregister", "coder"]).ok();
    assert_eq!(tree.status("coder")["intent"], "running", "that is not the operator's stop");
}

#[test]
fn start_registers_what_is_not() {
    let tree = Svscan::start();
    let port = tree.world.profile_serving("coder");
    tree.world.hermes(["gateway", "unregister", "coder"]).ok();
    assert_eq!(tree.status("coder")["state"], "unsupervised");
    tree.world.hermes(["gateway", "start", "coder"]).ok();
    let status = tree.status("coder");
    assert_eq!(status["state"], "up");
    assert_eq!(status["ready"], true);
    assert_eq!(status["port"], port);
}

#[test]
fn a_stop_outlives_the_supervisor() {
    let tree = Svscan::start();
    let world = &tree.world;
    world.profile_serving("coder");
    world.hermes(["gateway", "start", "coder"]).ok();
    world.hermes(["gateway", "stop", "coder"]).ok();
    world.lose_supervisors("coder");
    assert_eq!(tree.status("coder")["state"], "down");
}

/// Kills the supervisors of a slot and goes on at once, while s6-svscan has not started others yet.
fn kill_supervisors(tree: &Svscan, profile: &str) {
    supervisors(&tree.world.slot(profile)).into_iter().for_each(kill);
}

#[test]
fn a_start_while_the_supervisor_is_being_replaced_waits_for_the_new_one() {
    let tree = Svscan::start();
    tree.world.profile_serving("coder");
    kill_supervisors(&tree, "coder");
    tree.world.hermes(["gateway", "start", "coder"]).ok();
    assert_eq!(tree.status("coder")["state"], "up");
}

#[test]
fn a_stop_while_the_supervisor_is_being_replaced_stops_for_good() {
    let tree = Svscan::start();
    tree.world.profile_serving("coder");
    tree.world.hermes(["gateway", "start", "coder"]).ok();
    let gateway = pid(&tree.status("coder"));
    kill_supervisors(&tree, "coder");
    tree.world.hermes(["gateway", "stop", "coder"]).ok();
    assert!(!is_alive(gateway), "it outlived its supervisor, and no stop");
    tree.world.lose_supervisors("coder");
    let status = tree.status("coder");
    assert_eq!((&status["state"], &status["pid"]), (&json!("down"), &Value::Null));
}

#[test]
fn parking_outlives_the_supervisor() {
    let tree = Svscan::start();
    let world = &tree.world;
    let port = world.profile_serving("coder");
    let config = world.profile("coder").join("config.yaml");
    world.write(&config, "gateway:\n  port: high\n");
    world.hermes(["gateway", "start", "coder"]).fails_with(1);
    world.lose_supervisors("coder");
    assert_eq!(tree.status("coder")["state"], "parked");
    world.write(&config, &format!("gateway:\n  port: {port}\n"));
    world.hermes(["gateway", "start", "coder"]).ok();
    let status = tree.status("coder");
    assert_eq!((&status["state"], &status["parked"]), (&json!("up"), &Value::Null));
}

#[test]
fn list_names_slots_and_nothing_else() {
    let tree = Svscan::start();
    let world = &tree.world;
    world.profile_serving("b");
    world.profile_serving("a");
    world.make_directory(&world.scandir().join("dashboard"));
    world.make_directory(&world.scandir().join(".hermes-leftover"));
    world.make_directory(&world.scandir().join("gateway-A"));
    let list = world.hermes(["gateway", "list", "--json"]).json();
    let names: Vec<_> =
        list.as_array().unwrap().iter().map(|status| status["profile"].as_str().unwrap()).collect();
    assert_eq!(names, ["a", "b"]);
}

#[test]
fn what_a_gateway_says_is_logged_with_its_time_and_read_in_order() {
    let tree = Svscan::start();
    let world = &tree.world;
    world.profile_running("talker", "echo one; echo two >&2; echo three; exec sleep 600");
    world.hermes(["gateway", "start", "talker"]).ok();
    let said = eventually("all three lines are logged", || {
        let stdout = world.hermes(["gateway", "logs", "talker"]).run().stdout;
        (stdout.lines().count() == 3).then_some(stdout)
    });
    let words: Vec<_> = said.lines().map(|line| line.rsplit_once("  ").unwrap().1).collect();
    assert_eq!(words, ["one", "two", "three"]);
    let last = world.hermes(["gateway", "logs", "talker", "-n", "1"]).ok();
    assert!(last.stdout.ends_with("three\n") && last.stdout.lines().count() == 1, "{last}");
}

#[test]
fn a_gateway_gets_its_profile_its_home_and_its_variables() {
    let tree = Svscan::start();
    let world = &tree.world;
    world.profile_running("coder", "env; pwd; exec sleep 600");
    world.hermes(["gateway", "unregister", "coder"]).ok();
    let nasty = "a'b\"c $HOME `id` \\ é";
    world.hermes(["gateway", "register", "coder", "--env", &format!("NASTY={nasty}")]).ok();
    world.hermes(["gateway", "start", "coder"]).ok();
    let said = eventually("its environment is logged", || {
        let stdout = world.hermes(["gateway", "logs", "coder"]).run().stdout;
        stdout.contains("NASTY=").then_some(stdout)
    });
    let has = |line: String| said.lines().any(|said| said.ends_with(&format!("  {line}")));
    assert!(has(format!("HERMES_HOME={}", world.profile("coder").display())), "{said}");
    assert!(has("HERMES_PROFILE=coder".to_owned()), "{said}");
    assert!(has("HERMES_S6_SUPERVISED_CHILD=1".to_owned()), "{said}");
    assert!(has(format!("HOME={}", world.home().display())), "{said}");
    assert!(has(format!("NASTY={nasty}")), "{said}");
    assert!(has(world.home().display().to_string()), "the working directory: {said}");
}

#[test]
fn no_concrete_home_gets_into_a_slot() {
    let tree = Svscan::start();
    let world = &tree.world;
    world.profile_serving("coder"); // with HERMES_HOME set while it renders
    let home = world.home().display().to_string();
    for script in ["run", "finish", "log/run"] {
        let text = std::fs::read_to_string(world.slot("coder").join(script)).unwrap();
        assert!(!text.contains(&home) && text.contains("${HERMES_HOME"), "{script}:\n{text}");
    }
}

#[test]
fn a_port_in_use_is_told_by_start_with_who_has_it() {
    let tree = Svscan::start();
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = holder.local_addr().unwrap().port().to_string();
    tree.world.hermes(["profile", "create", "coder", "--port", &port]).ok();
    let outcome = tree.world.hermes(["gateway", "start", "coder"]).fails_with(1);
    assert!(outcome.stderr.contains("Address already in use"), "{outcome}");
    assert_eq!(tree.status("coder")["intent"], "running");
    drop(holder);
    eventually("s6 has tried again", || (tree.status("coder")["state"] == "up").then_some(()));
}

#[test]
fn a_supervisor_that_does_not_listen_is_told_as_such_in_time() {
    let tree = Svscan::start();
    let world = &tree.world;
    world.profile_serving("coder");
    world.hermes(["gateway", "start", "coder"]).ok();
    let control = world.slot("coder").join("supervise/control");
    std::fs::remove_file(&control).unwrap();
    let mode = rustix::fs::Mode::from_raw_mode(0o660);
    rustix::fs::mkfifoat(rustix::fs::CWD, &control, mode).unwrap();
    world.give(&control);
    for verb in ["stop", "start"] {
        let outcome = world.hermes(["gateway", verb, "coder", "--timeout", "1"]).fails_with(6);
        assert!(outcome.stderr.contains("its supervisor does not read"), "{outcome}");
    }
}
