//! An upgrade: the program of the version before this one runs a tree, and this version replaces it. Until the services are
//! replaced, commands of both work. Each gateway is down once, while its own service is replaced. Then the way back.

use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use hermes_tests::doctor::finds_nothing;
use hermes_tests::{Hermes, TestEnv, Up, eventually, hermes_program, kill, pid, previous_program};
use rustix::process::Signal;
use serde_json::Value;

/// Logs when it ends, in nanoseconds since 1970.
const GATEWAY: &str = "trap 'echo ends $(date +%s%N); exit 0' TERM; echo begins; \
                       while :; do sleep 600 & wait $!; done";
/// The profiles whose gateways run, and one whose gateway does not.
const RUNNING: [&str; 3] = ["a", "b", "c"];
const STOPPED: &str = "idle";

/// Where the environment's `hermes` is installed.
fn installed(env: &TestEnv) -> PathBuf {
    env.path().join("hermes")
}

/// Puts a version in the place of the installed one, as a package manager does.
fn install(env: &TestEnv, version: &Path) {
    let mut shell = env.command("/bin/sh");
    shell.args(["-c", "cp \"$1\" \"$2.new\" && mv \"$2.new\" \"$2\"", "sh"]);
    let status = shell.arg(version).arg(installed(env)).status();
    assert!(status.expect("a shell").success(), "{}", version.display());
}

/// A tree of the installed version.
fn up(env: TestEnv) -> Up {
    let mut command = env.command(installed(&env));
    command.arg("up");
    Up::launch(env, command).await_up()
}

/// A command line of one version.
fn run(env: &TestEnv, version: &Path, line: &str) -> Hermes {
    Hermes::new(env.command(version)).args(line.split(' '))
}

fn status(env: &TestEnv, version: &Path, profile: &str) -> Value {
    run(env, version, &format!("gateway status {profile} --json")).run().json()
}

fn profile(env: &TestEnv, version: &Path, name: &str) {
    run(env, version, &format!("profile create {name}")).ok();
    let command = serde_json::to_string(GATEWAY).expect("a string");
    let config = format!("gateway:\n  command: [/bin/sh, -c, {command}]\n");
    env.write(&env.profile(name).join("config.yaml"), &config);
}

/// When its last life ended. The older version's logger wrote times of another form before each line.
fn last_end(env: &TestEnv, profile: &str) -> u128 {
    let lines = env.logged(profile);
    let mut ends = lines.iter().filter_map(|line| line.split_once("ends ")?.1.trim().parse().ok());
    ends.next_back().expect("it was replaced")
}

/// Waits until the gateways run, and returns their processes.
#[track_caller]
fn all_run(env: &TestEnv, version: &Path) -> Vec<u64> {
    let running = |name: &str| {
        eventually("it is up", || {
            Some(status(env, version, name)).filter(|status| status["state"] == "up")
        })
    };
    RUNNING.iter().map(|name| pid(&running(name))).collect()
}

#[test]
fn gateways_of_the_previous_version_are_taken_over_one_by_one() {
    let (old, new) = (previous_program(), hermes_program());
    let env = TestEnv::new();
    install(&env, old);
    let tree = up(env);
    let env = &tree.env;
    for name in RUNNING.iter().chain([&STOPPED]) {
        profile(env, old, name);
    }
    run(env, old, "gateway start a b c").ok();
    let before = all_run(env, old);

    install(env, new);
    assert_eq!(all_run(env, new), before, "a new program stops nothing");
    commands_work(env, old, new, &before);
    commands_work(env, new, old, &before);
    // What was rendered by the old version runs the new one.
    kill(before[0]);
    eventually("it is back", || {
        let status = status(env, new, "a");
        (status["state"] == "up" && status["pid"] != before[0]).then_some(())
    });

    let before = all_run(env, new);
    run(env, new, "gateway register --refresh --all --jobs 1").ok();
    let after = all_run(env, new);
    assert!(before.iter().zip(&after).all(|(old, new)| old != new), "{before:?} {after:?}");
    one_at_a_time(env);
    assert_eq!(status(env, new, STOPPED)["state"], "down");
    finds_nothing(env, "stale-slots");
    // The older version does not know the new slots' way to hold a gateway's lock.
    commands_work(env, new, new, &after);

    // The tree itself is still the old one.
    let (env, code) = tree.end(Signal::TERM);
    assert_eq!(code, Some(0));
    let tree = up(env);
    all_run(&tree.env, new);
    // And back.
    install(&tree.env, old);
    all_run(&tree.env, old);
    run(&tree.env, old, "gateway register --refresh --all").ok();
    let (env, code) = tree.end(Signal::TERM);
    assert_eq!(code, Some(0));
    let tree = up(env);
    all_run(&tree.env, old);
}

/// Commands of `version` work, with what `other` sees, and leave other gateways alone.
#[track_caller]
fn commands_work(env: &TestEnv, version: &Path, other: &Path, processes: &[u64]) {
    let run = |line: &str| run(env, version, line).ok();
    for verb in ["start", "restart", "stop"] {
        run(&format!("gateway {verb} {STOPPED}"));
        let expected = if verb == "stop" { ("down", "stopped") } else { ("up", "running") };
        for reader in [version, other] {
            let status = status(env, reader, STOPPED);
            let found = (status["state"].as_str(), status["intent"].as_str());
            assert_eq!(found, (Some(expected.0), Some(expected.1)), "{verb}: {status}");
        }
    }
    profile(env, version, "made");
    run(&format!("profile rename made {STOPPED}-2"));
    assert_eq!(status(env, other, &format!("{STOPPED}-2"))["state"], "down");
    assert!(run("gateway logs a").stdout.contains("begins"));
    run(&format!("profile delete {STOPPED}-2 -y"));
    run("boot");
    assert_eq!(all_run(env, version), processes);
}

/// Each gateway was stopped after the new slot of the one before it had been made.
#[track_caller]
fn one_at_a_time(env: &TestEnv) {
    for pair in RUNNING.windows(2) {
        let slot = env.slot(pair[0]).join("data/generation");
        let made = slot.metadata().and_then(|slot| slot.modified()).expect("a slot");
        let made = made.duration_since(UNIX_EPOCH).expect("a time after 1970").as_nanos();
        let ended = last_end(env, pair[1]);
        assert!(made < ended, "{pair:?}: {made} {ended}");
    }
}
