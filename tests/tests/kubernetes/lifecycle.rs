//! What gateways in a cluster do beyond the conformance suite.

use std::fs;
use std::net::TcpStream;

use hermes_tests::kubernetes::Fault;
use hermes_tests::suite::Machine;
use hermes_tests::suite::cluster_cases::uid;
use hermes_tests::{eventually, is_root, pid, request};
use serde_json::{Value, json};

use crate::console::Console;

/// The verbs of the requests so far that changed something.
fn changes(console: &Console) -> Vec<String> {
    let requests = console.cluster.requests().into_iter();
    let changes = requests.filter(|one| !["get", "list", "watch"].contains(&one.verb.as_str()));
    changes.map(|one| format!("{} {}", one.verb, one.name)).collect()
}

/// Thousands of idle StatefulSets would fill the controllers' queues.
#[test]
fn a_profile_that_was_never_started_costs_the_cluster_nothing() {
    let console = Console::new();
    console.profile("coder");
    console.profile("my_coder");
    assert_eq!(changes(&console), [""; 0]);
    let listed = console.hermes(&["gateway", "list", "--json"]).json();
    let names: Vec<_> =
        listed.as_array().expect("a list").iter().map(|one| &one["profile"]).collect();
    assert_eq!(names, ["coder", "my_coder"]);
    console.hermes(&["boot"]).ok();
    console.hermes(&["gateway", "start", "default"]).fails_with(1);
    assert_eq!(changes(&console), [""; 0]);
    console.hermes(&["gateway", "start", "my_coder"]).ok();
    let set = console.cluster.stateful_set(&Console::set("my_coder")).expect("a StatefulSet");
    assert_eq!(set["metadata"]["annotations"]["hermes/profile"], "my_coder");
    assert_eq!(set["spec"]["replicas"], 1);
    assert!(!console.env.home().join("profiles/coder").join("gateway.pod").exists());
}

/// The process of a Pod has another one's number here.
#[test]
fn the_usage_of_another_process_is_not_shown() {
    let console = Console::new();
    console.profile("coder");
    console.hermes(&["gateway", "start", "coder"]).ok();
    let wide = console.hermes(&["gateway", "status", "coder", "--wide", "--json"]).json();
    assert_eq!(wide["usage"], Value::Null, "{wide}");
    console.hermes(&["gateway", "stop", "coder"]).ok();
    let set = console.cluster.stateful_set(&Console::set("coder")).expect("a StatefulSet");
    assert_eq!(set["spec"]["replicas"], 0);
}

/// The headless Service resolves the gateway's name to this address.
#[test]
fn a_gateway_listens_on_its_pods_address_unless_its_profile_says_otherwise() {
    let console = Console::new();
    console.profile("coder");
    console.hermes(&["gateway", "start", "coder"]).ok();
    let port = console.hermes(&["profile", "port", "coder"]).ok().stdout;
    let answers = |host: &str| TcpStream::connect(format!("{host}:{}", port.trim())).is_ok();
    let pod = |console: &Console| {
        let pod = console.cluster.pod(&Console::pod("coder")).expect("a Pod");
        pod["status"]["podIP"].as_str().expect("an address").to_owned()
    };
    let health =
        request("GET", &format!("http://{}:{}/health", pod(&console), port.trim()), &[], None);
    assert_eq!(health.status, 200, "{health:?}");
    assert!(!answers("127.0.0.1"));
    console.configure("coder", &format!("gateway: {{port: {}, host: 127.0.0.1}}\n", port.trim()));
    console.hermes(&["gateway", "restart", "coder"]).ok();
    assert_eq!((answers("127.0.0.1"), answers(&pod(&console))), (true, false));
    let logs = console.hermes(&["gateway", "logs", "coder"]).ok();
    assert!(logs.stdout.contains("no other Pod can reach it"), "{logs}");
}

/// A Pod has `gateway.defaults` of the root home, and nothing else of that.
#[test]
fn the_defaults_of_the_root_home_reach_every_pod() {
    let console = Console::new();
    console.profile("coder");
    let script = "echo with $SHARED; cat $HERMES_HOME/../../config.yaml $HERMES_HOME/../.defaults/*; \
                  echo x >$HERMES_HOME/../.defaults/x; exec sleep 600";
    let defaults = |shared: &str| {
        let command = json!(["/bin/sh", "-c", script]);
        let defaults = json!({ "command": command, "env": { "SHARED": shared } });
        let root =
            json!({ "gateway": { "defaults": defaults, "env": { "KEY": "the-roots-own" } } });
        fs::write(console.env.home().join("config.yaml"), root.to_string()).expect("a file");
    };
    defaults("first");
    console.configure("coder", "gateway: {port: 8643}\n");
    console.hermes(&["gateway", "start", "coder"]).ok();
    let logs = console.hermes(&["gateway", "logs", "coder"]).ok().stdout;
    assert!(logs.contains("with first"), "{logs}");
    assert!(logs.contains("\"SHARED\": \"first\""), "{logs}");
    // As a plain user, the tests have no mounts.
    if is_root() {
        assert!(!logs.contains("the-roots-own"), "{logs}");
        assert!(logs.contains("Read-only file system"), "{logs}");
    }
    defaults("second");
    console.hermes(&["gateway", "restart", "coder"]).ok();
    let logs = console.hermes(&["gateway", "logs", "coder"]).ok().stdout;
    assert!(logs.contains("with second"), "{logs}");
    let shown = console.hermes(&["config", "show", "coder", "--effective"]).ok();
    assert!(shown.stdout.contains("SHARED: \"second\"  # gateway.defaults"), "{shown}");
}

/// The launcher in the Pod starts a dead gateway again, and the Pod stays.
#[test]
fn a_death_is_the_launchers_and_a_deleted_pod_the_controllers() {
    let console = Console::new();
    console.profile("coder");
    console.hermes(&["gateway", "start", "coder"]).ok();
    let (pod, first) = (uid(&console, "coder"), pid(&console.status("coder")));
    console.kill(first);
    eventually("it is back", || {
        let status = console.status("coder");
        (status["state"] == "up" && status["pid"] != first).then_some(())
    });
    assert_eq!(uid(&console, "coder"), pod);
    // The launcher itself dies with all that it runs.
    console.cluster.kill_main(&Console::pod("coder"));
    let status = eventually("its container is back", || {
        let status = console.status("coder");
        (status["state"] == "up" && status["deaths"] == 2).then_some(status)
    });
    assert_eq!((&status["intent"], uid(&console, "coder")), (&json!("running"), pod));
}

#[test]
fn many_are_started_and_stopped_with_few_requests() {
    let console = Console::new();
    let names = ["a", "b", "c", "d"];
    names.iter().for_each(|name| console.profile(name));
    console.hermes(&[&["gateway", "start"][..], &names].concat()).ok();
    console.cluster.forget_requests();
    let all = console.hermes(&["gateway", "status", "--all", "--json"]).run().json();
    let up = all.as_array().expect("a list").iter().filter(|one| one["state"] == "up").count();
    assert_eq!(up, names.len());
    let lists = console.cluster.requests();
    let verbs: Vec<_> = lists.iter().map(|one| format!("{} {}", one.verb, one.resource)).collect();
    assert!(verbs.iter().all(|verb| verb.starts_with("list ")), "{verbs:?}");
    // `default`, which can't have a gateway here, is no part of all.
    console.hermes(&["gateway", "restart", "--all"]).ok();
    console.hermes(&["gateway", "stop", "--all"]).ok();
    assert!(names.iter().all(|name| console.cluster.pod(&Console::pod(name)).is_none()));
}

#[test]
fn logs_are_followed_over_a_lost_connection() {
    let console = Console::new();
    console.profile_running("talker", "echo life; exec sleep 600", "");
    console.hermes(&["gateway", "start", "talker"]).ok();
    let follow = console.hermes(&["gateway", "logs", "talker", "--follow"]).stream();
    follow.await_lines(1);
    // Its node does not know the Pod that follows, either.
    console.cluster.fail("get", "pods/log", Fault::UnknownPod, 2);
    console.cluster.close_streams();
    console.hermes(&["gateway", "restart", "talker"]).ok();
    follow.await_lines(2);
    let lines = follow.lines();
    assert!(lines.iter().all(|line| line.ends_with("life")), "{lines:?}");
}
