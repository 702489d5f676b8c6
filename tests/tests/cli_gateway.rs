//! `hermes gateway`: stdout, stderr, exit codes, and the gateway run by hand.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Stdio};

use hermes_s6::protocol::events::Process;
use hermes_tests::{
    Svscan, TestEnv, alone, eventually, free_port, hermes_program, is_one_clear_error, pid,
};
use rustix::process::Signal;
use serde_json::{Value, json};

/// Replaces pids, times and ports, for snapshots.
fn settings() -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z| [+-]\d\d:\d\d)?", "<time>");
    settings.add_filter(r"\(\d+s ago\)", "(<age> ago)");
    settings.add_filter(r"(?m)^(pid +)\d+", "$1<pid>");
    settings.add_filter(r"(?m)^(port +|.* port )\d+", "$1<port>");
    settings
}

/// A gateway in the foreground, run by hand.
struct ByHand {
    child: Child,
    log: std::path::PathBuf,
}

impl ByHand {
    fn start(env: &TestEnv, args: &[&str]) -> Self {
        let log = env.path().join("gateway.log");
        let mut command = env.command(hermes_program());
        command.args(args).env_remove("HERMES_SCANDIR").stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(fs::File::create(&log).expect("a log"));
        Self { child: command.spawn().expect("hermes runs"), log }
    }

    fn says(&self, what: &str) {
        eventually(what, || {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            log.contains(what).then_some(())
        });
    }

    fn signal(&self, signal: Signal) {
        let process = Process::open(self.child.id()).expect("a pidfd").expect("it runs");
        process.signal(signal).expect("permission");
    }

    fn end(mut self) -> Option<i32> {
        eventually("it ends", || self.child.try_wait().ok().flatten()).code()
    }
}

impl Drop for ByHand {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The response of `GET /health` on `port`.
fn health(port: u16) -> Value {
    let mut stream = eventually("it listens", || TcpStream::connect(("127.0.0.1", port)).ok());
    let request = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    stream.write_all(request).expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
    serde_json::from_str(body).expect("JSON")
}

fn intent(env: &TestEnv, name: &str) -> String {
    fs::read_to_string(env.profile(name).join("gateway.intent")).expect("an intent")
}

#[test]
fn messages_go_to_stderr_and_status_to_stdout() {
    let tree = Svscan::start();
    let env = &tree.env;
    env.profile_serving("a");
    for (command, told) in [
        ("start", "`a` is up\n"),
        ("start", "`a` is up\n"),
        ("restart", "`a` is up again\n"),
        ("stop", "`a` is down\n"),
        ("stop", "`a` is down\n"),
        ("unregister", "`a` is unregistered\n"),
        ("register", "`a` is registered\n"),
        ("start", "`a` is up\n"),
    ] {
        let outcome = env.hermes(["gateway", command, "a"]).ok();
        assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("", told), "{command}");
    }
    let outcome = env.hermes(["gateway", "status", "a"]).ok();
    assert_eq!(outcome.stderr, "");
    let (shown, logged) = outcome.stdout.split_once("\n\n").expect("its log follows");
    assert!(logged.starts_with("last lines of its log:\n"), "{outcome}");
    settings().bind(|| {
        insta::assert_snapshot!(shown, @r"
        profile    a
        state      up
        pid        <pid>
        since      <time> (<age> ago)
        intent     running
        ready      yes
        deaths     0 in the last hour
        last exit  -
        port       <port>
        runs       built-in
        ");
    });
    let outcome = env.hermes(["gateway", "list"]).ok();
    let header = "PROFILE  STATE  PID ";
    assert!(outcome.stdout.starts_with(header) && outcome.stdout.lines().count() == 2, "{outcome}");
}

#[test]
fn start_stop_and_restart_print_the_status_as_json() {
    let tree = Svscan::start();
    let env = &tree.env;
    let port = env.profile_serving("a");
    for (command, state, intent) in
        [("start", "up", "running"), ("restart", "up", "running"), ("stop", "down", "stopped")]
    {
        let status = env.hermes(["gateway", command, "a", "--json"]).json();
        let seen = (&status["state"], &status["intent"], &status["port"], &status["registered"]);
        assert_eq!(seen, (&json!(state), &json!(intent), &json!(port), &json!(true)));
    }
    let status = env.hermes(["gateway", "unregister", "a", "--json"]).json();
    let seen = (&status["state"], &status["registered"]);
    assert_eq!(seen, (&json!("unsupervised"), &json!(false)));
    let status = env.hermes(["gateway", "register", "a", "--json"]).json();
    assert_eq!((&status["state"], &status["registered"]), (&json!("down"), &json!(true)));
}

#[test]
fn the_exit_code_of_status_is_the_state() {
    let tree = Svscan::start();
    let env = &tree.env;
    env.profile_serving("a");
    env.profile_serving("b");
    env.hermes(["gateway", "start", "a"]).ok();
    env.hermes(["gateway", "status", "a"]).ok();
    let outcome = env.hermes(["gateway", "status", "b", "--json"]).fails_with(3);
    assert_eq!(outcome.json()["state"], "down");
    env.hermes(["gateway", "status", "a", "b"]).fails_with(3);
    let outcome = env.hermes(["gateway", "status", "--all", "--json"]).ok();
    assert_eq!(outcome.json().as_array().unwrap().len(), 3, "b is not wanted");
    env.write(&env.profile("b").join("gateway.intent"), "running\n");
    let outcome = env.hermes(["gateway", "status", "--all"]).fails_with(1);
    assert_eq!(outcome.stdout.lines().count(), 4, "{outcome}");
    let outcome = env.hermes(["gateway", "status", "nope"]).fails_with(4);
    insta::assert_snapshot!(outcome.stderr, @r"
    error: profile `nope` does not exist
    hint: `hermes profile list` lists all; `hermes profile create nope` creates it
    ");
    let outcome = env.hermes(["gateway", "status", "nope", "--json"]).fails_with(4);
    assert_eq!(outcome.json()["code"], 4);
    for command in ["start", "stop", "restart", "register", "logs"] {
        is_one_clear_error(&env.hermes(["gateway", command, "nope"]).fails_with(4));
    }
    env.hermes(["gateway", "unregister", "nope"]).ok();
    env.hermes(["gateway", "status", "a", "--all"]).fails_with(2);
}

#[test]
fn with_all_one_failure_hides_no_outcome() {
    let tree = Svscan::start();
    let env = &tree.env;
    env.hermes(["profile", "port", "default", &free_port().to_string()]).ok();
    for name in ["a", "bad", "z"] {
        env.profile_serving(name);
    }
    env.write(&env.profile("bad").join("config.yaml"), "gateway:\n  port: high\n");
    let outcome = env.hermes(["gateway", "start", "--all"]).fails_with(1);
    for told in
        ["`default` is up", "`a` is up", "`z` is up", "failed to start the gateway of `bad`"]
    {
        assert!(outcome.stderr.contains(told), "{told}: {outcome}");
    }
    let outcome = env.hermes(["gateway", "restart", "--all", "--json"]).fails_with(1);
    for name in ["default", "a", "bad", "z"] {
        let told = [format!("\"{name}\""), format!("`{name}`")];
        assert!(told.iter().any(|told| outcome.stdout.contains(told)), "{name}: {outcome}");
    }
    env.hermes(["gateway", "stop", "--all"]).ok();
    env.hermes(["gateway", "status", "--all"]).ok();
}

#[test]
fn without_a_service_manager_there_is_a_hint() {
    let env = TestEnv::new();
    alone(&env, ["profile", "create", "a"]).ok();
    for command in ["start", "stop", "restart", "status", "register", "unregister"] {
        let outcome = alone(&env, ["gateway", command, "a"]).fails_with(5);
        is_one_clear_error(&outcome);
        let hinted = ["`hermes up` runs", "`hermes gateway install"];
        assert!(hinted.iter().any(|hint| outcome.stderr.contains(hint)), "{outcome}");
        let outcome = env.hermes(["gateway", command, "a"]).fails_with(5);
        assert!(outcome.stderr.contains("no s6-svscan holds the scan directory"), "{outcome}");
        assert!(outcome.stderr.contains("hint: `hermes up` runs"), "{outcome}");
    }
    assert_eq!(intent(&env, "a"), "stopped\n");
}

#[test]
fn logs_print_what_was_said_and_nothing_else() {
    let tree = Svscan::start();
    let env = &tree.env;
    env.profile_running("a", "echo one; echo two; exec sleep 600");
    env.hermes(["gateway", "start", "a"]).ok();
    eventually("both lines are logged", || {
        let said = env.hermes(["gateway", "logs", "a"]).run().stdout;
        (said.lines().count() == 2).then_some(())
    });
    settings().bind(|| {
        let outcome = env.hermes(["gateway", "logs", "-p", "a"]).ok();
        insta::assert_snapshot!(outcome.stdout, @r"
        <time>  one
        <time>  two
        ");
    });
    let outcome = env.hermes(["gateway", "logs", "a", "--json", "-n", "1"]).json();
    assert_eq!(outcome["profile"], "a");
    assert_eq!(outcome["line"], "two");
    assert!(outcome["time"].as_str().unwrap().ends_with('Z'), "{outcome}");
    assert_eq!(env.hermes(["gateway", "logs", "a", "-n", "0"]).ok().stdout, "");
}

#[test]
fn a_gateway_that_is_never_ready_times_out() {
    let tree = Svscan::start();
    let env = &tree.env;
    env.profile_serving("a");
    env.write_program(&env.slot("a").join("run"), "#!/bin/sh\nexec sleep 600\n");
    let outcome = env.hermes(["--timeout", "5", "gateway", "start", "a"]).fails_with(6);
    is_one_clear_error(&outcome);
    let told = "error: failed to start the gateway of `a` within 5.0 s\n  running, not ready\n";
    assert!(outcome.stderr.starts_with(told), "{outcome}");
    let status = env.hermes(["gateway", "status", "a", "--json"]).json();
    assert_eq!((&status["state"], &status["ready"]), (&json!("starting"), &json!(false)));
}

/// No file can grow for the command, as on a full disk; s6 itself has room.
#[test]
fn an_intent_that_is_recorded_needs_no_space() {
    let tree = Svscan::start();
    let env = &tree.env;
    env.profile_serving("a");
    env.hermes(["gateway", "start", "a"]).ok();
    let full = |line: &str| {
        env.shell(&format!("trap '' XFSZ; ulimit -f 0; exec hermes gateway {line}")).run()
    };
    let before = pid(&tree.status("a"));
    assert_eq!(full("start a").code(), Some(0));
    assert_eq!(pid(&tree.status("a")), before, "it runs already");
    let outcome = full("restart a");
    assert_eq!(outcome.code(), Some(0), "{outcome}");
    assert_ne!(pid(&tree.status("a")), before, "it runs again");

    let outcome = full("stop a");
    assert_eq!(outcome.code(), Some(1), "{outcome}");
    is_one_clear_error(&outcome);
    for part in ["gateway of `a`", "File too large", "comes back at the next start of the tree"] {
        assert!(outcome.stderr.contains(part), "{outcome}");
    }
    assert_eq!(tree.status("a")["state"], "down");
    assert_eq!(intent(env, "a"), "running\n");

    env.hermes(["gateway", "stop", "a"]).ok();
    assert_eq!(full("stop a").code(), Some(0), "the intent is recorded");
    for line in ["start a", "restart a"] {
        let outcome = full(line);
        assert_eq!(outcome.code(), Some(1), "{outcome}");
        is_one_clear_error(&outcome);
        assert_eq!(
            (tree.status("a")["state"].as_str(), &*intent(env, "a")),
            (Some("down"), "stopped\n")
        );
    }
}

#[test]
fn a_foreground_gateway_answers_and_ends() {
    let env = TestEnv::new();
    let port = free_port();
    alone(&env, ["profile", "create", "a", "--port", &port.to_string()]).ok();
    let gateway = ByHand::start(&env, &["-p", "a", "gateway", "run"]);
    let answer = health(port);
    let told = (&answer["status"], &answer["profile"], &answer["pid"]);
    assert_eq!(told, (&json!("ok"), &json!("a"), &json!(gateway.child.id())));
    let mut open = TcpStream::connect(("127.0.0.1", port)).unwrap();
    open.write_all(b"GET /health HTTP/1.1\r\n").unwrap();
    gateway.says("listens on 127.0.0.1");
    gateway.signal(Signal::TERM);
    gateway.says("stopping");
    gateway.signal(Signal::TERM);
    drop(open);
    let log = gateway.log.clone();
    assert_eq!(gateway.end(), Some(0));
    let said = fs::read_to_string(log).unwrap();
    assert_eq!(said.matches("stopping").count(), 1, "{said}");
    assert!(said.ends_with("gateway `a` has ended\n"), "{said}");
}

#[test]
fn a_foreground_gateway_ignores_the_choice() {
    let env = TestEnv::new();
    let (a, root) = (free_port(), free_port());
    alone(&env, ["profile", "create", "a", "--port", &a.to_string()]).ok();
    alone(&env, ["profile", "port", "default", &root.to_string()]).ok();
    alone(&env, ["profile", "use", "a"]).ok();
    let _gateway = ByHand::start(&env, &["gateway", "start", "--foreground"]);
    assert_eq!(health(root)["profile"], "default");
    assert!(TcpStream::connect(("127.0.0.1", a)).is_err());
}

#[test]
fn a_port_in_use_is_exit_1_and_names_its_holder() {
    let env = TestEnv::new();
    let port = free_port();
    alone(&env, ["profile", "create", "a", "--port", &port.to_string()]).ok();
    let holder = ByHand::start(&env, &["-p", "a", "gateway", "run"]);
    health(port);
    alone(&env, ["profile", "create", "b"]).ok();
    alone(&env, ["profile", "port", "b", &port.to_string()]).ok();
    let outcome = alone(&env, ["gateway", "start", "--foreground", "b"]).fails_with(1);
    is_one_clear_error(&outcome);
    let told = format!("failed to listen on 127.0.0.1 port {port}: Address already in use");
    assert!(outcome.stderr.contains(&told), "{outcome}");
    let held = format!("process {} (hermes) listens there", holder.child.id());
    assert!(outcome.stderr.contains(&held), "{outcome}");
    assert!(outcome.stderr.contains("hint: `hermes profile port b N`"), "{outcome}");
    drop(holder);
    // If the listener's process is unknown, the error names only the port.
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    alone(&env, ["profile", "port", "b", &port]).ok();
    alone(&env, ["gateway", "run", "-p", "b"]).fails_with(1);
}

#[test]
fn a_wrong_configuration_is_exit_78() {
    let env = TestEnv::new();
    alone(&env, ["profile", "create", "a"]).ok();
    let config = env.profile("a").join("config.yaml");
    let place = |at: &str| format!("`{}` {at}", config.display());
    for (text, told) in [
        ("gateway:\n  port: high\n", place("line 2 column 9")),
        ("gateway:\n  port: 70000\n", place("line 2 column 9")),
        ("gateway: {\n", place("line 2 column 1")),
        ("gateway:\n  stop_timeout: 5\n", "hint: `hermes profile port a` assigns a".to_owned()),
        ("gateway:\n  command: [/nonexistent/x]\n", "failed to run `/nonexistent/x`".to_owned()),
        ("gateway:\n  command: [x, '{port}']\n", "hint: `hermes profile port a`".to_owned()),
        ("gateway:\n  command: []\n", "gateway.command".to_owned()),
    ] {
        env.write(&config, text);
        let outcome = alone(&env, ["gateway", "start", "--foreground", "a"]).fails_with(78);
        is_one_clear_error(&outcome);
        assert!(outcome.stderr.contains(&told), "{text:?}: {told}: {outcome}");
    }
    // The profile may come back.
    is_one_clear_error(&alone(&env, ["-p", "nope", "gateway", "run"]).fails_with(4));
}

#[test]
fn the_command_gets_its_placeholders_and_variables() {
    let env = TestEnv::new();
    alone(&env, ["profile", "create", "a"]).ok();
    let text = "gateway:\n  port: 9123\n  host: ::1\n  env: {WHERE: '{host} {port}'}\n  \
        command: [/bin/sh, -c, 'echo \"$0\" \"$1\"; env', '{profile}', '{home}/x']\n";
    env.write(&env.profile("a").join("config.yaml"), text);
    let outcome = alone(&env, ["gateway", "run", "-p", "a"]).ok();
    let home = env.profile("a").display().to_string();
    let lines: Vec<_> = outcome.stdout.lines().collect();
    assert_eq!(lines[0], format!("a {home}/x"), "{outcome}");
    for line in [
        "WHERE=::1 9123",
        "HERMES_PROFILE=a",
        "HERMES_S6_SUPERVISED_CHILD=1",
        &format!("HERMES_HOME={home}"),
    ] {
        assert!(lines.contains(&line), "{line}: {outcome}");
    }
}
