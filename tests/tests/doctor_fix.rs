//! `hermes doctor --fix`: its repairs, and that a second run changes nothing.

use std::fs;

use hermes_tests::doctor::{changes, finds, finds_nothing, snapshot};
use hermes_tests::{Svscan, chmod, eventually, free_port, is_alive, pid};

/// A booted tree without gateways.
fn tree() -> Svscan {
    let tree = Svscan::start();
    tree.env.hermes(["boot"]).ok();
    tree
}

#[test]
fn fix_repairs_without_stopping_gateways() {
    let tree = tree();
    let env = &tree.env;
    for name in ["missing", "stale", "wanted", "unwanted", "busy", "gone"] {
        env.profile_serving(name);
    }
    env.profile_running("fatal", "exit 78");
    env.hermes(["gateway", "start", "fatal"]).fails_with(1);
    env.hermes(["gateway", "start", "busy", "gone"]).ok();
    env.hermes(["gateway", "unregister", "missing"]).ok();
    for name in ["stale", "busy"] {
        env.write(&env.slot(name).join("data/generation"), "0\n");
    }
    env.write(&env.profile("wanted").join("gateway.intent"), "running\n");
    assert!(
        tree.s6("s6-svc")
            .args(["-uwu".as_ref(), env.slot("unwanted").as_path()])
            .status()
            .expect("s6-svc runs")
            .success()
    );
    eventually("it is up", || (tree.status("unwanted")["state"] == "up").then_some(()));
    let (busy, unwanted) = (pid(&tree.status("busy")), pid(&tree.status("unwanted")));
    // A gateway in a slot without a profile is not stopped either.
    let gone = pid(&tree.status("gone"));
    fs::remove_dir_all(env.profile("gone")).expect("it is there");
    chmod(&env.profile("busy").join(".env"), 0o666);
    env.make_directory(&env.scandir().join(".hermes-x"));
    env.make_directory(&env.home().join("profiles/.hermes-y"));
    env.write(&env.profile("stale").join("gateway.pid"), "{}");

    let outcome = env.hermes(["doctor", "--fix"]).fails_with(1);
    for mended in [
        "chmod 600 ",
        "clear ",
        "sweep stale",
        "register missing",
        "start wanted",
        "renew the slot of stale",
    ] {
        let line = format!("ok: repaired: {mended}");
        assert!(
            outcome.stdout.lines().any(|other| other.starts_with(&line)),
            "{mended}: {outcome}"
        );
    }
    assert_eq!(outcome.stdout.matches("repaired: ").count(), 7, "{outcome}");
    for (name, state) in
        [("missing", "down"), ("stale", "down"), ("wanted", "up"), ("fatal", "parked")]
    {
        assert_eq!(tree.status(name)["state"], state, "{name}");
    }
    assert_eq!((pid(&tree.status("busy")), pid(&tree.status("unwanted"))), (busy, unwanted));
    assert!(is_alive(gone));
    for check in ["dotenv", "leftovers", "stale-files"] {
        finds_nothing(env, check);
    }
    finds(env, "stale-slots", "warning", &["`busy`"]);
    finds(env, "wanted", "warning", &["`unwanted`"]);
    finds(env, "slots", "warning", &["gateway-gone"]);
    finds(env, "parked", "error", &["`fatal`"]);

    let before = snapshot(env);
    let report = env.hermes(["doctor", "--fix", "--json"]).fails_with(1).json();
    assert_eq!(report["repaired"], serde_json::json!([]), "{report:#}");
    assert_eq!(changes(&before, &snapshot(env)), [""; 0]);
}

#[test]
fn fix_starts_no_gateway_that_an_operator_stopped() {
    let tree = tree();
    let env = &tree.env;
    for name in ["held", "wanted"] {
        env.profile_running(name, "exec sleep 600");
        env.write(&env.profile(name).join("gateway.intent"), "running\n");
    }
    // As a stop on a full disk leaves it, which can't record the intent.
    env.write(&env.slot("held").join("data/held"), "");
    let outcome = env.hermes(["doctor", "--fix"]).run();
    assert!(outcome.stdout.contains("ok: repaired: start wanted"), "{outcome}");
    assert_eq!(tree.status("held")["state"], "down");
    assert_eq!(tree.status("wanted")["state"], "up");
}

#[test]
fn a_failed_repair_is_a_failure() {
    let tree = tree();
    let env = &tree.env;
    let port = free_port();
    let listener = std::net::TcpListener::bind(("127.0.0.1", port)).expect("a port");
    env.hermes(["profile", "create", "a", "--port", &port.to_string()]).ok();
    env.write(&env.profile("a").join("gateway.intent"), "running\n");
    let outcome = env.hermes(["doctor", "--fix"]).fails_with(1);
    assert!(outcome.stdout.contains("error: not repaired: start a: "), "{outcome}");
    drop(listener);
}
