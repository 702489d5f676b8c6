//! The main process of a Pod: a gateway without a tree, which is started again after a death, parked and ended in order.

use std::fs;
use std::path::Path;

use hermes_tests::{
    Hermes, Running, TestEnv, eventually, free_port, hermes_program, is_alive, kill, request,
    signal,
};
use rustix::process::Signal;
use serde_json::{Value, json};

/// A process like the main one of a Pod.
struct Pod<'a> {
    env: &'a TestEnv,
    name: &'a str,
    uid: &'a str,
    port: u16,
    process: Running,
}

impl<'a> Pod<'a> {
    fn start(env: &'a TestEnv, name: &'a str, uid: &'a str) -> Self {
        Self::run(env, hermes_program(), name, uid)
    }

    fn run(env: &'a TestEnv, program: &Path, name: &'a str, uid: &'a str) -> Self {
        let port = free_port();
        let text = port.to_string();
        let to_pod = ["-p", name, "gateway", "pod", "--address", "127.0.0.1", "--uid", uid];
        let pod = Hermes::new(env.command(program)).args(to_pod).args(["--port", &text]);
        let process = pod.spawn();
        let pod = Self { env, name, uid, port, process };
        eventually("it answers the kubelet", || (pod.asked("live") == Some(200)).then_some(()));
        pod
    }

    /// What the kubelet would be answered; `None` if nobody listens.
    fn asked(&self, path: &str) -> Option<u16> {
        std::net::TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        let url = format!("http://127.0.0.1:{}/{path}", self.port);
        Some(request("GET", &url, &[], None).status)
    }

    /// What it has recorded; null before it has.
    fn record(&self) -> Value {
        let text = fs::read_to_string(self.env.profile(self.name).join("gateway.pod"));
        let record: Value = serde_json::from_str(&text.unwrap_or_default()).unwrap_or_default();
        if record["pod"] == self.uid { record } else { Value::Null }
    }

    /// The gateway's process, once it is ready, other than `former`.
    #[track_caller]
    fn ready(&self, former: Option<u64>) -> u64 {
        eventually("it is ready", || {
            let record = self.record();
            let pid = record["pid"].as_u64().filter(|pid| Some(*pid) != former)?;
            (self.asked("ready") == Some(200) && record["ready"] != json!(false)).then_some(pid)
        })
    }

    /// Asks it to end; its messages.
    #[track_caller]
    fn end(self) -> String {
        signal(self.process.pid(), Signal::TERM);
        let outcome = self.process.ends();
        assert_eq!(outcome.code(), Some(0), "{outcome}");
        outcome.stderr
    }
}

fn hasty() -> TestEnv {
    let mut env = TestEnv::new();
    env.faster = 50;
    env
}

#[test]
fn a_dead_gateway_starts_again_and_ends_with_its_pod() {
    let env = hasty();
    let port = free_port();
    env.profile_for_later("coder", "true", "running");
    env.write(&env.profile("coder").join("config.yaml"), &format!("gateway: {{port: {port}}}\n"));
    let pod = Pod::start(&env, "coder", "one");
    let first = pod.ready(None);
    let health = || request("GET", &format!("http://127.0.0.1:{port}/health"), &[], None).json();
    assert_eq!(health()["profile"], "coder");
    kill(first);
    let second = pod.ready(Some(first));
    assert_eq!(health()["pid"], second);
    let record = pod.record();
    assert_eq!(record["deaths"][0]["exit"], json!({ "signal": 9 }), "{record}");
    assert_eq!((&record["pod"], &record["ready"]), (&json!("one"), &json!(true)), "{record}");
    let messages = pod.end();
    assert!(messages.contains("gateway `coder` has ended"), "{messages}");
    assert!(!is_alive(second));
    let events: Vec<_> = env.events("coder").into_iter().map(|(event, _)| event).collect();
    assert!(
        events.contains(&"died".to_owned()) && events.contains(&"ready".to_owned()),
        "{events:?}"
    );
}

#[test]
fn a_crash_loop_parks_and_leaves_a_pod_that_is_not_ready() {
    let env = hasty();
    let file = env.home().join("lives");
    env.profile_for_later("looper", &format!("echo life >>{}; exit 1", file.display()), "running");
    let lives = || fs::read_to_string(&file).unwrap_or_default().lines().count();
    let pod = Pod::start(&env, "looper", "one");
    let parked = |pod: &Pod<'_>| {
        eventually("it is parked", || {
            let parked = pod.record()["parked"].clone();
            (parked != Value::Null).then_some(parked)
        })
    };
    let reason = parked(&pod)["reason"].as_str().expect("a reason").to_owned();
    assert!(reason.starts_with("it died 10 times within 10 minutes"), "{reason}");
    assert_eq!((pod.asked("ready"), pod.asked("live")), (Some(503), Some(200)));
    assert_eq!((pod.record()["pid"].clone(), lives()), (Value::Null, 10));
    let messages = pod.end();
    assert!(messages.contains("parked: it died 10 times"), "{messages}");

    // The same Pod, whose container was started again, does not begin anew; another one does.
    let again = Pod::start(&env, "looper", "one");
    assert_eq!((again.asked("ready"), lives()), (Some(503), 10));
    again.end();
    let other = Pod::start(&env, "looper", "two");
    parked(&other);
    assert_eq!(lives(), 20);
    other.end();
}

#[test]
fn a_wrong_configuration_parks_at_once() {
    let env = hasty();
    env.profile_for_later("wrong", "true", "running");
    env.write(&env.profile("wrong").join("config.yaml"), "gateway: {port: seven}\n");
    let pod = Pod::start(&env, "wrong", "one");
    let reason =
        eventually("it is parked", || pod.record()["parked"]["reason"].as_str().map(str::to_owned));
    assert!(reason.contains("gateway.port"), "{reason}");
    pod.end();
}

#[test]
fn nothing_is_left_of_a_dead_gateway_nor_of_one_that_ends() {
    let env = hasty();
    let file = env.home().join("rest");
    let leaves = format!("sleep 600 & echo $! >{}; wait", file.display());
    env.profile_for_later("parent", &leaves, "running");
    let rest = || -> Option<u64> { fs::read_to_string(&file).ok()?.trim().parse().ok() };
    let pod = Pod::start(&env, "parent", "one");
    let first = pod.ready(None);
    let left = eventually("it started another process", rest);
    kill(first);
    pod.ready(Some(first));
    assert!(!is_alive(left), "it ended before the next one began");
    let left = eventually("so did the next one", || rest().filter(|rest| *rest != left));
    pod.end();
    assert!(!is_alive(left));
}

#[test]
fn a_deaf_gateway_is_killed_in_its_stop_budget() {
    let env = hasty();
    env.profile_for_later("deaf", "trap '' TERM; while :; do sleep 600; done", "running");
    let config = env.profile("deaf").join("config.yaml");
    let text = fs::read_to_string(&config).expect("a configuration");
    env.write(&config, &format!("{text}  stop_timeout: 4\n"));
    let pod = Pod::start(&env, "deaf", "one");
    let pid = pod.ready(None);
    let messages = pod.end();
    assert!(messages.contains("the gateway is killed"), "{messages}");
    assert!(!is_alive(pid));
}

#[test]
fn a_pod_whose_gateway_waits_for_its_restart_ends() {
    let env = TestEnv::new();
    env.profile_for_later("looper", "exit 1", "running");
    let pod = Pod::start(&env, "looper", "one");
    eventually("it waits", || (pod.record()["backoff"]["count"] == 3).then_some(()));
    assert_eq!(pod.asked("ready"), Some(503));
    pod.end();
}

#[test]
fn a_profile_that_is_absent_is_an_error() {
    let env = TestEnv::new();
    let pod = ["-p", "nobody", "gateway", "pod", "--address", "127.0.0.1", "--uid", "one"];
    let outcome = env.hermes(pod.into_iter().chain(["--port", "0"])).run();
    assert!(outcome.stderr.contains("`nobody`"), "{outcome}");
    assert_ne!(outcome.code(), Some(0));
}

#[test]
fn an_upgraded_program_starts_the_next_gateway() {
    let env = hasty();
    env.profile_for_later("coder", "exec sleep 600", "running");
    let program = env.path().join("hermes");
    let install = || {
        let staged = env.path().join("new");
        fs::copy(hermes_program(), &staged).expect("a copy");
        fs::rename(&staged, &program).expect("a rename");
    };
    install();
    let pod = Pod::run(&env, &program, "coder", "one");
    let first = pod.ready(None);
    install();
    kill(first);
    pod.ready(Some(first));
    pod.end();
}
