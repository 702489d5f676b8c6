//! The last line of a gateway that ends without a newline.

use hermes_tests::{Svscan, TestEnv, eventually};

/// The lines that the gateway `coder` logged, once there are `count`.
fn logged(env: &TestEnv, count: usize) -> Vec<String> {
    eventually("its lines are logged", || {
        Some(env.logged("coder")).filter(|lines| lines.len() >= count)
    })
}

/// A tree in which the gateway `coder` runs `script` again and again.
fn after(script: &str) -> Svscan {
    let mut env = TestEnv::new();
    env.faster = 50;
    let tree = Svscan::start_with(env, &[]);
    tree.env.profile_running("coder", script);
    tree.env.hermes(["gateway", "start", "coder"]).fails_with(1);
    tree
}

#[test]
fn a_line_without_a_newline_is_marked_and_not_glued_to_the_next_life() {
    for (ends, last) in [("exit 1", "half"), ("kill -9 $$", "a b"), ("exit 75", "-- no newline")] {
        let tree = after(&format!(r"printf 'one\n{last}'; {ends}"));
        let lines = logged(&tree.env, 4);
        let marked = format!("{last} -- no newline at the end");
        assert_eq!(lines[..4], ["one", marked.as_str(), "one", marked.as_str()], "{ends}");
    }
}

#[test]
fn whole_lines_and_empty_ones_stay_as_they_are() {
    let tree = after("printf 'one\\n\\n two \\n'; exit 1");
    let lines = logged(&tree.env, 6);
    assert_eq!(lines[..6], ["one", "", " two ", "one", "", " two "]);
}

#[test]
fn the_last_line_before_a_stop_is_logged() {
    let tree = Svscan::start();
    tree.env.profile_running("coder", "printf half; exec sleep 600");
    tree.env.hermes(["gateway", "start", "coder"]).ok();
    tree.env.hermes(["gateway", "stop", "coder"]).ok();
    assert_eq!(logged(&tree.env, 1), ["half -- no newline at the end"]);
}
