//! Readiness of the user's program, by `gateway.ready_url`.

use std::net::TcpStream;
use std::process::Stdio;

use hermes_tests::doctor::{eventually_finds, finds_nothing};
use hermes_tests::{
    Helper, Svscan, TestEnv, eventually, free_port, hermes_program, kill, pid, processes_naming,
};

/// A gateway that answers only once a file exists: the built-in gateway of another profile.
fn slow(tree: &Svscan) {
    slow_at(tree, "127.0.0.1", "http://127.0.0.1:{port}/health");
}

/// The same, which listens on `host` and is ready once `ready_url` answers.
fn slow_at(tree: &Svscan, host: &str, ready_url: &str) {
    let env = &tree.env;
    let port = env.profile_serving("inner");
    let listens = format!("gateway: {{host: '{host}', port: {port}}}\n");
    env.write(&env.profile("inner").join("config.yaml"), &listens);
    let hermes = hermes_program().display();
    env.profile_running(
        "outer",
        &format!(
            "until [ -e {home}/go ]; do sleep 0.05; done; exec {hermes} -p inner gateway run",
            home = env.home().display()
        ),
    );
    let config = env.profile("outer").join("config.yaml");
    let text = std::fs::read_to_string(&config).expect("a config");
    env.write(
        &config,
        &format!("{text}  host: '{host}'\n  port: {port}\n  ready_url: '{ready_url}'\n"),
    );
}

fn askers(tree: &Svscan) -> Vec<u64> {
    let home = tree.env.home().display().to_string();
    let asks = |pid: &u64| {
        let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.contains("await-ready")
    };
    processes_naming(&home).into_iter().filter(asks).collect()
}

/// Waits for the prober, which may start after the timeout of the command.
#[track_caller]
fn one_asks(tree: &Svscan) {
    eventually("one asks", || (askers(tree).len() == 1).then_some(()));
}

#[test]
fn readiness_follows_the_address_after_a_death() {
    let tree = Svscan::start();
    slow(&tree);
    let env = &tree.env;
    env.hermes(["gateway", "start", "outer", "--timeout", "2"]).fails_with(6);
    one_asks(&tree);
    let status = tree.status("outer");
    assert_eq!((&status["state"], &status["ready"]), (&"starting".into(), &false.into()));
    env.write(&env.home().join("go"), "");
    env.hermes(["gateway", "start", "outer"]).ok();
    let first = pid(&tree.status("outer"));
    assert_eq!(tree.status("outer")["ready"], true);
    eventually("nobody asks any more", || askers(&tree).is_empty().then_some(()));
    kill(first);
    eventually("it is ready again", || {
        let status = tree.status("outer");
        (status["ready"] == true && pid(&status) != first).then_some(())
    });
}

#[test]
fn the_prober_ends_with_the_gateway() {
    let tree = Svscan::start();
    slow(&tree);
    tree.env.hermes(["gateway", "start", "outer", "--timeout", "1"]).fails_with(6);
    one_asks(&tree);
    tree.env.hermes(["gateway", "stop", "outer"]).ok();
    eventually("nobody asks any more", || askers(&tree).is_empty().then_some(()));
}

#[test]
fn an_unusable_ready_url_parks() {
    let tree = Svscan::start();
    tree.env.profile_running("outer", "exec sleep 600");
    let config = tree.env.profile("outer").join("config.yaml");
    let text = std::fs::read_to_string(&config).unwrap();
    tree.env.write(&config, &format!("{text}  ready_url: https://127.0.0.1/health\n"));
    let outcome = tree.env.hermes(["gateway", "start", "outer"]).fails_with(1);
    assert!(outcome.stderr.contains("it is parked: invalid `gateway.ready_url`"), "{outcome}");
}

#[test]
fn an_unusable_ready_url_is_refused_before_a_restart() {
    let tree = Svscan::start();
    tree.env.profile_running("outer", "exec sleep 600");
    tree.env.hermes(["gateway", "start", "outer"]).ok();
    let before = pid(&tree.status("outer"));
    let config = tree.env.profile("outer").join("config.yaml");
    let text = std::fs::read_to_string(&config).unwrap();
    for (url, problem) in [
        ("https://127.0.0.1/health", "must start with http://"),
        ("http://::1:8642/health", "must have an IPv6 address in brackets"),
        ("http://127.0.0.1:99999/health", "must have a port between 1 and 65535"),
        ("http://127.0.0.1/a path", "must have a path of visible ASCII characters"),
    ] {
        tree.env.write(&config, &format!("{text}  ready_url: '{url}'\n"));
        let outcome = tree.env.hermes(["gateway", "restart", "outer"]).fails_with(1);
        assert!(outcome.stderr.contains(problem), "{outcome}");
        assert_eq!(pid(&tree.status("outer")), before, "{url}");
    }
}

#[test]
fn a_gateway_at_an_ipv6_address_becomes_ready() {
    for url in ["http://{host}:{port}/health", "http://[{host}]:{port}/health"] {
        let tree = Svscan::start();
        slow_at(&tree, "::1", url);
        tree.env.write(&tree.env.home().join("go"), "");
        tree.env.hermes(["gateway", "start", "outer"]).ok();
        assert_eq!(tree.status("outer")["ready"], true, "{url}");
    }
}

/// A server of another program's, which answers every request with success.
fn stranger(env: &TestEnv, host: &str, port: u16) -> Helper {
    let line = format!("exec python3 -m http.server {port} --bind {host}");
    let mut command = env.command("/bin/sh");
    command.args(["-c", &line]).stdout(Stdio::null()).stderr(Stdio::null());
    let helper = Helper::start(&mut command);
    await_listener(host, port);
    helper
}

fn await_listener(host: &str, port: u16) {
    eventually("somebody listens", || TcpStream::connect((host, port)).ok());
}

/// Creates a profile whose gateway is a shell command, asked at a `ready_url`.
fn asked(env: &TestEnv, name: &str, port: u16, more: &str, command: &str) {
    env.profile_running(name, command);
    let config = env.profile(name).join("config.yaml");
    let text = std::fs::read_to_string(&config).expect("a config");
    env.write(&config, &format!("{text}  port: {port}\n{more}"));
}

const LOOPBACK: &str = "  ready_url: 'http://127.0.0.1:{port}/'\n";

#[test]
fn a_port_that_somebody_else_has_is_refused_and_named() {
    let tree = Svscan::start();
    let port = free_port();
    asked(&tree.env, "coder", port, LOOPBACK, "exec sleep 600");
    let stranger = stranger(&tree.env, "127.0.0.1", port);
    let outcome = tree.env.hermes(["gateway", "start", "coder"]).fails_with(1);
    let who = format!("port {port} at 127.0.0.1 is in use: process {} (python3)", stranger.pid());
    assert!(outcome.stderr.contains(&who), "{outcome}");
    assert_ne!(tree.status("coder")["ready"], true);
    drop(stranger);
}

/// The gateway itself listens nowhere: every answer is another's.
#[test]
fn the_answer_of_a_stranger_does_not_count() {
    let tree = Svscan::start();
    let port = free_port();
    asked(&tree.env, "coder", port, LOOPBACK, "exec sleep 600");
    tree.env.hermes(["gateway", "start", "coder", "--timeout", "1"]).fails_with(6);
    // Before the gateway starts, a port that is in use is an error.
    eventually("it is asked", || {
        let text = tree.status("coder")["reason"]["text"].as_str()?.to_owned();
        text.contains("connection refused").then_some(())
    });
    let stranger = stranger(&tree.env, "127.0.0.1", port);
    let reason = eventually("the stranger was seen", || {
        let status = tree.status("coder");
        assert_eq!((&status["state"], &status["ready"]), (&"starting".into(), &false.into()));
        let text = status["reason"]["text"].as_str().unwrap_or_default().to_owned();
        text.contains("python3").then_some(text)
    });
    assert!(reason.starts_with(&format!("GET http://127.0.0.1:{port}/: ")), "{reason}");
    assert!(reason.contains(&stranger.pid().to_string()), "{reason}");
    let outcome = tree.env.hermes(["gateway", "start", "coder", "--timeout", "1"]).fails_with(6);
    assert!(outcome.stderr.contains(&reason), "{outcome}");
    let shown = tree.env.hermes(["gateway", "status", "coder"]).ok();
    assert!(shown.stdout.contains(&format!("reason     {reason}")), "{shown}");
}

#[test]
fn a_gateway_that_is_not_ready_for_long_is_a_finding() {
    let tree = Svscan::start();
    let port = free_port();
    asked(&tree.env, "coder", port, LOOPBACK, "exec sleep 600");
    tree.env.hermes(["gateway", "start", "coder", "--timeout", "1"]).fails_with(6);
    finds_nothing(&tree.env, "starting");
    let asked = format!("GET http://127.0.0.1:{port}/: connection refused");
    let finding = eventually_finds(&tree.env, "starting", "error", &[&asked]);
    let after = finding.problem.split_once("`coder` is not ready after ").expect("how long").1;
    let seconds: u64 = after.split_once(" s: ").expect("a unit").0.parse().expect("a number");
    assert!(seconds >= 30, "{finding:?}");
}

/// As liveness would: a gateway that is always slow could never be ready otherwise.
#[test]
fn an_answer_may_take_as_long_as_liveness_lets_it() {
    const SLOW: &str = "import time, http.server as s\nclass Slow(s.SimpleHTTPRequestHandler):\n \
        def do_GET(self): time.sleep(3); super().do_GET()\n\
        s.ThreadingHTTPServer(('127.0.0.1', PORT), Slow).serve_forever()";
    let tree = Svscan::start();
    let port = free_port();
    let script = tree.env.home().join("slow.py");
    tree.env.write(&script, &SLOW.replace("PORT", &port.to_string()));
    let more = format!("{LOOPBACK}  liveness: {{timeout: 60}}\n");
    let serve = format!("exec python3 {} 2>/dev/null", script.display());
    asked(&tree.env, "coder", port, &more, &serve);
    tree.env.hermes(["gateway", "start", "coder", "--timeout", "120"]).ok();
    assert_eq!(tree.status("coder")["ready"], true);
}

/// In whichever process of the gateway the server is.
#[test]
fn the_answer_of_a_process_of_the_gateways_counts() {
    let tree = Svscan::start();
    let serve = "python3 -m http.server $1 --bind 127.0.0.1 2>/dev/null";
    for (name, command) in [
        ("itself", format!("exec {serve}")),
        ("child", format!("{serve} & wait")),
        ("grandchild", format!("sh -c '{serve} & wait' x $1; wait")),
        ("left", format!("( ( {serve} & ) & ); exec sleep 600")),
    ] {
        let port = free_port();
        asked(&tree.env, name, port, LOOPBACK, &command.replace("$1", &port.to_string()));
        tree.env.hermes(["gateway", "start", name]).ok();
        assert_eq!(tree.status(name)["ready"], true, "{name}");
        tree.env.hermes(["gateway", "stop", name]).ok();
    }
}

/// `localhost` is `::1` first on most machines.
#[test]
fn every_address_of_a_name_is_asked() {
    let tree = Svscan::start();
    for (name, bind, more) in [
        ("four", "127.0.0.1", "  ready_url: 'http://localhost:{port}/'\n"),
        ("six", "::1", "  ready_url: 'http://localhost:{port}/'\n"),
        ("host", "::1", "  host: '::1'\n  ready_url: 'http://{host}:{port}/'\n"),
        ("brackets", "::1", "  ready_url: 'http://[::1]:{port}/'\n"),
    ] {
        let port = free_port();
        let serve = format!("exec python3 -m http.server {port} --bind {bind} 2>/dev/null");
        asked(&tree.env, name, port, more, &serve);
        tree.env.hermes(["gateway", "start", name]).ok();
        assert_eq!(tree.status(name)["ready"], true, "{name}");
    }
}
