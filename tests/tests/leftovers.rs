//! What a gateway leaves behind when it dies or is stopped: its process group, processes that left the group, and
//! processes that only their descent gives away.

use std::fs;

use hermes_tests::{
    Svscan, TestEnv, Up, eventually, free_port, hermes_program, is_alive, kill, pid,
};
use rustix::process::Signal;
use serde_json::Value;

/// The processes whose ids the gateway's shell wrote to this file in the root home.
fn recorded(env: &TestEnv, file: &str) -> Vec<u64> {
    let text = fs::read_to_string(env.home().join(file)).unwrap_or_default();
    text.split_whitespace().map(|pid| pid.parse().expect("a pid")).collect()
}

/// Waits until the gateway is up as another process than `old`.
#[track_caller]
fn successor(status: impl Fn() -> Value, old: u64) -> Value {
    eventually("it is up again", || {
        let status = status();
        (status["state"] == "up" && pid(&status) != old).then_some(status)
    })
}

/// A gateway that reports children of former lives, zombies aside, and starts one in its group, one that ignores SIGTERM, and one
/// that leaves its group.
const PARENT: &str =
    "for kid in $(cat kids 2>/dev/null); do grep -qs ') [^Z]' /proc/$kid/stat && echo $kid >>met; done
sleep 6000 & echo $! >>kids
(trap '' TERM; exec sleep 6000) & echo $! >>kids
setsid sleep 6000 & echo $! >>kids
exec sleep 6000";

#[test]
fn what_a_dead_gateway_left_ends_before_the_next_start() {
    let tree = Svscan::start();
    let env = &tree.env;
    env.profile_running("parent", PARENT);
    env.hermes(["gateway", "start", "parent"]).ok();
    for deaths in 1..3 {
        let old = pid(&tree.status("parent"));
        let kids = eventually("all its children run", || {
            let kids = recorded(env, "kids");
            let alive = kids.iter().filter(|kid| is_alive(**kid)).count();
            (kids.len() == 3 * deaths && alive == 3).then_some(kids)
        });
        kill(old);
        let status = successor(|| tree.status("parent"), old);
        assert_eq!(status["deaths"], deaths, "{status}");
        assert!(!kids.iter().any(|kid| is_alive(*kid)), "{kids:?}");
    }
    assert_eq!(recorded(env, "met"), [0; 0], "children of a former life, at the start of the next");
}

#[test]
fn a_child_with_the_port_does_not_outlive_its_gateway() {
    let tree = Svscan::start();
    let env = &tree.env;
    let port = free_port();
    let server = format!("python3 -m http.server {port} --bind 127.0.0.1 & wait");
    env.profile_running("web", &server);
    env.hermes(["gateway", "start", "web"]).ok();
    let answers = || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
    eventually("it serves", || answers().then_some(()));
    let old = pid(&tree.status("web"));
    kill(old);
    let status = successor(|| tree.status("web"), old);
    eventually("its successor serves", || answers().then_some(()));
    let log = env.logged("web").join("\n");
    assert!(!log.contains("already in use"), "{log}");
    assert_eq!(
        (pid(&tree.status("web")), &tree.status("web")["deaths"]),
        (pid(&status), &1.into())
    );
}

#[test]
fn a_gateway_may_restart_itself() {
    let tree = Svscan::start();
    let env = &tree.env;
    // In the gateway's group, and outside of it.
    for session in ["", "setsid"] {
        let script = format!(
            "echo life >>lives; [ -e again ] && exec sleep 6000\n\
             {session} sh -c 'until test -e go; do sleep 0.05; done; touch again; \
             {} gateway restart coder && touch done' & exec sleep 6000",
            hermes_program().display(),
        );
        env.profile_running("coder", &script);
        env.hermes(["gateway", "start", "coder"]).ok();
        let old = pid(&tree.status("coder"));
        env.write(&env.home().join("go"), "");
        successor(|| tree.status("coder"), old);
        eventually("the command succeeds", || env.home().join("done").exists().then_some(()));
        assert!(!is_alive(old));
        env.hermes(["profile", "delete", "coder", "-y"]).ok();
        for file in ["go", "again", "done"] {
            fs::remove_file(env.home().join(file)).expect("it was written");
        }
    }
}

/// Starts a helper program that has neither its environment nor its group, as SDKs do.
const HIDES: &str = "env -i setsid sh -c 'sleep 6000 & echo $! $$ >>kids; wait' & exec sleep 6000";

/// The two helpers of the gateway's latest life.
#[track_caller]
fn helpers(env: &TestEnv, status: impl Fn() -> Value) -> [u64; 2] {
    eventually("it is up, with its helpers", || {
        let helpers: [u64; 2] = recorded(env, "kids").try_into().ok()?;
        (status()["state"] == "up" && helpers.iter().all(|kid| is_alive(*kid))).then_some(helpers)
    })
}

#[test]
fn helpers_without_the_environment_end_with_their_gateway() {
    let tree = Svscan::start();
    let env = &tree.env;
    env.profile_running("coder", HIDES);
    let lines = [
        "gateway stop coder",
        "gateway restart coder",
        "gateway unregister coder",
        "profile rename coder other",
        "profile delete other -y",
    ];
    for line in lines {
        let name = if line.contains("delete") { "other" } else { "coder" };
        env.hermes(["gateway", "start", name]).ok();
        let before = helpers(env, || tree.status(name));
        env.write(&env.home().join("kids"), "");
        env.hermes(line.split(' ')).ok();
        assert!(!before.iter().any(|kid| is_alive(*kid)), "{line}: {before:?}");
    }
}

#[test]
fn helpers_without_the_environment_end_with_the_tree() {
    let up = Up::start();
    up.env.profile_running("coder", HIDES);
    up.env.hermes(["gateway", "start", "coder"]).ok();
    let before = helpers(&up.env, || up.status("coder"));
    let (_env, code) = up.end(Signal::TERM);
    assert_eq!(code, Some(0));
    assert!(!before.iter().any(|kid| is_alive(*kid)), "{before:?}");
}

#[test]
fn what_a_dead_orphan_left_ends_before_the_next_start() {
    let tree = Svscan::start();
    let env = &tree.env;
    env.profile_running("parent", PARENT);
    env.hermes(["gateway", "start", "parent"]).ok();
    let orphan = pid(&tree.status("parent"));
    let kids = eventually("all its children run", || {
        let kids = recorded(env, "kids");
        (kids.len() == 3 && kids.iter().all(|kid| is_alive(*kid))).then_some(kids)
    });
    env.lose_supervisors("parent");
    // Its supervisor is dead, so no `finish` runs.
    kill(orphan);
    eventually("its successor has children", || (recorded(env, "kids").len() == 6).then_some(()));
    assert!(!kids.iter().any(|kid| is_alive(*kid)), "{kids:?}");
    assert_eq!(recorded(env, "met"), [0; 0], "children of a former life, at the start of the next");
}
