//! Slots that are removed or moved while their supervisors run.

use std::fs;

use hermes_core::process_lock;
use hermes_tests::doctor::{finds, finds_nothing};
use hermes_tests::{Svscan, TestEnv, eventually, is_alive, pid, processes_naming};

/// A description, and what it describes.
type Way = (&'static str, fn(&TestEnv));

/// The ways to take a slot, or a part of it, from its place.
const WAYS: [Way; 6] = [
    ("the slot is removed", |env| remove(env, "")),
    ("the slot is moved away", |env| {
        fs::rename(env.slot("coder"), env.path().join("backup")).expect("one file system");
    }),
    ("the logger is removed", |env| remove(env, "log")),
    ("the script of the service is removed", |env| {
        fs::remove_file(env.slot("coder").join("run")).expect("it is there");
    }),
    ("the lock of the service is removed", |env| remove(env, "supervise")),
    ("the lock of the logger is removed", |env| remove(env, "log/supervise")),
];

fn remove(env: &TestEnv, part: &str) {
    fs::remove_dir_all(env.slot("coder").join(part)).expect("it is there");
}

/// A tree with a gateway that runs, taken from its place in one of the ways; and its process.
fn displaced((_, take): Way) -> (Svscan, u64) {
    let tree = Svscan::start();
    tree.env.hermes(["boot"]).ok();
    tree.env.profile_serving("coder");
    tree.env.hermes(["gateway", "start", "coder"]).ok();
    let gateway = pid(&tree.status("coder"));
    take(&tree.env);
    (tree, gateway)
}

fn lines_of_starts(env: &TestEnv) -> usize {
    env.logged("coder").iter().filter(|line| line.contains("listens on")).count()
}

#[test]
fn restart_ends_displaced_supervisors() {
    for way in WAYS {
        let (tree, former) = displaced(way);
        let env = &tree.env;
        let before = lines_of_starts(env);
        env.hermes(["gateway", "restart", "coder"]).ok();
        assert!(!is_alive(former), "{}", way.0);
        let status = tree.status("coder");
        assert_eq!(status["state"], "up", "{}: {status}", way.0);
        eventually("its output is logged", || (lines_of_starts(env) > before).then_some(()));
        let log = env.home().join("logs/gateways/coder").display().to_string();
        eventually("one logger", || (processes_naming(&log).len() == 1).then_some(()));
        finds_nothing(env, "loggers");
        finds_nothing(env, "slots");
        env.hermes(["gateway", "stop", "coder"]).ok();
        assert!(!is_alive(pid(&status)), "{}", way.0);
    }
}

#[test]
fn stop_and_delete_end_displaced_supervisors() {
    for way in WAYS {
        let (tree, former) = displaced(way);
        let env = &tree.env;
        env.hermes(["gateway", "stop", "coder"]).ok();
        assert!(!is_alive(former), "{}", way.0);
        env.hermes(["profile", "delete", "coder", "-y"]).ok();
        let left = || processes_naming("gateway-coder");
        eventually("its supervisors have ended", || left().is_empty().then_some(()));
    }
}

#[test]
fn doctor_finds_the_gateway_of_a_removed_slot_and_start_replaces_it() {
    let (tree, former) = displaced(WAYS[0]);
    let env = &tree.env;
    finds_nothing(env, "slots");
    let finding = finds(env, "orphans", "error", &["`coder`", &former.to_string()]);
    assert_eq!(finding.remedy, "hermes gateway restart coder");
    env.hermes(["gateway", "start", "coder"]).ok();
    assert!(!is_alive(former));
    assert_eq!(tree.status("coder")["state"], "up");
}

#[test]
fn a_logger_that_keeps_the_log_directory_is_found_and_ended() {
    let tree = Svscan::start();
    let env = &tree.env;
    env.profile_serving("coder");
    env.hermes(["gateway", "start", "coder"]).ok();
    env.hermes(["gateway", "stop", "coder"]).ok();
    let lock = env.home().join("logs/gateways/coder/lock");
    let holder = || process_lock::holder(&lock).ok().flatten()?.pid;
    let former = u64::from(eventually("it logs", holder));
    // A slot made by hand in the place of a removed one.
    let copy = env.path().join("copy");
    env.shell(&format!("cp -r {} {}", env.slot("coder").display(), copy.display())).ok();
    env.shell(&format!("rm -rf {0}/supervise {0}/log/supervise", copy.display())).ok();
    remove(env, "");
    fs::rename(&copy, env.slot("coder")).expect("one file system");
    env.s6("s6-svscanctl").arg("-a").arg(env.scandir()).status().expect("it runs");
    let record = env.slot("coder").join("supervise/status");
    eventually("it is supervised", || record.exists().then_some(()));
    let finding = finds(env, "loggers", "error", &["`coder`", &former.to_string()]);
    assert_eq!(finding.remedy, "hermes gateway stop coder");
    env.hermes(["gateway", "start", "coder"]).ok();
    assert!(!is_alive(former));
    eventually("its output is logged", || (lines_of_starts(env) == 2).then_some(()));
    finds_nothing(env, "loggers");
}
