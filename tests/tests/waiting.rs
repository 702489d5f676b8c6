//! What a command shows while it waits, and how Ctrl-C ends the wait.

use std::fs;

use hermes_tests::{Hermes, Stream, Svscan, TestEnv, eventually, pid, within};
use rustix::process::Signal;
use serde_json::Value;

/// What erases the line that shows a wait.
const ERASE: &str = "\r\x1b[K";

/// A gateway that never becomes ready, and needs half a second to end.
fn slow(env: &TestEnv, name: &str) {
    let port = env.profile_serving(name);
    let config = format!(
        "gateway:\n  port: {port}\n  ready_url: http://127.0.0.1:{port}/health\n  command: [sh, -c, 'exec sleep 600']\n"
    );
    env.write(&env.profile(name).join("config.yaml"), &config);
}

/// A gateway that ends no earlier than its stop budget, which is `budget` seconds.
fn deaf(env: &TestEnv, name: &str, budget: u32) {
    env.profile_running(name, "trap '' TERM; while :; do sleep 0.1; done");
    let config = env.profile(name).join("config.yaml");
    let text = fs::read_to_string(&config).expect("a configuration");
    env.write(&config, &format!("{text}  stop_timeout: {budget}\n"));
}

/// `hermes`, which takes signals even if the suite runs under nohup(1).
fn hermes(env: &TestEnv, line: &str) -> Hermes {
    env.shell(&format!("exec env --default-signal=INT,TERM hermes {line}"))
}

/// Blocks until the command shows a line with `text`, and returns the line.
fn shown(stream: &Stream, text: &str) -> String {
    eventually(&format!("`{text}` is shown"), || {
        let messages = stream.stderr();
        let mut lines = messages.split(ERASE).map(str::to_owned);
        lines.find(|line| line.contains(text) && line.ends_with(" s left)"))
    })
}

#[test]
fn a_wait_is_shown_on_a_terminal_and_erased() {
    let tree = Svscan::start();
    let env = &tree.env;
    slow(env, "coder");
    let start = hermes(env, "--timeout 3 start coder").messages_on_terminal_of(200);
    let line = shown(&start, "/health");
    assert!(line.starts_with("waiting for `coder` to be ready: running, not ready: "), "{line}");
    let (stdout, stderr, code) = start.ended();
    assert_eq!((stdout.as_str(), code), ("", Some(6)), "{stderr}");
    let (_, last) = stderr.rsplit_once(ERASE).expect("it is erased");
    assert!(last.starts_with("\x1b[1m\x1b[31merror:") || last.starts_with("error:"), "{stderr:?}");
    let narrow = hermes(env, "--timeout 2 restart coder").messages_on_terminal_of(30);
    let (_, stderr, _) = narrow.ended();
    let drawn = stderr.split(ERASE).filter(|line| line.ends_with(" s left)"));
    let widths: Vec<_> = drawn.map(|line| line.chars().count()).collect();
    assert!(!widths.is_empty() && widths.iter().all(|width| *width == 27), "{stderr:?}");
}

#[test]
fn a_wait_is_not_shown_elsewhere() {
    let tree = Svscan::start();
    let env = &tree.env;
    slow(env, "coder");
    let piped = hermes(env, "--timeout 2 start coder").run();
    let dumb = hermes(env, "--timeout 2 restart coder").env("TERM", "dumb");
    let json = hermes(env, "--timeout 2 restart coder --json");
    for stderr in [
        piped.stderr,
        dumb.messages_on_terminal_of(80).ended().1,
        json.messages_on_terminal_of(80).ended().1,
    ] {
        assert!(
            !stderr.contains("waiting for") && !stderr.contains('\r')
                || !stderr.contains("waiting for"),
            "{stderr:?}"
        );
        assert!(stderr.contains("failed to"), "{stderr:?}");
    }
}

#[test]
fn an_interrupted_start_goes_on() {
    let tree = Svscan::start();
    let env = &tree.env;
    slow(env, "coder");
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let start = hermes(env, "start coder").messages_on_terminal_of(200);
        shown(&start, "waiting for `coder` to be ready");
        start.signal(signal);
        let (_, stderr, ended) = start.ended();
        let (_, last) = stderr.rsplit_once(ERASE).expect("it is erased");
        let sentence =
            "interrupted: `coder` goes on starting; `hermes gateway status coder` shows it";
        assert_eq!((last.trim_end(), ended), (sentence, Some(code)));
        let status = tree.status("coder");
        assert_eq!((&status["intent"], &status["state"]), (&"running".into(), &"starting".into()));
    }
    let locks = fs::read_dir(env.home().join("profiles/.locks")).expect("a directory");
    assert_eq!(locks.count(), 0, "they are released");
    env.hermes(["stop", "coder"]).ok();
}

#[test]
fn an_interrupted_wait_for_a_lock_changes_nothing() {
    let tree = Svscan::start();
    let env = &tree.env;
    slow(env, "coder");
    let first = hermes(env, "start coder").stream();
    eventually("it starts", || (tree.status("coder")["state"] == "starting").then_some(()));
    let stop = hermes(env, "stop coder").messages_on_terminal_of(300);
    let line = shown(&stop, "waiting for the lock");
    assert!(
        line.contains("profiles/.locks/coder`: process ") && line.contains("(hermes) has it"),
        "{line}"
    );
    stop.signal(Signal::INT);
    let (_, stderr, code) = stop.ended();
    assert!(stderr.ends_with("interrupted: nothing was changed\r\n"), "{stderr:?}");
    assert_eq!((code, &tree.status("coder")["intent"]), (Some(130), &"running".into()));
    first.signal(Signal::INT);
    assert_eq!(first.ended().2, Some(130));
}

#[test]
fn an_interrupted_stop_of_many_names_how_many_go_on_ending() {
    let tree = Svscan::start();
    let env = &tree.env;
    for name in ["one", "two"] {
        env.profile_running(name, "exec sleep 600");
    }
    deaf(env, "deaf", 6);
    env.hermes(["start", "one", "two", "deaf"]).ok();
    let stop = hermes(env, "stop one two deaf").messages_on_terminal_of(200);
    let line = shown(&stop, "stopping 3 gateways: 1 still run");
    assert!(line.ends_with(" s left)"), "{line}");
    stop.signal(Signal::INT);
    let (_, stderr, code) = stop.ended();
    let sentence = "interrupted: 2 of 3 gateways are down, 1 goes on ending; `hermes gateway status` shows them";
    assert!(stderr.contains(sentence), "{stderr:?}");
    assert_eq!(code, Some(130));
    within(hermes_tests::SOON, "it ends", || {
        (tree.status("deaf")["state"] == "down").then_some(())
    });
    assert_eq!(tree.status("deaf")["intent"], "stopped");
}

#[test]
fn an_ignored_signal_stays_ignored() {
    let tree = Svscan::start();
    let env = &tree.env;
    slow(env, "coder");
    let nohup = env.shell("exec env --ignore-signal=INT hermes --timeout 4 start coder");
    let ignores = nohup.messages_on_terminal_of(200);
    shown(&ignores, "waiting for `coder`");
    ignores.signal(Signal::INT);
    assert_eq!(ignores.ended().2, Some(6), "it waits to its end");
    env.hermes(["stop", "coder"]).ok();
}

#[test]
fn an_interrupted_rename_is_undone() {
    let tree = Svscan::start();
    let env = &tree.env;
    deaf(env, "deaf", 5);
    env.hermes(["start", "deaf"]).ok();
    let before = pid(&tree.status("deaf"));
    let rename = hermes(env, "profile rename deaf other").messages_on_terminal_of(200);
    shown(&rename, "waiting for `deaf` to end");
    rename.signal(Signal::INT);
    let (_, stderr, code) = rename.ended();
    assert_eq!(code, Some(130), "{stderr}");
    assert!(stderr.contains("interrupted: stopped waiting for `deaf` to end; "), "{stderr:?}");
    assert!(!env.profile("other").exists());
    let is_up =
        |status: Value| (status["state"] == "up" && pid(&status) != before).then_some(status);
    let status = eventually("it is up again", || is_up(tree.status("deaf")));
    assert_eq!((&status["intent"], &status["registered"]), (&"running".into(), &true.into()));
    assert_eq!(status["deaths"], 0, "its end was asked for");
}
