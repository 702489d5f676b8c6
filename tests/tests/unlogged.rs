//! Gateways whose output can't be logged.

use std::fs;
use std::os::unix::fs::symlink;

use hermes_core::Proc;
use hermes_tests::doctor::{eventually_finds, finds, finds_nothing};
use hermes_tests::{Svscan, TestEnv, Up, chmod, eventually, kill, require_root, supervisors};
use serde_json::Value;

/// Blocks until the status of `a` has the reason of a logger that can't write, and checks that each command says so.
#[track_caller]
fn is_named(env: &TestEnv, status: impl Fn() -> Value, text: &str) {
    let status = eventually("its logger is missed", || {
        Some(status()).filter(|status| status["reason"]["kind"] == "logger")
    });
    assert!(status["reason"]["text"].as_str().is_some_and(|seen| seen.contains(text)), "{status}");
    assert_eq!((&status["state"], &status["healthy"]), (&"up".into(), &false.into()), "{status}");
    let shown = env.hermes(["gateway", "status", "--all"]).fails_with(1);
    assert!(shown.stderr.contains(text), "{shown}");
    let health = env.hermes(["doctor", "--health"]).fails_with(1);
    assert!(health.stdout.contains("1 not healthy: `a` is up, but "), "{health}");
    assert!(health.stdout.contains(text), "{health}");
}

#[test]
fn a_log_directory_that_leads_nowhere_is_named() {
    let tree = Svscan::start();
    let env = &tree.env;
    env.make_directory(&env.home().join("logs"));
    env.make_directory(&env.home().join("logs/gateways"));
    let directory = env.home().join("logs/gateways/a");
    symlink("/nonexistent/logs", &directory).expect("a link");
    env.profile_running("a", "while :; do echo line; sleep 0.1; done");
    env.hermes(["gateway", "start", "a"]).ok();
    is_named(env, || tree.status("a"), "can't be opened: No such file or directory");
    let shown = directory.to_str().expect("UTF-8");
    eventually_finds(env, "obstacles", "error", &[shown]);
    fs::remove_file(&directory).expect("the link");
    eventually("it is logged again", || (tree.status("a")["healthy"] == true).then_some(()));
    env.hermes(["doctor", "--health"]).ok();
}

#[test]
fn a_log_directory_that_can_not_be_written_is_named() {
    let tree = Svscan::start_with_a(TestEnv::new());
    let env = &tree.env;
    let directory = env.home().join("logs/gateways/a");
    finds_nothing(env, "loggers");
    // A logger that runs has its file open: the next one can't begin.
    chmod(&directory, 0o555);
    let [_, logger] = supervisors(&env.slot("a"))[..] else { panic!("two supervisors") };
    let logger = u32::try_from(logger).expect("a pid");
    Proc::default().children(logger).into_iter().for_each(|pid| kill(pid.into()));
    is_named(env, || tree.status("a"), "its logger does not run");
    finds(env, "loggers", "error", &["`a`", "which will block it"]);
    chmod(&directory, 0o750);
    eventually("it is logged again", || (tree.status("a")["healthy"] == true).then_some(()));
    finds_nothing(env, "loggers");
}

#[test]
fn a_full_disk_is_named_while_the_gateway_waits_for_room() {
    require_root!();
    let up = Up::start_in(TestEnv::on_disk_of(1));
    let env = &up.env;
    env.profile_running("a", "while :; do echo line; sleep 0.1; done");
    env.hermes(["gateway", "start", "a"]).ok();
    let filler = env.fill_disk();
    is_named(env, || up.status("a"), "no space is left for its log");
    finds(env, "loggers", "error", &["`a`", "no space is left"]);
    fs::remove_file(&filler).expect("it was there");
    eventually("it is logged again", || (up.status("a")["healthy"] == true).then_some(()));
    env.hermes(["doctor", "--health"]).ok();
}
