//! `hermes up --detach`: a tree in the background.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use hermes_tests::{TestEnv, eventually, is_alive, pid};

fn log(env: &TestEnv) -> String {
    fs::read_to_string(env.home().join("logs/up.log")).unwrap_or_default()
}

#[test]
fn it_returns_when_the_tree_is_up_and_leaves_the_session() {
    let env = TestEnv::new();
    env.profile_for_later("a", "exec sleep 600", "running");
    let up = env.hermes(["up", "-d"]).ok();
    assert!(up.stderr.contains("the tree is up in the background"), "{up}");
    let status = env.hermes(["gateway", "status", "a", "--json"]).ok().json();
    assert_eq!(status["state"], "up");
    // The gateway's session is s6-supervise's doing; its ancestors are s6-svscan and the `up` in the background.
    let parent = |pid: u64| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process");
        let fields = stat.rsplit_once(") ").expect("a name").1.to_owned();
        let field = |index: usize| fields.split(' ').nth(index).expect("a field").parse::<u64>();
        (field(1).expect("a parent"), field(3).expect("a session"))
    };
    let supervisor = parent(pid(&status)).0;
    let up = parent(parent(supervisor).0).0;
    assert_eq!(parent(up).1, up, "it leads a session of its own");
    assert!(log(&env).contains("the tree is up on"), "{}", log(&env));

    let second = env.hermes(["up", "-d"]).fails_with(1);
    assert!(second.stderr.contains("a tree already runs on"), "{second}");
    env.hermes(["down"]).ok();
    eventually("`up` ends", || (!is_alive(up)).then_some(()));
    env.hermes(["up", "--detach"]).ok();
    assert!(env.home().join("logs/up.log.1").exists(), "the former messages are kept");
    env.hermes(["down"]).ok();
}

#[test]
fn one_that_does_not_come_up_says_why() {
    let env = TestEnv::new();
    fs::set_permissions(env.scandir(), fs::Permissions::from_mode(0o777)).expect("its owner");
    let failed = env.hermes(["up", "-d"]).fails_with(1).stderr;
    assert!(failed.contains("failed to start a tree in the background"), "{failed}");
    assert!(failed.contains("or may write to it"), "{failed}");
}
