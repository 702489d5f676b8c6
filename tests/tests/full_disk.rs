//! Gateways whose homes and slots are on one small disk that is full.

use std::fs;
use std::ops::Range;

use hermes_tests::{
    Outcome, TestEnv, Up, eventually, is_alive, is_one_clear_error, pid, require_root,
};
use rustix::process::Signal;

/// The size of the disk.
const MEBIBYTES: u32 = 1;

/// Fills the disk, runs `hermes LINE`, and makes room again.
fn on_full_disk(env: &TestEnv, line: &[&str]) -> Outcome {
    let filler = env.fill_disk();
    let outcome = env.hermes(line.iter().copied()).run();
    fs::remove_file(&filler).expect("it was there");
    outcome
}

/// A tree on a small disk, whose gateway `a` is up, and the gateway's process.
fn with_a_gateway() -> (Up, u64) {
    let up = Up::start_in(TestEnv::on_disk_of(MEBIBYTES));
    up.env.profile_serving("a");
    up.env.hermes(["gateway", "start", "a"]).ok();
    let gateway = pid(&up.status("a"));
    (up, gateway)
}

fn intent(env: &TestEnv, profile: &str) -> String {
    fs::read_to_string(env.profile(profile).join("gateway.intent")).expect("an intent")
}

#[test]
fn stop_needs_no_space_and_boot_brings_the_gateway_back() {
    require_root!();
    let (up, before) = with_a_gateway();
    let env = &up.env;

    let outcome = on_full_disk(env, &["gateway", "stop", "a"]);
    assert_eq!(outcome.code(), Some(1), "{outcome}");
    is_one_clear_error(&outcome);
    for part in ["No space left on device", "comes back at the next start of the tree"] {
        assert!(outcome.stderr.contains(part), "{outcome}");
    }
    assert!(!is_alive(before), "it was stopped");
    assert_eq!(intent(env, "a"), "running\n");

    env.hermes(["boot"]).ok();
    let again = eventually("it is back", || {
        let status = up.status("a");
        (status["state"] == "up").then(|| pid(&status))
    });
    assert_ne!(again, before);
    assert_eq!(up.end(Signal::TERM).1, Some(0));
}

/// The reconciler looks again and again, on the full disk and afterwards.
#[test]
fn a_stop_that_could_not_be_recorded_holds_until_a_start() {
    require_root!();
    let (up, before) = with_a_gateway();
    let env = &up.env;
    let filler = env.fill_disk();
    assert_eq!(env.hermes(["gateway", "stop", "a"]).run().code(), Some(1));
    let stays_down = |rounds: Range<usize>| {
        for round in rounds {
            up.await_mend(round);
            let status = up.status("a");
            assert_eq!(status["state"], "down", "{}", up.log());
            assert_eq!(status["reason"]["kind"], "stopped", "{status}");
        }
    };
    stays_down(0..2);
    fs::remove_file(&filler).expect("it was there");
    stays_down(2..4);
    assert!(!is_alive(before));
    env.hermes(["gateway", "start", "a"]).ok();
    // The stop is forgotten: what is wanted and down comes back by itself.
    up.stop_behind_its_back("a");
    eventually("it is back", || (up.status("a")["state"] == "up").then_some(()));
}

#[test]
fn what_must_be_recorded_is_refused_and_leaves_the_intent_valid() {
    require_root!();
    let up = Up::start_in(TestEnv::on_disk_of(MEBIBYTES));
    let env = &up.env;
    env.profile_serving("a");
    for line in [["gateway", "start", "a"], ["gateway", "restart", "a"]] {
        let outcome = on_full_disk(env, &line);
        assert_eq!(outcome.code(), Some(1), "{outcome}");
        is_one_clear_error(&outcome);
        assert!(outcome.stderr.contains("failed to record the intent"), "{outcome}");
        assert_eq!(intent(env, "a"), "stopped\n");
        assert_eq!(up.status("a")["state"], "down");
    }
    let outcome = on_full_disk(env, &["gateway", "unregister", "a"]);
    assert_eq!(outcome.code(), Some(0), "it writes nothing: {outcome}");
    assert_eq!(up.status("a")["state"], "unsupervised");
}

/// s6 could not record what it does: a restart that began would leave the gateway down.
#[test]
fn a_restart_that_s6_can_not_record_stops_nothing() {
    require_root!();
    let (up, before) = with_a_gateway();
    let env = &up.env;
    let outcome = on_full_disk(env, &["gateway", "restart", "a"]);
    assert_eq!(outcome.code(), Some(1), "{outcome}");
    is_one_clear_error(&outcome);
    assert!(outcome.stderr.contains("where s6 records what it does"), "{outcome}");
    assert_eq!((pid(&up.status("a")), intent(env, "a")), (before, "running\n".to_owned()));
    env.hermes(["gateway", "restart", "a"]).ok();
}
