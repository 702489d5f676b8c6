//! What two commands at once, or two trees, must not do to each other.

use std::fs;

use hermes_tests::{Svscan, World, eventually, free_port, is_alive, pid, processes_naming};

#[test]
fn of_two_gateways_on_one_port_that_start_at_once_one_is_refused_and_names_the_other() {
    let tree = Svscan::start();
    let world = &tree.world;
    let port = free_port().to_string();
    for name in ["a", "b"] {
        world.hermes(["profile", "create", name, "--port", &port]).ok();
    }
    let outcome = world.hermes(["gateway", "start", "a", "b"]).fails_with(1);
    assert!(outcome.stderr.contains(&format!("port {port} belongs to")), "{outcome}");
    let states = ["a", "b"].map(|name| tree.status(name)["state"].clone());
    assert!(states.contains(&"up".into()) && states.contains(&"down".into()), "{states:?}");
    let intents = ["a", "b"].map(|name| tree.status(name)["intent"].clone());
    assert!(intents.contains(&"stopped".into()), "the refused one is not wanted: {intents:?}");
    let outcome = world.hermes(["profile", "create", "c", "--port", &port, "--start"]);
    let outcome = outcome.fails_with(1);
    assert!(outcome.stderr.contains(&format!("port {port} belongs to")), "{outcome}");
    let status = tree.status("c");
    assert_eq!((&status["state"], &status["intent"]), (&"down".into(), &"stopped".into()));
}

#[test]
fn a_profile_whose_gateway_runs_in_another_tree_is_not_deleted() {
    let tree = Svscan::start();
    let world = &tree.world;
    world.profile_serving("coder");
    world.hermes(["gateway", "start", "coder"]).ok();
    let gateway = pid(&tree.status("coder"));
    let elsewhere = world.path().join("elsewhere");
    world.make_directory(&elsewhere);
    let delete = world.hermes(["profile", "delete", "coder", "-y"]).env_remove("HERMES_SCANDIR");
    let outcome = delete.env("XDG_RUNTIME_DIR", elsewhere.to_str().unwrap()).fails_with(1);
    assert!(outcome.stderr.contains(&format!("its gateway runs as {gateway}")), "{outcome}");
    assert!(is_alive(gateway) && world.profile("coder").join("SOUL.md").exists());
    world.hermes(["profile", "delete", "coder", "-y"]).ok();
    assert!(!is_alive(gateway));
}

#[test]
fn a_wrong_port_is_mended_by_writing_another() {
    let world = World::new();
    world.hermes(["profile", "create", "a"]).env_remove("HERMES_SCANDIR").ok();
    let config = world.profile("a").join("config.yaml");
    world.write(&config, "gateway:\n  port: high # mine\n");
    world.hermes(["profile", "port", "a"]).fails_with(1);
    world.hermes(["profile", "port", "a", "9000"]).ok();
    assert_eq!(fs::read_to_string(&config).unwrap(), "gateway:\n  port: 9000 # mine\n");
}

#[test]
fn profiles_that_come_and_go_at_once_leave_nothing() {
    let tree = Svscan::start();
    let world = &tree.world;
    std::thread::scope(|scope| {
        for i in 0..4 {
            scope.spawn(move || {
                let (name, port) = (format!("p{i}"), free_port().to_string());
                for _ in 0..3 {
                    world.hermes(["profile", "create", &name, "--port", &port, "--start"]).ok();
                    world.hermes(["gateway", "restart", &name]).ok();
                    world.hermes(["profile", "delete", &name, "-y"]).ok();
                }
            });
        }
    });
    let slots = fs::read_dir(world.scandir()).unwrap().flatten();
    let left: Vec<_> = slots
        .map(|entry| entry.file_name().into_string().unwrap())
        .filter(|name| name != ".s6-svscan" && name != ".hermes.booted")
        .collect();
    assert_eq!(left, [""; 0]);
    eventually("only s6-svscan is left", || {
        let processes = processes_naming(&world.path().to_string_lossy());
        (processes == [u64::from(tree.pid())]).then_some(())
    });
}
