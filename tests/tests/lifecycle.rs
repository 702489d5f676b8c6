//! Register, start, stop and unregister on a live s6. The conformance suite tests what holds for every backend.

use hermes_tests::{Svscan, eventually, is_alive, kill, pid, processes_naming, supervisors};
use serde_json::{Value, json};

#[test]
fn register_waits_for_both_supervisors() {
    let tree = Svscan::start();
    let env = &tree.env;
    env.profile_serving("coder");
    let slot = env.slot("coder");
    assert_eq!(supervisors(&slot).len(), 2, "without waiting");
    for part in ["", "log"] {
        let ok = tree.s6("s6-svok").arg(slot.join(part)).status().unwrap();
        assert!(ok.success(), "s6-svok says that `{part}` is not supervised");
    }
    assert_eq!(tree.status("coder")["state"], "down", "its intent is stopped");
}

#[test]
fn registering_twice_is_an_error() {
    let tree = Svscan::start();
    tree.env.profile_serving("coder");
    let before = supervisors(&tree.env.slot("coder"));
    let outcome = tree.env.hermes(["gateway", "register", "coder"]).fails_with(1);
    assert!(outcome.stderr.contains("is already registered"), "{outcome}");
    assert_eq!(supervisors(&tree.env.slot("coder")), before);
}

#[test]
fn a_new_profile_does_not_get_the_gateway_of_a_former_one() {
    let tree = Svscan::start();
    let env = &tree.env;
    env.profile_running("coder", "exec sleep 600");
    env.hermes(["gateway", "start", "coder"]).ok();
    let former = pid(&tree.status("coder"));
    // By another program.
    std::fs::remove_dir_all(env.profile("coder")).unwrap();
    env.hermes(["profile", "create", "coder"]).ok();
    assert_eq!(tree.status("coder")["state"], "down");
    assert!(!is_alive(former));
}

#[test]
fn unregister_ends_every_process() {
    let tree = Svscan::start();
    let env = &tree.env;
    env.profile_serving("coder");
    env.hermes(["gateway", "start", "coder"]).ok();
    let gateway = pid(&tree.status("coder"));
    let logger = format!("logs/gateways/{}", "coder");
    let loggers: Vec<_> = processes_naming(&env.home().join(logger).to_string_lossy());
    assert_eq!(loggers.len(), 1, "its s6-log");
    let all: Vec<_> =
        supervisors(&env.slot("coder")).into_iter().chain(loggers).chain([gateway]).collect();
    assert!(all.iter().all(|pid| is_alive(*pid)));
    env.hermes(["gateway", "unregister", "coder"]).ok();
    assert!(!all.iter().any(|pid| is_alive(*pid)), "on return nothing of it lives");
    assert!(!env.slot("coder").exists());
    env.hermes(["gateway", "unregister", "coder"]).ok();
    assert_eq!(tree.status("coder")["intent"], "running", "that is not the operator's stop");
}

#[test]
fn start_registers_what_is_not() {
    let tree = Svscan::start();
    let port = tree.env.profile_serving("coder");
    tree.env.hermes(["gateway", "unregister", "coder"]).ok();
    assert_eq!(tree.status("coder")["state"], "unsupervised");
    tree.env.hermes(["gateway", "start", "coder"]).ok();
    let status = tree.status("coder");
    assert_eq!(status["state"], "up");
    assert_eq!(status["ready"], true);
    assert_eq!(status["port"], port);
}

#[test]
fn a_stop_outlives_the_supervisor() {
    let tree = Svscan::start();
    let env = &tree.env;
    env.profile_serving("coder");
    env.hermes(["gateway", "start", "coder"]).ok();
    env.hermes(["gateway", "stop", "coder"]).ok();
    env.lose_supervisors("coder");
    assert_eq!(tree.status("coder")["state"], "down");
}

/// Kills the supervisors of a slot, and returns before s6-svscan has started new ones.
fn kill_supervisors(tree: &Svscan, profile: &str) {
    supervisors(&tree.env.slot(profile)).into_iter().for_each(kill);
}

#[test]
fn start_waits_for_a_new_supervisor() {
    let tree = Svscan::start();
    tree.env.profile_serving("coder");
    kill_supervisors(&tree, "coder");
    tree.env.hermes(["gateway", "start", "coder"]).ok();
    assert_eq!(tree.status("coder")["state"], "up");
}

#[test]
fn stop_outlives_a_supervisors_replacement() {
    let tree = Svscan::start();
    tree.env.profile_serving("coder");
    tree.env.hermes(["gateway", "start", "coder"]).ok();
    let gateway = pid(&tree.status("coder"));
    kill_supervisors(&tree, "coder");
    tree.env.hermes(["gateway", "stop", "coder"]).ok();
    assert!(!is_alive(gateway), "it outlived its supervisor, and no stop");
    tree.env.lose_supervisors("coder");
    let status = tree.status("coder");
    assert_eq!((&status["state"], &status["pid"]), (&json!("down"), &Value::Null));
}

#[test]
fn parking_outlives_the_supervisor() {
    let tree = Svscan::start();
    let env = &tree.env;
    let port = env.profile_serving("coder");
    let config = env.profile("coder").join("config.yaml");
    env.write(&config, "gateway:\n  port: high\n");
    env.hermes(["gateway", "start", "coder"]).fails_with(1);
    env.lose_supervisors("coder");
    assert_eq!(tree.status("coder")["state"], "parked");
    env.write(&config, &format!("gateway:\n  port: {port}\n"));
    env.hermes(["gateway", "start", "coder"]).ok();
    let status = tree.status("coder");
    assert_eq!((&status["state"], &status["parked"]), (&json!("up"), &Value::Null));
}

#[test]
fn list_names_slots_and_nothing_else() {
    let tree = Svscan::start();
    let env = &tree.env;
    env.profile_serving("b");
    env.profile_serving("a");
    env.make_directory(&env.scandir().join("dashboard"));
    env.make_directory(&env.scandir().join(".hermes-leftover"));
    env.make_directory(&env.scandir().join("gateway-A"));
    let list = env.hermes(["gateway", "list", "--json"]).json();
    let names: Vec<_> =
        list.as_array().unwrap().iter().map(|status| status["profile"].as_str().unwrap()).collect();
    assert_eq!(names, ["a", "b"]);
}

#[test]
fn output_is_logged_with_its_time() {
    let tree = Svscan::start();
    let env = &tree.env;
    env.profile_running("talker", "echo one; echo two >&2; echo three; exec sleep 600");
    env.hermes(["gateway", "start", "talker"]).ok();
    let said = eventually("all three lines are logged", || {
        let stdout = env.hermes(["gateway", "logs", "talker"]).run().stdout;
        (stdout.lines().count() == 3).then_some(stdout)
    });
    let words: Vec<_> = said.lines().map(|line| line.rsplit_once("  ").unwrap().1).collect();
    assert_eq!(words, ["one", "two", "three"]);
    let last = env.hermes(["gateway", "logs", "talker", "-n", "1"]).ok();
    assert!(last.stdout.ends_with("three\n") && last.stdout.lines().count() == 1, "{last}");
}

#[test]
fn a_gateway_gets_its_variables() {
    let tree = Svscan::start();
    let env = &tree.env;
    env.profile_running("coder", "env; pwd; exec sleep 600");
    env.hermes(["gateway", "unregister", "coder"]).ok();
    let nasty = "a'b\"c $HOME `id` \\ é";
    env.hermes(["gateway", "register", "coder", "--env", &format!("NASTY={nasty}")]).ok();
    env.hermes(["gateway", "start", "coder"]).ok();
    let said = eventually("its environment is logged", || {
        let stdout = env.hermes(["gateway", "logs", "coder"]).run().stdout;
        stdout.contains("NASTY=").then_some(stdout)
    });
    let has = |line: String| said.lines().any(|said| said.ends_with(&format!("  {line}")));
    assert!(has(format!("HERMES_HOME={}", env.profile("coder").display())), "{said}");
    assert!(has("HERMES_PROFILE=coder".to_owned()), "{said}");
    assert!(has("HERMES_S6_SUPERVISED_CHILD=1".to_owned()), "{said}");
    assert!(has(format!("HOME={}", env.home().display())), "{said}");
    assert!(has(format!("NASTY={nasty}")), "{said}");
    assert!(has(env.home().display().to_string()), "the working directory: {said}");
}

#[test]
fn no_concrete_home_gets_into_a_slot() {
    let tree = Svscan::start();
    let env = &tree.env;
    env.profile_serving("coder"); // with HERMES_HOME set while it renders
    let home = env.home().display().to_string();
    for script in ["run", "finish", "log/run"] {
        let text = std::fs::read_to_string(env.slot("coder").join(script)).unwrap();
        assert!(!text.contains(&home) && text.contains("${HERMES_HOME"), "{script}:\n{text}");
    }
}

#[test]
fn start_reports_a_port_in_use() {
    let tree = Svscan::start();
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = holder.local_addr().unwrap().port().to_string();
    tree.env.hermes(["profile", "create", "coder", "--port", &port]).ok();
    let outcome = tree.env.hermes(["gateway", "start", "coder"]).fails_with(1);
    assert!(outcome.stderr.contains("Address already in use"), "{outcome}");
    assert_eq!(tree.status("coder")["intent"], "running");
    drop(holder);
    eventually("s6 has tried again", || (tree.status("coder")["state"] == "up").then_some(()));
}

#[test]
fn a_deaf_supervisor_is_reported() {
    let tree = Svscan::start();
    let env = &tree.env;
    env.profile_serving("coder");
    env.hermes(["gateway", "start", "coder"]).ok();
    let control = env.slot("coder").join("supervise/control");
    std::fs::remove_file(&control).unwrap();
    let mode = rustix::fs::Mode::from_raw_mode(0o660);
    rustix::fs::mkfifoat(rustix::fs::CWD, &control, mode).unwrap();
    env.give(&control);
    for verb in ["stop", "start"] {
        let outcome = env.hermes(["gateway", verb, "coder", "--timeout", "1"]).fails_with(6);
        assert!(outcome.stderr.contains("its supervisor does not read"), "{outcome}");
    }
}
