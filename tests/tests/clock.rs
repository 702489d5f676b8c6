//! The wall clock set back or forward changes nothing. The trees here have a clock of their own, apart from
//! that of the commands, as if the machine's had been set in between.

use std::fs;

use hermes_tests::{Logger, Svscan, TestEnv, alone, eventually, kill, pid};
use rustix::process::Signal;
use serde_json::json;

/// A tree whose clock differs by `offset`, with a fiftieth of the policy's delays.
fn tree_at(offset: &str) -> Svscan {
    let mut env = TestEnv::new();
    env.faster = 50;
    env.set_clock(offset);
    let mut tree = Svscan::start_with(env, &[]);
    // The commands have the machine's clock.
    tree.env.clock = None;
    tree
}

fn lives(env: &TestEnv) -> usize {
    fs::read_to_string(env.home().join("lives")).unwrap_or_default().lines().count()
}

#[test]
fn a_crash_loop_parks_under_any_clock() {
    for offset in ["-1h", "-3d", "+1h", "+400d"] {
        let tree = tree_at(offset);
        tree.env.profile_running("looper", "echo life >>lives; exit 1");
        for start in 1..3 {
            let outcome = tree.env.hermes(["gateway", "start", "looper"]).fails_with(1);
            assert!(outcome.stderr.contains("it died (exit 1)"), "{offset}: {outcome}");
            let status = eventually("it is parked", || {
                Some(tree.status("looper")).filter(|status| status["state"] == "parked")
            });
            // Each start begins a new count.
            assert_eq!(lives(&tree.env), 10 * start, "{offset}");
            assert_eq!(status["deaths"], 10 * start, "{offset}: {status}");
        }
    }
}

#[test]
fn a_start_after_a_stop_succeeds_under_any_clock() {
    for offset in ["-1h", "+1h", "+400d"] {
        let tree = tree_at(offset);
        tree.env.profile_running("coder", "exec sleep 600");
        for _ in 0..2 {
            tree.env.hermes(["gateway", "start", "coder"]).ok();
            kill(pid(&tree.status("coder")));
            eventually("it is back", || {
                let status = tree.status("coder");
                (status["state"] == "up" && status["deaths"] == 1).then_some(())
            });
            // It runs already, however long according to the clock.
            tree.env.hermes(["gateway", "start", "coder"]).ok();
            tree.env.hermes(["gateway", "restart", "coder"]).ok();
            tree.env.hermes(["gateway", "stop", "coder"]).ok();
            let status = tree.status("coder");
            assert_eq!(status["state"], json!("down"), "{offset}: {status}");
            tree.env.hermes(["gateway", "unregister", "coder"]).ok();
            tree.env.hermes(["gateway", "register", "coder"]).ok();
        }
    }
}

/// s6-log names its archives after the wall clock when it started, and counts on from there.
#[test]
fn a_clock_that_is_set_loses_and_repeats_no_line_of_a_log() {
    let env = TestEnv::new();
    env.profile_for_later("coder", "exec sleep 600", "stopped");
    let mut logger = Logger::start(&env, "coder", 30);
    logger.write(1);
    logger.await_written();
    let following = alone(&env, ["gateway", "logs", "coder", "-f"]).stream();
    let numbers = |text: &str| -> Vec<usize> {
        let number = |line: &str| line.rsplit_once(' ').expect("a stamp").1.parse();
        text.lines().map(|line| number(line).expect("a number")).collect()
    };
    eventually("it follows", || (following.stdout().lines().count() == 1).then_some(()));
    let mut written = logger.written;
    drop(logger);
    for offset in ["-1h", "+2h"] {
        // More than a file holds, so that it is rotated, with a follower that comes to read it later.
        following.signal(Signal::STOP);
        for offset in [offset, "+0h", offset] {
            let mut logger = Logger::start_at(&env, "coder", 30, offset);
            logger.written = written;
            logger.write(150);
            written = logger.written;
        }
        following.signal(Signal::CONT);
        let all: Vec<_> = (0..written).collect();
        eventually("it prints all", || {
            (following.stdout().lines().count() >= all.len()).then_some(())
        });
        assert_eq!(numbers(&following.stdout()), all, "{offset}");
    }
    let mut stored = numbers(&alone(&env, ["gateway", "logs", "coder"]).ok().stdout);
    stored.sort_unstable();
    assert_eq!(stored, (0..written).collect::<Vec<_>>());
}
