//! Gateways in control groups of their own, where the tree has a writable cgroup v2: whatever a gateway has started ends
//! with it, and nothing else does.

use std::fs;

use hermes_tests::{
    Svscan, TestEnv, TestGroup, Up, eventually, hermes_program, is_alive, kill, pid,
    require_control_group,
};
use rustix::process::Signal;

/// Starts a process that has neither the gateway's environment nor its group, and whose parent has ended.
const HIDES: &str = "env -i setsid sh -c 'sleep 6000 & echo $! >>kids'; exec sleep 6000";
/// Starts one that ignores SIGTERM as well, and starts another process whenever its child is killed.
const DEFIES: &str = "(env -i setsid sh -c 'trap \"\" TERM; echo $$ >>kids; while :; do sleep 6000; \
                      done' &)";

/// A tree in `group`.
fn tree_in(group: &TestGroup, env: TestEnv) -> Svscan {
    let tree = Svscan::start_with(env, &[]);
    group.take(tree.pid());
    tree
}

/// The helper that the gateway's latest life has started.
#[track_caller]
fn helper(env: &TestEnv) -> u64 {
    eventually("it has a helper", || {
        let text = fs::read_to_string(env.home().join("kids")).unwrap_or_default();
        let last = text.lines().last()?.parse().ok()?;
        is_alive(last).then_some(last)
    })
}

#[test]
fn a_helper_that_hides_ends_before_the_next_start() {
    let env = TestEnv::new();
    let group = require_control_group!(&env);
    let tree = tree_in(&group, env);
    let env = &tree.env;
    env.profile_running(
        "coder",
        &format!("[ -e kids ] && kill -0 $(cat kids) && touch met; {HIDES}"),
    );
    env.hermes(["gateway", "start", "coder"]).ok();
    let (old, hidden) = (pid(&tree.status("coder")), helper(env));
    assert_eq!(group.gateways(), ["gateway-coder"]);
    kill(old);
    eventually("it is up again, with another helper", || (helper(env) != hidden).then_some(()));
    assert!(!is_alive(hidden));
    assert!(!env.home().join("met").exists(), "the helper outlived its gateway");
    env.hermes(["gateway", "stop", "coder"]).ok();
}

#[test]
fn nothing_is_left_of_a_stopped_gateway() {
    let env = TestEnv::new();
    let group = require_control_group!(&env);
    let tree = tree_in(&group, env);
    let env = &tree.env;
    env.profile_running("coder", HIDES);
    for line in ["gateway stop coder", "gateway unregister coder", "profile delete coder -y"] {
        env.hermes(["gateway", "start", "coder"]).ok();
        let hidden = helper(env);
        let processes = env.hermes(["doctor", "--json"]).run().json();
        assert!(!processes["findings"].to_string().contains("outlive"), "{processes:#}");
        env.hermes(line.split(' ')).ok();
        assert!(!is_alive(hidden), "{line}");
        assert_eq!(group.gateways(), [""; 0], "{line}");
    }
}

#[test]
fn a_helper_that_ignores_signals_is_killed() {
    let env = TestEnv::new();
    let group = require_control_group!(&env);
    let tree = tree_in(&group, env);
    let env = &tree.env;
    env.profile_running("coder", &format!("{DEFIES}; exec sleep 6000"));
    env.hermes(["gateway", "start", "coder"]).ok();
    let hidden = helper(env);
    env.hermes(["gateway", "stop", "coder"]).ok();
    assert!(!is_alive(hidden));
    assert_eq!(group.gateways(), [""; 0]);
}

#[test]
fn nothing_is_left_of_a_tree() {
    let env = TestEnv::new();
    let group = require_control_group!(&env);
    let up = Up::start_in(env);
    group.take(up.pid());
    group.take(u32::try_from(up.svscan()).expect("a pid"));
    up.env.profile_running("coder", HIDES);
    up.env.hermes(["gateway", "start", "coder"]).ok();
    let hidden = helper(&up.env);
    let (_env, code) = up.end(Signal::TERM);
    assert_eq!(code, Some(0));
    assert!(!is_alive(hidden));
    assert_eq!(group.gateways(), [""; 0]);
}

#[test]
fn gateways_of_the_same_name_in_two_trees_of_one_group_do_not_end_each_other() {
    let env = TestEnv::new();
    let group = require_control_group!(&env);
    let [one, two] = [env, TestEnv::new()].map(|env| tree_in(&group, env));
    for tree in [&one, &two] {
        tree.env.profile_running("coder", HIDES);
        tree.env.hermes(["gateway", "start", "coder"]).ok();
    }
    let (mine, theirs) = (helper(&one.env), helper(&two.env));
    assert_eq!(group.gateways().len(), 2);
    one.env.hermes(["gateway", "stop", "coder"]).ok();
    assert!(!is_alive(mine) && is_alive(theirs));
    assert_eq!(two.status("coder")["state"], "up");
    two.env.hermes(["gateway", "stop", "coder"]).ok();
}

#[test]
fn a_command_in_the_group_is_spared() {
    let env = TestEnv::new();
    let group = require_control_group!(&env);
    let tree = tree_in(&group, env);
    let env = &tree.env;
    let hermes = hermes_program().display();
    // Without the environment that would name it, and without a parent of the gateway's.
    let script = format!(
        "[ -e again ] && exec sleep 6000; touch again; {DEFIES}\n\
         env -i PATH=\"$PATH\" HOME=\"$HOME\" HERMES_HOME={home} HERMES_SCANDIR={scandir} setsid \
         sh -c '(until test -e go; do sleep 0.05; done; {hermes} gateway restart coder && touch done) &'\n\
         exec sleep 6000",
        home = env.home().display(),
        scandir = env.scandir().display(),
    );
    env.profile_running("coder", &script);
    env.hermes(["gateway", "start", "coder"]).ok();
    let (old, hidden) = (pid(&tree.status("coder")), helper(env));
    env.write(&env.home().join("go"), "");
    eventually("the command succeeds", || env.home().join("done").exists().then_some(()));
    assert!(!is_alive(old) && !is_alive(hidden));
    assert_eq!(tree.status("coder")["state"], "up");
    env.hermes(["gateway", "stop", "coder"]).ok();
}
