//! `hermes doctor --fix`: what it mends, what it leaves alone, and that a second time changes nothing.

use std::fs;

use hermes_tests::doctor::{changes, finds, finds_nothing, snapshot};
use hermes_tests::{Svscan, chmod, eventually, free_port, is_alive, pid};

/// A booted tree without gateways.
fn tree() -> Svscan {
    let tree = Svscan::start();
    tree.world.hermes(["boot"]).ok();
    tree
}

#[test]
fn fix_mends_what_stops_nobody_and_a_second_time_changes_nothing() {
    let tree = tree();
    let world = &tree.world;
    for name in ["missing", "stale", "wanted", "unwanted", "busy", "gone"] {
        world.profile_serving(name);
    }
    world.profile_running("fatal", "exit 78");
    world.hermes(["gateway", "start", "fatal"]).fails_with(1);
    world.hermes(["gateway", "start", "busy", "gone"]).ok();
    world.hermes(["gateway", "unregister", "missing"]).ok();
    for name in ["stale", "busy"] {
        world.write(&world.slot(name).join("data/generation"), "0\n");
    }
    world.write(&world.profile("wanted").join("gateway.intent"), "running\n");
    assert!(
        tree.s6("s6-svc")
            .args(["-uwu".as_ref(), world.slot("unwanted").as_path()])
            .status()
            .expect("s6-svc runs")
            .success()
    );
    eventually("it is up", || (tree.status("unwanted")["state"] == "up").then_some(()));
    let (busy, unwanted) = (pid(&tree.status("busy")), pid(&tree.status("unwanted")));
    // What runs in a slot whose profile is gone is not stopped either.
    let gone = pid(&tree.status("gone"));
    fs::remove_dir_all(world.profile("gone")).expect("it is there");
    chmod(&world.profile("busy").join(".env"), 0o666);
    world.make_directory(&world.scandir().join(".hermes-x"));
    world.make_directory(&world.home().join("profiles/.hermes-y"));
    world.write(&world.profile("stale").join("gateway.pid"), "{}");

    let outcome = world.hermes(["doctor", "--fix"]).fails_with(1);
    for mended in [
        "chmod 600 ",
        "clear ",
        "sweep stale",
        "register missing",
        "start wanted",
        "renew the slot of stale",
    ] {
        let line = format!("ok: repaired: {mended}");
        assert!(outcome.stdout.lines().any(|said| said.starts_with(&line)), "{mended}: {outcome}");
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
        finds_nothing(world, check);
    }
    finds(world, "stale-slots", "warning", &["`busy`"]);
    finds(world, "wanted", "warning", &["`unwanted`"]);
    finds(world, "slots", "warning", &["gateway-gone"]);
    finds(world, "parked", "error", &["`fatal`"]);

    let before = snapshot(world);
    let report = world.hermes(["doctor", "--fix", "--json"]).fails_with(1).json();
    assert_eq!(report["repaired"], serde_json::json!([]), "{report:#}");
    assert_eq!(changes(&before, &snapshot(world)), [""; 0]);
}

#[test]
fn a_mend_that_fails_is_told_and_is_a_failure() {
    let tree = tree();
    let world = &tree.world;
    let port = free_port();
    let listener = std::net::TcpListener::bind(("127.0.0.1", port)).expect("a port");
    world.hermes(["profile", "create", "a", "--port", &port.to_string()]).ok();
    world.write(&world.profile("a").join("gateway.intent"), "running\n");
    let outcome = world.hermes(["doctor", "--fix"]).fails_with(1);
    assert!(outcome.stdout.contains("error: not repaired: start a: "), "{outcome}");
    drop(listener);
}
