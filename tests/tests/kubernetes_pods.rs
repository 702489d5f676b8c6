//! The stand-in for a Kubernetes cluster: Pods whose containers are processes of this machine, and what becomes of them.

use std::collections::BTreeMap;
use std::fs;

use hermes_core::{Gateway, RootHome, Store};
use hermes_kube::objects::{Settings, stateful_set};
use hermes_tests::kubernetes::{CLAIM, Cluster, PODS, SETS, is_ready as ready};
use hermes_tests::{TestEnv, eventually, free_port, is_alive, is_root, python_with, request};
use serde_json::{Value, json};

#[track_caller]
fn apply(cluster: &Cluster, set: &Value) {
    let answer = cluster.apply("hermes", "", set);
    assert!(answer.status == 200 || answer.status == 201, "{answer:?}");
}

#[track_caller]
fn delete(cluster: &Cluster, path: &str, options: &Value) -> Value {
    let answer = cluster.ask("DELETE", path, "application/json", Some(options));
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

/// A set with one Pod that runs a script of a shell.
fn set(name: &str, script: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": { "name": name },
        "spec": {
            "replicas": 1, "serviceName": "all", "podManagementPolicy": "Parallel",
            "selector": { "matchLabels": { "of": name } },
            "template": {
                "metadata": { "labels": { "of": name } },
                "spec": {
                    "terminationGracePeriodSeconds": 20,
                    "containers": [{
                        "name": "main", "image": "any", "command": ["/bin/sh", "-c", script],
                        "env": [
                            { "name": "UID_OF_POD", "valueFrom": { "fieldRef": { "fieldPath": "metadata.uid" } } },
                            { "name": "TWICE", "value": "$(UID_OF_POD)$(UID_OF_POD)" },
                        ],
                    }],
                },
            },
        },
    })
}

/// Ends on TERM at once, and has a child.
const GENTLE: &str = "trap 'echo bye; exit 0' TERM; sleep 600 & echo up; while :; do wait; done";

/// The Pod, once it has said that it can take a signal, and is not the one with the ID `former`.
#[track_caller]
fn once_up(cluster: &Cluster, pod: &str, former: &Value) -> Value {
    let ready = cluster.once_ready(pod, former);
    eventually("it is up", || cluster.log(pod, "").text.ends_with("up\n").then_some(()));
    ready
}

fn uid(pod: &Value) -> Value {
    pod["metadata"]["uid"].clone()
}

#[track_caller]
fn once_gone(cluster: &Cluster, pod: &str, processes: &[u64]) {
    eventually("the Pod is gone", || cluster.pod(pod).is_none().then_some(()));
    assert!(!processes.iter().any(|pid| is_alive(*pid)), "its processes ended before");
}

#[test]
fn a_set_with_one_replica_has_one_pod() {
    let env = TestEnv::new();
    let cluster = Cluster::start(&env);
    apply(&cluster, &set("a", GENTLE));
    let pod = once_up(&cluster, "a-0", &Value::Null);
    let labels = &pod["metadata"]["labels"];
    assert_eq!(labels["apps.kubernetes.io/pod-index"], "0");
    assert_eq!(labels["statefulset.kubernetes.io/pod-name"], "a-0");
    assert_eq!(pod["metadata"]["ownerReferences"][0]["name"], "a");
    let set = eventually("the set knows of it", || {
        cluster.stateful_set("a").filter(|set| set["status"]["readyReplicas"] == 1)
    });
    assert_eq!(labels["controller-revision-hash"], set["status"]["updateRevision"]);
    let processes = cluster.processes("a-0");
    assert!(processes.len() >= 2, "{processes:?}");
    // Without replicas it goes.
    let mut none = self::set("a", GENTLE);
    none["spec"]["replicas"] = 0.into();
    apply(&cluster, &none);
    once_gone(&cluster, "a-0", &processes);
}

#[test]
fn a_pod_that_is_deleted_comes_again_as_another_once_it_has_ended() {
    let env = TestEnv::new();
    let cluster = Cluster::start(&env);
    apply(&cluster, &set("a", GENTLE));
    let first = once_up(&cluster, "a-0", &Value::Null);
    let processes = cluster.processes("a-0");
    let ending = delete(&cluster, &format!("{PODS}/a-0"), &Value::Null);
    assert_eq!(ending["metadata"]["deletionGracePeriodSeconds"], 20);
    once_up(&cluster, "a-0", &uid(&first));
    assert!(!processes.iter().any(|pid| is_alive(*pid)), "never two at once");
    // Its set goes, and it with the set.
    let processes = cluster.processes("a-0");
    let status =
        delete(&cluster, &format!("{SETS}/a"), &json!({ "propagationPolicy": "Foreground" }));
    assert!(!status["metadata"]["deletionTimestamp"].is_null(), "{status}");
    eventually("the set is gone", || cluster.stateful_set("a").is_none().then_some(()));
    once_gone(&cluster, "a-0", &processes);
}

#[test]
fn a_deaf_pod_is_killed_at_the_end_of_its_grace() {
    let env = TestEnv::new();
    let cluster = Cluster::start(&env);
    apply(&cluster, &set("a", "trap '' TERM; echo up; while :; do sleep 600; done"));
    once_up(&cluster, "a-0", &Value::Null);
    let processes = cluster.processes("a-0");
    delete(&cluster, &format!("{SETS}/a"), &Value::Null);
    let path = format!("{PODS}/a-0");
    let begun = std::time::Instant::now();
    delete(&cluster, &path, &json!({ "gracePeriodSeconds": 1 }));
    once_gone(&cluster, "a-0", &processes);
    assert!(begun.elapsed().as_secs() < 10, "the shorter grace holds");
}

#[test]
fn a_container_that_ends_starts_again_in_its_pod() {
    let env = TestEnv::new();
    let cluster = Cluster::start(&env);
    let script = format!("echo hello $UID_OF_POD; {GENTLE}");
    apply(&cluster, &set("a", &script));
    let pod = once_up(&cluster, "a-0", &Value::Null);
    let missing = cluster.log("a-0", "?previous=true");
    assert_eq!(missing.status, 400, "{missing:?}");
    let first = cluster.processes("a-0");
    cluster.kill_main("a-0");
    let status = |pod: &Value| pod["status"]["containerStatuses"][0].clone();
    let again = eventually("it runs again", || {
        cluster.pod("a-0").filter(|pod| status(pod)["restartCount"] == 1 && ready(pod))
    });
    assert_eq!(uid(&again), uid(&pod));
    assert_eq!(status(&again)["lastState"]["terminated"]["exitCode"], 137);
    assert!(!first.iter().any(|pid| is_alive(*pid)), "all of the former run ended");
    let hello = format!("hello {}\nup\n", uid(&pod).as_str().expect("an ID"));
    for options in ["?tailLines=5", "?previous=true", "?container=main"] {
        eventually("it prints", || (cluster.log("a-0", options).text == hello).then_some(()));
    }
    let stamped = cluster.log("a-0", "?timestamps=true&tailLines=1").text;
    let (time, rest) = stamped.split_once(' ').expect("a time");
    assert_eq!((time.parse::<jiff::Timestamp>().is_ok(), rest), (true, "up\n"));
    assert_eq!(cluster.log("a-0", "?sinceTime=2999-01-01T00:00:00Z").text, "");
}

#[test]
fn what_a_pod_prints_is_followed_to_its_end() {
    let env = TestEnv::new();
    let cluster = Cluster::start(&env);
    apply(&cluster, &set("a", &format!("echo $TWICE; {GENTLE}")));
    let pod = once_up(&cluster, "a-0", &Value::Null);
    cluster.forget_requests();
    let text = std::thread::scope(|scope| {
        let follower = scope.spawn(|| cluster.log("a-0", "?follow=true").text);
        let followed = |request: &hermes_tests::kubernetes::Seen| request.resource == "pods/log";
        eventually("it is followed", || cluster.requests().iter().any(followed).then_some(()));
        delete(&cluster, &format!("{SETS}/a"), &Value::Null);
        follower.join().expect("no panic")
    });
    let uid = uid(&pod).as_str().expect("an ID").to_owned();
    assert_eq!(text, format!("{uid}{uid}\nup\nbye\n"));
}

#[test]
fn a_changed_template_replaces_the_pod_unless_that_waits_for_its_deletion() {
    let env = TestEnv::new();
    let cluster = Cluster::start(&env);
    apply(&cluster, &set("a", GENTLE));
    let first = once_up(&cluster, "a-0", &Value::Null);
    apply(&cluster, &set("a", &format!(": changed; {GENTLE}")));
    let second = once_up(&cluster, "a-0", &uid(&first));
    let mut lazy = set("a", &format!(": again; {GENTLE}"));
    lazy["spec"]["updateStrategy"] = json!({ "type": "OnDelete" });
    apply(&cluster, &lazy);
    eventually("the controller has seen it", || {
        cluster
            .stateful_set("a")
            .filter(|set| set["status"]["observedGeneration"] == set["metadata"]["generation"])
    });
    let same = cluster.pod("a-0").expect("a Pod");
    assert_eq!((uid(&same), &same["metadata"]["deletionTimestamp"]), (uid(&second), &Value::Null));
}

#[test]
fn pods_of_a_lost_node_stay_until_they_are_deleted_by_force() {
    let env = TestEnv::new();
    let cluster = Cluster::start(&env);
    apply(&cluster, &set("a", GENTLE));
    let first = once_up(&cluster, "a-0", &Value::Null);
    let processes = cluster.processes("a-0");
    cluster.lose_node();
    let lost = cluster.pod("a-0").expect("a Pod");
    assert_eq!((&lost["status"]["phase"], ready(&lost)), (&json!("Running"), false));
    let path = format!("{PODS}/a-0");
    delete(&cluster, &path, &Value::Null);
    delete(&cluster, &path, &json!({ "gracePeriodSeconds": 0 }));
    let second = once_up(&cluster, "a-0", &uid(&first));
    assert_ne!(second["spec"]["nodeName"], first["spec"]["nodeName"]);
    // The lost node knows of nothing.
    assert!(processes.iter().all(|pid| is_alive(*pid)));
    cluster.find_nodes();
    eventually("it has caught up", || (!processes.iter().any(|pid| is_alive(*pid))).then_some(()));
    assert_eq!(cluster.pod("a-0").map(|pod| uid(&pod)), Some(uid(&second)));
}

#[test]
fn a_container_sees_what_it_mounts_alone() {
    hermes_tests::require_root!();
    let env = TestEnv::new();
    let cluster = Cluster::start(&env);
    let profiles = env.home().join("profiles");
    for name in ["one", "two"] {
        fs::create_dir_all(profiles.join(name)).expect("a directory");
    }
    env.give(&profiles.join("one"));
    let all = profiles.display();
    // Every user may write there but for the root file system.
    let elsewhere = std::path::Path::new("/var/tmp").join(env.path().file_name().expect("a name"));
    // Kubernetes makes one dollar of two.
    let script = format!(
        "echo $$$$ $(id -u) $(ls {all}) $(ls /dev/kmsg); for file in {} {all}/x {all}/one/x; do touch $file && \
         echo wrote; done; echo up; exec sleep 600",
        elsewhere.display()
    );
    let mut set = set("a", &format!("exec 2>/dev/null; {script}"));
    let pod = &mut set["spec"]["template"]["spec"];
    pod["securityContext"] =
        json!({ "runAsUser": 10_000, "runAsGroup": 10_000, "fsGroup": 10_000 });
    pod["volumes"] = json!([{ "name": "home", "persistentVolumeClaim": { "claimName": CLAIM } }]);
    let container = &mut pod["containers"][0];
    container["securityContext"] = json!({ "readOnlyRootFilesystem": true });
    let mount =
        json!({ "name": "home", "mountPath": profiles.join("one"), "subPath": "profiles/one" });
    container["volumeMounts"] = json!([mount]);
    apply(&cluster, &set);
    once_up(&cluster, "a-0", &Value::Null);
    assert_eq!(cluster.log("a-0", "").text, "1 10000 one\nwrote\nup\n");
    assert!(profiles.join("one/x").exists());
}

/// A server that answers 200 to a path unless a file of that name is beside it.
const SERVER: &str = r"
import http.server, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(500 if os.path.exists(sys.argv[2] + self.path) else 200)
        self.end_headers()
http.server.HTTPServer((sys.argv[1], 8000), Handler).serve_forever()
";

#[test]
fn probes_say_who_is_ready_and_end_who_does_not_answer() {
    let mut env = TestEnv::new();
    env.faster = 20;
    let cluster = Cluster::start(&env);
    let mut set = set("a", "");
    let pod = &mut set["spec"]["template"]["spec"];
    let container = &mut pod["containers"][0];
    container["command"] =
        json!([python_with("http.server"), "-c", SERVER, "$(ADDRESS)", env.path()]);
    let address = json!({ "fieldRef": { "fieldPath": "status.podIP" } });
    container["env"] = json!([{ "name": "ADDRESS", "valueFrom": address }]);
    container["ports"] = json!([{ "name": "web", "containerPort": 8000 }]);
    let probe = |path: &str, failures: u32| {
        let get = json!({ "path": path, "port": "web" });
        json!({ "httpGet": get, "periodSeconds": 1, "failureThreshold": failures })
    };
    container["readinessProbe"] = probe("/ready", 1);
    // As process 1 it has no handler for TERM.
    pod["terminationGracePeriodSeconds"] = 1.into();
    apply(&cluster, &set);
    cluster.once_ready("a-0", &Value::Null);
    env.write(&env.path().join("ready"), "");
    eventually("it is not ready", || cluster.pod("a-0").filter(|pod| !ready(pod)));
    fs::remove_file(env.path().join("ready")).expect("a file");
    let first = cluster.once_ready("a-0", &Value::Null);
    assert_eq!(first["status"]["containerStatuses"][0]["restartCount"], 0);

    set["spec"]["template"]["spec"]["containers"][0]["livenessProbe"] = probe("/live", 40);
    apply(&cluster, &set);
    cluster.once_ready("a-0", &uid(&first));
    env.write(&env.path().join("live"), "");
    eventually("it is started again", || {
        let pod = cluster.pod("a-0")?;
        (pod["status"]["containerStatuses"][0]["restartCount"] == 1).then_some(())
    });
}

#[test]
fn nothing_is_left_of_a_cluster() {
    let env = TestEnv::new();
    let cluster = Cluster::start(&env);
    apply(
        &cluster,
        &set("a", "setsid sleep 600 & trap '' TERM; echo up; while :; do sleep 600; done"),
    );
    once_up(&cluster, "a-0", &Value::Null);
    let processes = eventually("all of it runs", || {
        Some(cluster.processes("a-0")).filter(|processes| processes.len() >= 3)
    });
    drop(cluster);
    assert!(!processes.iter().any(|pid| is_alive(*pid)));
}

/// The set of the gateway of a profile, as the backend applies it.
fn of_profile(env: &TestEnv, name: &str, is_wanted: bool) -> Value {
    let store = Store::new(RootHome::new(env.home()));
    let gateway = Gateway::new(store.get(&name.parse().expect("a name")).expect("a profile"));
    let settings = Settings {
        image: "hermes:1".to_owned(),
        claim: CLAIM.to_owned(),
        root: env.home().to_str().expect("UTF-8").to_owned(),
    };
    serde_json::to_value(stateful_set(&gateway, &settings, &BTreeMap::new(), is_wanted))
        .expect("JSON")
}

#[test]
fn a_gateway_runs_in_the_pod_of_its_profile() {
    let mut env = TestEnv::new();
    env.faster = 10;
    let cluster = Cluster::start(&env);
    let port = free_port();
    for name in ["coder", "writer"] {
        env.profile_for_later(name, "true", "running");
    }
    env.write(&env.profile("coder").join("config.yaml"), &format!("gateway: {{port: {port}}}\n"));
    apply(&cluster, &of_profile(&env, "coder", true));
    let pod = cluster.once_ready("hermes-coder-0", &Value::Null);
    let address = pod["status"]["podIP"].as_str().expect("an address");
    assert_eq!(request("GET", &format!("http://{address}:8640/ready"), &[], None).status, 200);
    let record = || -> Value {
        let text = fs::read_to_string(env.profile("coder").join("gateway.pod")).expect("a record");
        serde_json::from_str(&text).expect("JSON")
    };
    assert_eq!(record()["pod"], uid(&pod));
    let pid = record()["pid"].as_u64().expect("a process");
    let gateway = cluster.process("hermes-coder-0", pid).expect("a process of the Pod");
    if is_root() {
        // The container sees its own profile alone, and the copy of the defaults.
        let seen = format!("/proc/{gateway}/root{}", env.home().join("profiles").display());
        assert_eq!(hermes_tests::names(seen.as_ref()), [".defaults", "coder"], "{seen}");
    }
    // Its launcher starts it again, and Kubernetes starts the launcher again.
    hermes_tests::kill(gateway);
    eventually("the launcher has started it again", || {
        (record()["pid"].as_u64()? != pid && record()["ready"] == true).then_some(())
    });
    cluster.kill_main("hermes-coder-0");
    let status = |pod: &Value| pod["status"]["containerStatuses"][0].clone();
    let again = eventually("the Pod is ready again", || {
        cluster.pod("hermes-coder-0").filter(|pod| ready(pod) && status(pod)["restartCount"] == 1)
    });
    assert_eq!(uid(&again), uid(&pod));
    let processes = cluster.processes("hermes-coder-0");
    apply(&cluster, &of_profile(&env, "coder", false));
    once_gone(&cluster, "hermes-coder-0", &processes);
    assert_eq!(record()["pid"], Value::Null);
    drop(cluster);
    assert_eq!(hermes_tests::processes_naming(env.path().to_str().expect("UTF-8")), [0; 0]);
}

#[test]
fn a_parked_gateway_says_why_in_its_termination_message() {
    hermes_tests::require_root!();
    let mut env = TestEnv::new();
    env.faster = 50;
    let cluster = Cluster::start(&env);
    env.profile_for_later("wrong", "true", "running");
    env.write(&env.profile("wrong").join("config.yaml"), "gateway: {port: seven}\n");
    apply(&cluster, &of_profile(&env, "wrong", true));
    let parked = || {
        fs::read_to_string(env.profile("wrong").join("gateway.pod"))
            .ok()
            .filter(|text| text.contains("gateway.port"))
    };
    eventually("it is parked", parked);
    assert!(!ready(&cluster.pod("hermes-wrong-0").expect("a Pod")));
    cluster.kill_main("hermes-wrong-0");
    let message = eventually("it has ended", || {
        let pod = cluster.pod("hermes-wrong-0")?;
        let terminated = &pod["status"]["containerStatuses"][0]["lastState"]["terminated"];
        terminated["message"].as_str().map(str::to_owned)
    });
    assert!(message.starts_with("parked: "), "{message}");
}
