//! Guarantees at the end of a gateway: one SIGTERM, all later lines in its log, its stop budget, and an
//! unchanged intent.

use hermes_tests::{Svscan, TestEnv, Up, eventually, kill, pid};
use rustix::process::Signal;
use serde_json::json;

/// The lines that it prints after SIGTERM.
const LINES: usize = 500;

/// Prints `term` for each SIGTERM, then many lines, then waits for a second SIGTERM.
fn talkative() -> String {
    format!(
        "trap 'echo term; kill $! 2>/dev/null' TERM; sleep 600 & echo begun; wait
    i=0; while [ $i -lt {LINES} ]; do echo line $i; i=$((i+1)); done
    sleep 1 & wait $!; wait $!; echo last"
    )
}

/// Gives a gateway a stop budget that suffices for all lines on a slow machine.
fn give_time(env: &TestEnv, profile: &str) {
    budget(env, profile, 60);
}

fn budget(env: &TestEnv, profile: &str, seconds: u32) {
    let config = env.profile(profile).join("config.yaml");
    let text = std::fs::read_to_string(&config).expect("a config");
    env.write(&config, &format!("{text}  stop_timeout: {seconds}\n"));
}

#[track_caller]
fn said_everything_once(env: &TestEnv, profile: &str) {
    let said = env.logged(profile);
    let lines = (0..LINES).map(|line| format!("line {line}"));
    let expected: Vec<_> = ["begun".to_owned(), "term".to_owned()]
        .into_iter()
        .chain(lines)
        .chain(["last".to_owned()])
        .collect();
    assert_eq!(said, expected);
}

fn talking(up: &Up, profile: &str) {
    eventually("it has begun", || {
        up.env.logged(profile).contains(&"begun".to_owned()).then_some(())
    });
}

fn intent(env: &TestEnv, profile: &str) -> String {
    let text = std::fs::read_to_string(env.profile(profile).join("gateway.intent"));
    let text = text.expect("an intent");
    text.trim().to_owned()
}

#[test]
fn a_tree_ends_with_one_sigterm_and_no_lost_line() {
    let env = TestEnv::new();
    let all = ["a", "b", "c"];
    for name in all {
        env.profile_for_later(name, &talkative(), "running");
        give_time(&env, name);
    }
    let up = Up::start_in(env);
    all.iter().for_each(|name| talking(&up, name));
    let (env, code) = up.end(Signal::TERM);
    assert_eq!(code, Some(0));
    for name in all {
        said_everything_once(&env, name);
        assert_eq!(intent(&env, name), "running", "the end of a tree is no operator's stop");
    }
}

#[test]
fn a_killed_up_loses_no_line() {
    let env = TestEnv::new();
    env.profile_for_later("a", &talkative(), "running");
    give_time(&env, "a");
    let up = Up::start_in(env);
    talking(&up, "a");
    let svscan = up.svscan();
    let (env, _) = up.end(Signal::KILL);
    eventually("s6-svscan has ended", || (!hermes_tests::is_alive(svscan)).then_some(()));
    said_everything_once(&env, "a");
    assert_eq!(intent(&env, "a"), "running");
}

#[test]
fn stop_and_unregister_lose_no_line() {
    let up = Up::start();
    for (name, verb) in [("a", "stop"), ("b", "unregister")] {
        up.env.profile_running(name, &talkative());
        give_time(&up.env, name);
        up.env.hermes(["gateway", "start", name]).ok();
        talking(&up, name);
        up.env.hermes(["gateway", verb, name]).ok();
        // A stop does not wait for the logger, which still reads the pipe.
        eventually("the last line is logged", || {
            up.env.logged(name).contains(&"last".to_owned()).then_some(())
        });
        said_everything_once(&up.env, name);
    }
    assert_eq!((intent(&up.env, "a"), intent(&up.env, "b")), ("stopped".into(), "running".into()));
}

#[test]
fn the_configured_stop_budget_decides_the_kill() {
    let tree = Svscan::start();
    let env = &tree.env;
    env.profile_running("deaf", "trap '' TERM; exec sleep 600");
    env.hermes(["gateway", "start", "deaf"]).ok();
    let kill_after = || std::fs::read_to_string(env.slot("deaf").join("timeout-kill")).unwrap();
    assert_eq!(kill_after(), "6000\n", "8 s less 2");
    // A change after the start applies without a new registration.
    budget(env, "deaf", 4);
    let gateway = pid(&tree.status("deaf"));
    env.hermes(["gateway", "stop", "deaf"]).ok();
    assert_eq!(kill_after(), "2000\n");
    assert!(!hermes_tests::is_alive(gateway));
    assert_eq!(tree.status("deaf")["last_exit"], json!({ "signal": 9 }));
}

#[test]
fn a_deaf_gateway_ends_with_its_tree() {
    let env = TestEnv::new();
    env.profile_for_later("deaf", "trap '' TERM; echo begun; exec sleep 600", "running");
    budget(&env, "deaf", 4);
    let up = Up::start_in(env);
    talking(&up, "deaf");
    let gateway = pid(&up.status("deaf"));
    let (_world, code) = up.end(Signal::TERM);
    assert_eq!(code, Some(0));
    assert!(!hermes_tests::is_alive(gateway));
}

/// Prints every tenth of a second after SIGTERM, and ends by itself after this many.
fn taking(tenths: u32) -> String {
    format!(
        "trap 'told=1' TERM; echo begun; until [ \"$told\" ]; do sleep 0.1; done
         i=0; while [ $i -lt {tenths} ]; do i=$((i+1)); echo $i; sleep 0.1; done; echo last"
    )
}

#[test]
fn each_gateway_has_its_own_stop_budget() {
    let env = TestEnv::new();
    // SIGKILL is due 2 s before the end of the budget; one gateway ends some 25 s before it, the other never ends.
    for (name, seconds, tenths) in [("patient", 30, 50), ("greedy", 4, 6000)] {
        env.profile_for_later(name, &taking(tenths), "running");
        budget(&env, name, seconds);
    }
    let up = Up::start_in(env);
    ["patient", "greedy"].iter().for_each(|name| talking(&up, name));
    // A stop of one gateway, then the end of the tree, which has the longest budget.
    up.env.hermes(["gateway", "stop", "patient", "greedy"]).ok();
    assert_eq!(up.status("patient")["last_exit"], json!({ "code": 0 }));
    assert_eq!(up.status("greedy")["last_exit"], json!({ "signal": 9 }));
    up.env.hermes(["gateway", "start", "patient", "greedy"]).ok();
    let lives = |said: &[String]| said.iter().filter(|line| *line == "begun").count();
    eventually("both have begun again", || {
        let again = |name: &&str| lives(&up.env.logged(name)) == 2;
        ["patient", "greedy"].iter().all(again).then_some(())
    });
    let (env, code) = up.end(Signal::TERM);
    assert_eq!(code, Some(0));
    let patient = env.logged("patient");
    let lasts = patient.iter().filter(|line| *line == "last").count();
    assert_eq!(lasts, 2, "one of its stops was cut off: {patient:?}");
    // The other gateway was killed earlier: its last line is older.
    let time = |name: &str| {
        let log = env.home().join("logs/gateways").join(name).join("current");
        let log = std::fs::read_to_string(log).expect("a log");
        log.lines().last().expect("a line").split(' ').take(2).collect::<String>()
    };
    assert!(time("greedy") < time("patient"), "{} {}", time("greedy"), time("patient"));
}

#[test]
fn a_signal_during_startup_starts_no_more() {
    let env = TestEnv::new();
    let all: Vec<_> = (0..16).map(|number| format!("p{number}")).collect();
    let once =
        "trap 'echo told; kill $! 2>/dev/null; exit 0' TERM; sleep 600 & echo begun; wait $!";
    all.iter().for_each(|name| env.profile_for_later(name, once, "running"));
    let mut command = env.command(hermes_tests::hermes_program());
    command.arg("up");
    let up = Up::launch(env, command);
    eventually("one has begun", || {
        let begun = |name: &String| up.env.logged(name).contains(&"begun".to_owned());
        all.iter().any(begun).then_some(())
    });
    let (env, code) = up.end(Signal::TERM);
    assert_eq!(code, Some(0));
    for name in &all {
        let said = env.logged(name);
        let said: Vec<_> = said.iter().map(String::as_str).collect();
        let whole = matches!(said.as_slice(), [] | ["begun", "told"] | ["told"]);
        assert!(whole, "{name} said {said:?}");
    }
}

/// A restart that is killed once the gateway was told to stop, and a start: the end is none of its own.
#[test]
fn the_end_that_an_interrupted_restart_asked_for_is_no_death() {
    let tree = Svscan::start();
    let env = &tree.env;
    let told = "trap 'echo told; until [ -e may-end ]; do sleep 0.1; done; exit 1' TERM
        while :; do sleep 0.1; done";
    env.profile_running("coder", told);
    give_time(env, "coder");
    env.hermes(["gateway", "start", "coder"]).ok();
    let first = pid(&tree.status("coder"));
    let restart = env.hermes(["gateway", "restart", "coder"]).spawn();
    eventually("it is told", || {
        env.logged("coder").iter().any(|line| line == "told").then_some(())
    });
    kill(restart.pid());
    restart.ends();
    let start = env.hermes(["gateway", "start", "coder"]).spawn();
    let seen = || tree.status("coder")["state"] == "stopping";
    assert!(seen(), "the start waits for the end");
    env.write(&env.home().join("may-end"), "");
    let started = start.ends();
    assert_eq!(started.code(), Some(0), "{started}");
    let status = tree.status("coder");
    assert_ne!(pid(&status), first);
    assert_eq!(status["deaths"], 0, "{status}");
}
