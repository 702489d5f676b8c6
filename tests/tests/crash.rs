//! Every command that changes something, killed between any two steps: the next command or boot restores the
//! state before or after the command. (`rename` is in `rename_crash`.)

use std::fs;
use std::os::unix::fs::chown;

use hermes_tests::crash::Scene;
use hermes_tests::{Svscan, TestEnv, chmod, eventually, free_port, require_root, tell};

/// A tree with `default` and `a`, whose gateway is up.
fn tree() -> Svscan {
    let tree = Svscan::start();
    let env = &tree.env;
    env.hermes(["boot"]).ok();
    env.profile_serving("a");
    env.hermes(["gateway", "start", "a"]).ok();
    tree
}

fn exists(env: &TestEnv, name: &str) -> bool {
    env.profile(name).join("SOUL.md").exists()
}

/// Kills `command` at every step; there must be at least `minimum`.
#[track_caller]
fn killed(env: &TestEnv, prepare: &dyn Fn(), command: &[&str], again: Option<i32>, minimum: usize) {
    let steps = Scene { env, prepare, command, again }.killed_at_every_step();
    tell(format_args!("crash: `hermes {}` killed at {steps} points", command.join(" ")));
    assert!(steps >= minimum, "it has that many steps at least: {steps}");
}

#[test]
fn register() {
    let tree = tree();
    let prepare = || drop(tree.env.hermes(["gateway", "unregister", "a"]).ok());
    killed(&tree.env, &prepare, &["gateway", "register", "a"], Some(1), 30);
}

#[test]
fn unregister() {
    let tree = tree();
    let prepare = || drop(tree.env.hermes(["gateway", "start", "a"]).ok());
    killed(&tree.env, &prepare, &["gateway", "unregister", "a"], None, 20);
}

#[test]
fn create() {
    let tree = tree();
    let env = &tree.env;
    let port = free_port().to_string();
    let prepare = || {
        if exists(env, "b") {
            env.hermes(["profile", "delete", "b", "-y"]).ok();
        }
    };
    killed(env, &prepare, &["profile", "create", "b", "--port", &port], Some(1), 50);
}

#[test]
fn delete() {
    let tree = tree();
    let env = &tree.env;
    let port = free_port().to_string();
    let prepare = || {
        if !exists(env, "b") {
            env.hermes(["profile", "create", "b", "--port", &port]).ok();
        }
        env.hermes(["gateway", "start", "b"]).ok();
        env.hermes(["profile", "use", "b"]).ok();
    };
    killed(env, &prepare, &["profile", "delete", "b", "-y"], Some(4), 40);
}

#[test]
fn start() {
    let tree = tree();
    let prepare = || drop(tree.env.hermes(["gateway", "stop", "a"]).ok());
    killed(&tree.env, &prepare, &["gateway", "start", "a"], None, 8);
}

#[test]
fn stop() {
    let tree = tree();
    let prepare = || drop(tree.env.hermes(["gateway", "start", "a"]).ok());
    killed(&tree.env, &prepare, &["gateway", "stop", "a"], None, 8);
}

#[test]
fn restart() {
    let tree = tree();
    let prepare = || drop(tree.env.hermes(["gateway", "start", "a"]).ok());
    killed(&tree.env, &prepare, &["gateway", "restart", "a"], None, 12);
}

/// Kills a restart of `a` at every step, from the state that `prepare` makes of it and that a boot turns into `booted`.
/// So it stays like that, or the restart is completed.
#[track_caller]
fn restart_killed(tree: &Svscan, prepare: &dyn Fn(&TestEnv), booted: &str, minimum: usize) {
    let env = &tree.env;
    for (command, state) in [("boot", booted), ("gateway restart a", "up")] {
        prepare(env);
        env.hermes(command.split(' ')).ok();
        eventually(state, || (tree.status("a")["state"] == state).then_some(()));
    }
    killed(env, &|| prepare(env), &["gateway", "restart", "a"], None, minimum);
}

#[test]
fn restart_of_a_stopped_gateway() {
    let prepare = |env: &TestEnv| drop(env.hermes(["gateway", "stop", "a"]).ok());
    restart_killed(&tree(), &prepare, "down", 12);
}

#[test]
fn restart_of_a_wanted_gateway_that_is_down() {
    let prepare = |env: &TestEnv| {
        env.hermes(["gateway", "stop", "a"]).ok();
        env.write(&env.profile("a").join("gateway.intent"), "running\n");
    };
    restart_killed(&tree(), &prepare, "up", 12);
}

#[test]
fn restart_of_an_unregistered_gateway() {
    let prepare = |env: &TestEnv| {
        env.hermes(["gateway", "start", "a"]).ok();
        env.hermes(["gateway", "unregister", "a"]).ok();
    };
    restart_killed(&tree(), &prepare, "up", 30);
}

/// A tree whose gateway `a` ends with `code` while the file `ill` exists in its home.
fn ill(code: u8) -> Svscan {
    let tree = Svscan::start();
    let env = &tree.env;
    env.hermes(["boot"]).ok();
    env.profile_running("a", &format!("test -e $HERMES_HOME/ill && exit {code}; exec sleep 600"));
    tree
}

/// Starts `a` while it is ill, and waits for `state`; then it is well.
fn fall_ill(env: &TestEnv, state: &str) {
    env.hermes(["gateway", "stop", "a"]).ok();
    let ill = env.profile("a").join("ill");
    env.write(&ill, "");
    env.hermes(["gateway", "start", "a"]).fails_with(1);
    eventually("it has failed", || {
        let status = env.hermes(["gateway", "status", "a", "--json"]).run().json();
        (status["state"] == state).then_some(())
    });
    fs::remove_file(ill).expect("it was there");
}

/// No boot starts what is parked.
#[test]
fn restart_of_a_parked_gateway() {
    restart_killed(&ill(78), &|env| fall_ill(env, "parked"), "parked", 12);
}

#[test]
fn restart_of_a_gateway_in_back_off() {
    restart_killed(&ill(1), &|env| fall_ill(env, "backoff"), "up", 12);
}

/// With every kind of action: a rename to complete, a slot to create, one to remove, a leftover to clear, a
/// gateway to start and one to stop.
#[test]
fn boot() {
    let tree = tree();
    let env = &tree.env;
    env.profile_serving("b");
    let port = free_port().to_string();
    let logs = env.home().join("logs/gateways");
    let prepare = || {
        env.hermes(["gateway", "unregister", "a"]).ok();
        env.hermes(["gateway", "start", "b"]).ok();
        env.write(&env.profile("b").join("gateway.intent"), "stopped\n");
        env.hermes(["profile", "create", "gone", "--port", &port]).ok();
        fs::remove_dir_all(env.profile("gone")).expect("it was there");
        env.make_directory(&env.scandir().join(".hermes-left"));
        env.make_directory(&env.home().join("profiles/.hermes-left"));
        env.write(&env.profile("a").join("gateway.pid"), "1");
        fs::rename(logs.join("a"), logs.join("old")).expect("it was there");
        env.write(&env.home().join("profiles/.mv-old"), "a\n");
    };
    killed(env, &prepare, &["boot", "--jobs", "1"], None, 60);
}

#[test]
fn an_unremovable_leftover_blocks_nobody() {
    require_root!();
    let tree = Svscan::start();
    let env = &tree.env;
    env.hermes(["profile", "create", "a"]).ok();
    let left = env.home().join("profiles/.hermes-left");
    let closed = left.join("closed");
    env.make_directory(&left);
    env.make_directory(&closed);
    env.write(&closed.join("file"), "");
    // Directories of this user are opened to remove them; this one is another user's.
    chown(&closed, Some(0), Some(0)).expect("root may");
    chmod(&closed, 0);
    let booted = env.hermes(["boot"]).fails_with(1);
    let told = format!("clear {}: left by an interrupted command: failed", left.display());
    assert!(booted.stderr.contains(&told), "{booted}");
    assert_eq!(tree.status("default")["state"], "down", "the others were booted");
    env.hermes(["profile", "create", "b"]).ok();
    env.give(&closed);
    env.hermes(["boot"]).ok();
    assert!(!left.exists());
}
