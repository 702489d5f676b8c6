//! Liveness: gateways that are up and do not answer.

use std::fs;
use std::time::Duration;

use hermes_tests::doctor::{finds, finds_nothing};
use hermes_tests::{Dashboard, Svscan, TestEnv, Up, eventually, free_port, pid, signal, within};
use rustix::process::Signal;
use serde_json::Value;

/// Adds lines below `gateway:` to a profile's configuration.
fn configure(env: &TestEnv, name: &str, more: &str) {
    let config = env.profile(name).join("config.yaml");
    let text = fs::read_to_string(&config).expect("a config");
    env.write(&config, &format!("{text}{more}"));
}

const OFTEN: &str = "  liveness: {interval: 1, timeout: 1, failures: 2}\n";

fn is_unresponsive(status: &Value) -> bool {
    status["reason"]["kind"] == "unresponsive"
}

/// In every place at once, since one function decides.
#[test]
fn a_gateway_that_hangs_is_unresponsive_everywhere_until_it_answers() {
    let up = Up::start();
    let env = &up.env;
    // A busy machine may keep the second from an answer for longer than a second, too.
    let patient = "  liveness: {interval: 1, timeout: 60}\n";
    for (name, liveness) in [("coder", OFTEN), ("fine", patient)] {
        env.profile_serving(name);
        configure(env, name, liveness);
        env.hermes(["gateway", "start", name]).ok();
    }
    let dashboard = Dashboard::start(env);
    let mut events = dashboard.events("/api/v1/events");
    let before = pid(&up.status("coder"));
    signal(before, Signal::STOP);
    let status =
        eventually("it is unresponsive", || Some(up.status("coder")).filter(is_unresponsive));
    let expected = ("up".into(), false.into(), true.into());
    let seen = |status: &Value| {
        (status["state"].clone(), status["healthy"].clone(), status["attention"].clone())
    };
    assert_eq!(seen(&status), expected, "{status}");
    let text = status["reason"]["text"].as_str().expect("a text");
    assert!(text.contains("/health: no answer within 1.0 s, 2 times in a row"), "{text}");
    events.until(|_, event| event["profile"] == "coder" && is_unresponsive(event));

    let all = env.hermes(["gateway", "status", "--all"]).fails_with(1);
    assert!(all.stdout.contains("unresponsive"), "{all}");
    assert!(all.stderr.contains(text), "{all}");
    let health = env.hermes(["doctor", "--health"]).fails_with(1);
    assert!(
        health.stdout.contains("of 2 wanted gateways 1 not healthy: `coder` is unresponsive"),
        "{health}"
    );
    finds(env, "unresponsive", "error", &["coder", text]);
    let metrics = dashboard.ask("GET", "/metrics", None).text;
    for line in [
        "hermes_gateway_up{profile=\"coder\"} 0",
        "hermes_gateway_unresponsive{profile=\"coder\"} 1",
        "hermes_gateway_unresponsive{profile=\"fine\"} 0",
    ] {
        assert!(metrics.lines().any(|other| other == line), "{line}:\n{metrics}");
    }

    signal(before, Signal::CONT);
    eventually("it answers again", || {
        let status = up.status("coder");
        assert_eq!(pid(&status), before, "nobody ended it");
        (status["healthy"] == true).then_some(())
    });
    env.hermes(["doctor", "--health"]).ok();
    finds_nothing(env, "unresponsive");
    // Each change is one event, however often it was asked meanwhile.
    let said = env.events("coder").split_off(4);
    let expected = [("unresponsive", text), ("responsive", "")];
    assert_eq!(said, expected.map(|(event, why)| (event.to_owned(), why.to_owned())));
    drop(dashboard);
    assert_eq!(up.end(Signal::TERM).1, Some(0));
}

#[test]
fn with_on_hang_restart_a_hang_is_a_death() {
    let up = Up::start();
    up.env.profile_serving("coder");
    configure(&up.env, "coder", &format!("{OFTEN}  on_hang: restart\n"));
    up.env.hermes(["gateway", "start", "coder"]).ok();
    let before = pid(&up.status("coder"));
    signal(before, Signal::STOP);
    let status = eventually("another process is up", || {
        Some(up.status("coder")).filter(|status| status["healthy"] == true && pid(status) != before)
    });
    assert_eq!((&status["deaths"], &status["reason"]), (&1.into(), &Value::Null), "{status}");
    let events: Vec<_> = up.env.events("coder").into_iter().skip(5).take(2).collect();
    let expected = [("requested", "restart, by the tree: `on_hang: restart`"), ("died", "SIGKILL")];
    assert_eq!(events, expected.map(|(event, why)| (event.to_owned(), why.to_owned())));
}

/// What is in its file counts at the next start.
#[test]
fn a_gateway_is_asked_as_it_came_up() {
    let up = Up::start();
    let env = &up.env;
    // A busy machine may take longer than a second to answer.
    let patient = "  liveness: {interval: 1, timeout: 10, failures: 2}\n".to_owned();
    for (name, more) in [("coder", patient), ("clock", format!("{OFTEN}  on_hang: restart\n"))] {
        env.profile_serving(name);
        configure(env, name, &more);
        env.hermes(["gateway", "start", name]).ok();
    }
    let coder = pid(&up.status("coder"));
    env.hermes(["profile", "port", "coder", &free_port().to_string()]).ok();
    let clock = pid(&up.status("clock"));
    signal(clock, Signal::STOP);
    eventually("both were asked often enough", || {
        let status = up.status("clock");
        (status["healthy"] == true && pid(&status) != clock).then_some(())
    });
    let status = up.status("coder");
    assert_eq!((pid(&status), &status["healthy"]), (coder, &true.into()), "{status}");
    env.write(&env.profile("coder").join("config.yaml"), "gateway: [");
    signal(coder, Signal::STOP);
    eventually("it is unresponsive", || is_unresponsive(&up.status("coder")).then_some(()));
    env.hermes(["doctor", "--health"]).fails_with(1);
    signal(coder, Signal::CONT);
    eventually("it answers again", || (up.status("coder")["healthy"] == true).then_some(()));
}

#[test]
fn an_answer_of_another_process_is_none() {
    let up = Up::start();
    let (env, port) = (&up.env, free_port());
    let serve = format!("python3 -m http.server {port} --bind 127.0.0.1 >/dev/null 2>&1");
    let go = env.path().join("gone");
    let wait = format!("until [ -e {} ]; do sleep 0.05; done", go.display());
    env.profile_running("coder", &format!("{serve} & {wait}; kill $!; exec sleep 600"));
    let ready = "  ready_url: 'http://127.0.0.1:{port}/'\n";
    configure(env, "coder", &format!("  port: {port}\n{ready}{OFTEN}"));
    env.hermes(["gateway", "start", "coder"]).ok();
    env.write(&go, "");
    let mut stranger = env.command("/bin/sh");
    stranger.args(["-c", &format!("until {serve}; do sleep 0.05; done")]);
    let _stranger = hermes_tests::Helper::start(&mut stranger);
    let who = eventually("the stranger is seen", || {
        let status = up.status("coder");
        let text = status["reason"]["text"].as_str()?;
        text.contains("python3").then(|| text.to_owned())
    });
    assert!(who.contains("listens there, which is not the gateway's"), "{who}");
    env.end_processes();
}

/// A plain s6-svscan asks nobody.
#[test]
fn without_a_tree_that_asks_it_is_asked_on_the_spot() {
    let tree = Svscan::start();
    let env = &tree.env;
    for name in ["a", "b", "c"] {
        env.profile_serving(name);
        let timeout = if name == "b" { 1 } else { 60 };
        configure(env, name, &format!("  liveness: {{timeout: {timeout}}}\n"));
        env.hermes(["gateway", "start", name]).ok();
    }
    env.hermes(["doctor", "--health"]).ok();
    let before = ["a", "b"].map(|name| pid(&tree.status(name)));
    before.iter().for_each(|pid| signal(*pid, Signal::STOP));
    assert_eq!(tree.status("a")["healthy"], true, "nobody asked");
    // All at once: two that hang take as long as one.
    let health = within(Duration::from_secs(20), "an answer", || {
        Some(env.hermes(["doctor", "--health"]).fails_with(1))
    });
    assert!(
        health.stdout.contains("2 not healthy: `a` is unresponsive, `b` is unresponsive"),
        "{health}"
    );
    let probed = env.hermes(["gateway", "status", "--all", "--probe"]).fails_with(1);
    // Longer than 2 s nobody waits.
    for limit in ["no answer within 2.0 s", "no answer within 1.0 s"] {
        assert!(probed.stderr.contains(limit), "{probed}");
    }
    assert!(!probed.stderr.contains("`c`"), "{probed}");
    before.iter().for_each(|pid| signal(*pid, Signal::CONT));
    env.hermes(["doctor", "--health"]).ok();
}

#[test]
fn liveness_can_be_turned_off() {
    let tree = Svscan::start();
    let env = &tree.env;
    env.profile_serving("coder");
    configure(env, "coder", "  liveness: false\n");
    env.hermes(["gateway", "start", "coder"]).ok();
    let before = pid(&tree.status("coder"));
    signal(before, Signal::STOP);
    env.hermes(["doctor", "--health"]).ok();
    signal(before, Signal::CONT);
}
