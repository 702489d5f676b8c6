//! Every command that changes something, killed between any two of its steps: the next command, or
//! the next boot, makes of it what it would have come to, or what there was before. (`rename` has a
//! file of its own.)

use std::fs;

use hermes_tests::crash::Scene;
use hermes_tests::{Svscan, TestEnv, chmod, free_port, tell};

/// A tree with `default` and `a`, whose gateway is up.
fn tree() -> Svscan {
    let tree = Svscan::start();
    let world = &tree.world;
    world.hermes(["boot"]).ok();
    world.profile_serving("a");
    world.hermes(["gateway", "start", "a"]).ok();
    tree
}

fn there(world: &TestEnv, name: &str) -> bool {
    world.profile(name).join("SOUL.md").exists()
}

/// Kills `command` at every step, `minimum` at least, and says how many there were.
#[track_caller]
fn killed(
    world: &TestEnv,
    prepare: &dyn Fn(),
    command: &[&str],
    again: Option<i32>,
    minimum: usize,
) {
    let steps = Scene { world, prepare, command, again }.killed_at_every_step();
    tell(format_args!("crash: `hermes {}` killed at {steps} points", command.join(" ")));
    assert!(steps >= minimum, "it has that many steps at least: {steps}");
}

#[test]
fn register() {
    let tree = tree();
    let prepare = || drop(tree.world.hermes(["gateway", "unregister", "a"]).ok());
    killed(&tree.world, &prepare, &["gateway", "register", "a"], Some(1), 30);
}

#[test]
fn unregister() {
    let tree = tree();
    let prepare = || drop(tree.world.hermes(["gateway", "start", "a"]).ok());
    killed(&tree.world, &prepare, &["gateway", "unregister", "a"], None, 20);
}

#[test]
fn create() {
    let tree = tree();
    let world = &tree.world;
    let port = free_port().to_string();
    let prepare = || {
        if there(world, "b") {
            world.hermes(["profile", "delete", "b", "-y"]).ok();
        }
    };
    killed(world, &prepare, &["profile", "create", "b", "--port", &port], Some(1), 50);
}

#[test]
fn delete() {
    let tree = tree();
    let world = &tree.world;
    let port = free_port().to_string();
    let prepare = || {
        if !there(world, "b") {
            world.hermes(["profile", "create", "b", "--port", &port]).ok();
        }
        world.hermes(["gateway", "start", "b"]).ok();
        world.hermes(["profile", "use", "b"]).ok();
    };
    killed(world, &prepare, &["profile", "delete", "b", "-y"], Some(4), 40);
}

#[test]
fn start() {
    let tree = tree();
    let prepare = || drop(tree.world.hermes(["gateway", "stop", "a"]).ok());
    killed(&tree.world, &prepare, &["gateway", "start", "a"], None, 8);
}

#[test]
fn stop() {
    let tree = tree();
    let prepare = || drop(tree.world.hermes(["gateway", "start", "a"]).ok());
    killed(&tree.world, &prepare, &["gateway", "stop", "a"], None, 8);
}

#[test]
fn restart() {
    let tree = tree();
    let prepare = || drop(tree.world.hermes(["gateway", "start", "a"]).ok());
    killed(&tree.world, &prepare, &["gateway", "restart", "a"], None, 12);
}

/// With something to do of every kind: a rename to finish, a slot to make, one to remove, a leftover
/// to clear, a gateway to start and one to stop.
#[test]
fn boot() {
    let tree = tree();
    let world = &tree.world;
    world.profile_serving("b");
    let port = free_port().to_string();
    let logs = world.home().join("logs/gateways");
    let prepare = || {
        world.hermes(["gateway", "unregister", "a"]).ok();
        world.hermes(["gateway", "start", "b"]).ok();
        world.write(&world.profile("b").join("gateway.intent"), "stopped\n");
        world.hermes(["profile", "create", "gone", "--port", &port]).ok();
        fs::remove_dir_all(world.profile("gone")).expect("it was there");
        world.make_directory(&world.scandir().join(".hermes-left"));
        world.make_directory(&world.home().join("profiles/.hermes-left"));
        world.write(&world.profile("a").join("gateway.pid"), "1");
        fs::rename(logs.join("a"), logs.join("old")).expect("it was there");
        world.write(&world.home().join("profiles/.mv-old"), "a\n");
    };
    killed(world, &prepare, &["boot", "--jobs", "1"], None, 60);
}

#[test]
fn what_can_not_be_removed_is_told_and_stands_in_nobodys_way() {
    let tree = Svscan::start();
    let world = &tree.world;
    world.hermes(["profile", "create", "a"]).ok();
    let left = world.home().join("profiles/.hermes-left");
    let closed = left.join("closed");
    world.make_directory(&left);
    world.make_directory(&closed);
    world.write(&closed.join("file"), "");
    chmod(&closed, 0);
    let booted = world.hermes(["boot"]).fails_with(1);
    let told = format!("clear {}: left by an interrupted command: failed", left.display());
    assert!(booted.stderr.contains(&told), "{booted}");
    assert_eq!(tree.status("default")["state"], "down", "the others were booted");
    world.hermes(["profile", "create", "b"]).ok();
    chmod(&closed, 0o755);
    world.hermes(["boot"]).ok();
    assert!(!left.exists());
}
