//! The stand-in for a Kubernetes cluster: what its API server answers, asked over HTTP alone.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;

use hermes_tests::kubernetes::{Cluster, Fault, NAMESPACE, PODS, SETS};
use hermes_tests::{Answer, SOON, TestEnv, request};
use serde_json::{Value, json};

fn get(cluster: &Cluster, path: &str) -> Answer {
    cluster.ask("GET", path, "application/json", None)
}

/// A set whose Pods run `command`; `replicas` is left out if it is null.
fn set(name: &str, replicas: &Value, command: &[&str]) -> Value {
    let mut set = json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": { "name": name, "labels": { "app": "test" } },
        "spec": {
            "serviceName": "all", "podManagementPolicy": "Parallel",
            "selector": { "matchLabels": { "of": name } },
            "template": {
                "metadata": { "labels": { "of": name } },
                "spec": {
                    "terminationGracePeriodSeconds": 5,
                    "containers": [{ "name": "main", "image": "any", "command": command }],
                },
            },
        },
    });
    if !replicas.is_null() {
        set["spec"]["replicas"] = replicas.clone();
    }
    set
}

fn idle(name: &str) -> Value {
    set(name, &json!(0), &["sleep", "600"])
}

/// Checks that an answer is a `Status` with this code and reason; its message.
#[track_caller]
fn refused(answer: &Answer, code: u16, reason: &str) -> String {
    let status = answer.json();
    assert_eq!((answer.status, &status["code"]), (code, &json!(code)), "{status}");
    assert_eq!(
        (&status["kind"], &status["reason"]),
        (&json!("Status"), &json!(reason)),
        "{status}"
    );
    status["message"].as_str().expect("a message").to_owned()
}

#[track_caller]
fn fine(answer: &Answer) -> Value {
    assert!(answer.status == 200 || answer.status == 201, "{answer:?}");
    answer.json()
}

/// The lines of a stream that goes on.
fn stream(cluster: &Cluster, path: &str) -> impl Iterator<Item = String> + use<> {
    use std::io::Write;
    let address = cluster.url().trim_start_matches("http://").to_owned();
    let mut stream = TcpStream::connect(&address).expect("a server");
    stream.set_read_timeout(Some(SOON)).expect("a socket");
    let token = cluster.token();
    // HTTP/1.0: the body has no frames.
    write!(
        stream,
        "GET {path} HTTP/1.0\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\r\n"
    )
    .expect("a connection");
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    assert_eq!(lines.next().as_deref(), Some("HTTP/1.0 200 OK"));
    lines.by_ref().find(|line| line.is_empty()).expect("the end of the head");
    lines
}

/// The next event of a watch: its type, the object's name and the object.
fn event(lines: &mut impl Iterator<Item = String>) -> (String, Value) {
    let line = lines.next().expect("an event");
    let event: Value = serde_json::from_str(&line).expect("JSON");
    (event["type"].as_str().expect("a type").to_owned(), event["object"].clone())
}

#[test]
fn a_set_that_nobody_owns_the_replicas_of_gets_one() {
    let env = TestEnv::new();
    let cluster = Cluster::start(&env);
    let replicas = |set: &Value| set["spec"]["replicas"].clone();
    let made = cluster.apply("hermes", "", &idle("a"));
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(replicas(&made.json()), 0);
    assert_eq!(cluster.apply("hermes", "", &idle("a")).status, 200);
    // Its owner applies without it.
    let without = set("a", &Value::Null, &["sleep", "600"]);
    assert_eq!(replicas(&fine(&cluster.apply("hermes", "", &without))), 1);
}

#[test]
fn a_scale_to_nothing_leaves_replicas_without_an_owner() {
    let env = TestEnv::new();
    let cluster = Cluster::start(&env);
    let one = set("a", &json!(1), &["sleep", "600"]);
    fine(&cluster.apply("hermes", "", &one));
    let scale = format!("{SETS}/a/scale?fieldManager=someone");
    let to = |number: u32| {
        let patch = json!({ "spec": { "replicas": number } });
        cluster.ask("PATCH", &scale, "application/merge-patch+json", Some(&patch))
    };
    refused(&to(2), 403, "Forbidden");
    cluster.allow("patch", "statefulsets/scale");
    fine(&to(2));
    let message = refused(&cluster.apply("hermes", "", &one), 409, "Conflict");
    assert!(
        message.contains("conflict with \"someone\" using apps/v1: .spec.replicas"),
        "{message}"
    );
    assert_eq!(fine(&to(0))["spec"], json!({}));
    let owners = |set: &Value| set["metadata"]["managedFields"].to_string();
    let now = cluster.stateful_set("a").expect("a set");
    assert_eq!(now["spec"]["replicas"], 0);
    assert!(!owners(&now).contains("f:replicas"), "{}", owners(&now));
    // Without an owner nobody's apply takes it away, and any may set it.
    let without = set("a", &Value::Null, &["sleep", "600"]);
    assert_eq!(fine(&cluster.apply("hermes", "", &without))["spec"]["replicas"], 0);
    let after = fine(&cluster.apply("hermes", "", &one));
    assert_eq!(after["spec"]["replicas"], 1);
    assert!(owners(&after).contains("f:replicas"), "{}", owners(&after));
}

#[test]
fn a_field_of_another_is_taken_by_force_alone() {
    let env = TestEnv::new();
    let cluster = Cluster::start(&env);
    fine(&cluster.apply("hermes", "", &idle("a")));
    let mut other = idle("a");
    other["spec"]["template"]["spec"]["containers"][0]["image"] = "other".into();
    let message = refused(&cluster.apply("another", "", &other), 409, "Conflict");
    let field = ".spec.template.spec.containers[\"name\"=\"main\"].image";
    assert_eq!(message, format!("Apply failed with 1 conflict: conflict with \"hermes\": {field}"));
    let forced = fine(&cluster.apply("another", "&force=true", &other));
    assert_eq!(forced["spec"]["template"]["spec"]["containers"][0]["image"], "other");
    // Its former owner gives up nothing by leaving it out.
    refused(&cluster.apply("hermes", "", &idle("a")), 409, "Conflict");
    assert_eq!(
        refused(
            &cluster.ask(
                "PATCH",
                &format!("{SETS}/a"),
                "application/apply-patch+yaml",
                Some(&other)
            ),
            400,
            "BadRequest"
        ),
        "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch"
    );
}

#[test]
fn what_an_owner_leaves_out_goes() {
    let env = TestEnv::new();
    let cluster = Cluster::start(&env);
    let mut with = idle("a");
    with["metadata"]["annotations"] = json!({ "hermes/profile": "a" });
    let container = &mut with["spec"]["template"]["spec"]["containers"][0];
    container["env"] = json!([{ "name": "A", "value": "1" }, { "name": "B", "value": "2" }]);
    fine(&cluster.apply("hermes", "", &with));
    let env_of = |set: &Value| set["spec"]["template"]["spec"]["containers"][0]["env"].clone();
    with["spec"]["template"]["spec"]["containers"][0]["env"].as_array_mut().unwrap().remove(0);
    let less = fine(&cluster.apply("hermes", "", &with));
    assert_eq!(env_of(&less), json!([{ "name": "B", "value": "2" }]));
    assert_eq!(less["metadata"]["generation"], 2);
    let none = fine(&cluster.apply("hermes", "", &idle("a")));
    assert_eq!((env_of(&none), &none["metadata"]["annotations"]), (Value::Null, &Value::Null));
}

#[test]
fn an_apply_that_changes_nothing_makes_no_version() {
    let env = TestEnv::new();
    let cluster = Cluster::start(&env);
    fine(&cluster.apply("hermes", "", &idle("a")));
    let version = || fine(&get(&cluster, SETS))["metadata"]["resourceVersion"].clone();
    hermes_tests::eventually("the controller has seen it", || {
        (cluster.stateful_set("a")?["status"]["observedGeneration"] == 1).then_some(())
    });
    let before = version();
    fine(&cluster.apply("hermes", "", &idle("a")));
    assert_eq!(version(), before);
}

#[test]
fn what_kubernetes_refuses_is_refused_in_its_words() {
    let env = TestEnv::new();
    let cluster = Cluster::start(&env);
    let message = refused(&get(&cluster, &format!("{SETS}/a")), 404, "NotFound");
    assert_eq!(message, "statefulsets.apps \"a\" not found");
    for name in ["my_coder", &"x".repeat(64)] {
        let message = refused(&cluster.apply("hermes", "", &idle(name)), 422, "Invalid");
        assert!(
            message.starts_with(&format!("StatefulSet.apps \"{name}\" is invalid: [metadata.name"))
                || message.contains("metadata.name"),
            "{message}"
        );
    }
    fine(&cluster.apply("hermes", "", &idle("a")));
    for (field, value) in [
        ("serviceName", json!("other")),
        ("podManagementPolicy", json!("OrderedReady")),
        ("volumeClaimTemplates", json!([{ "metadata": { "name": "data" } }])),
    ] {
        let mut changed = idle("a");
        changed["spec"][field] = value;
        let message = refused(&cluster.apply("hermes", "&force=true", &changed), 422, "Invalid");
        assert!(message.contains("spec: Forbidden: updates to statefulset spec"), "{message}");
    }
    let mut selector = idle("a");
    selector["spec"]["selector"]["matchLabels"]["of"] = "b".into();
    let message = refused(&cluster.apply("hermes", "&force=true", &selector), 422, "Invalid");
    assert!(message.contains("`selector` does not match template `labels`"), "{message}");
    let made = cluster.ask("POST", SETS, "application/json", Some(&idle("a")));
    assert_eq!(refused(&made, 409, "AlreadyExists"), "statefulsets.apps \"a\" already exists");
}

#[test]
fn a_watch_goes_on_from_a_list() {
    let env = TestEnv::new();
    let cluster = Cluster::start(&env);
    cluster.allow("watch", "statefulsets");
    fine(&cluster.apply("hermes", "", &idle("a")));
    let list = fine(&get(&cluster, &format!("{SETS}?labelSelector=app%3Dtest")));
    assert_eq!(list["items"][0]["metadata"]["name"], "a");
    let version = list["metadata"]["resourceVersion"].as_str().expect("a version").to_owned();
    let path = format!("{SETS}?watch=true&labelSelector=app=test");
    let mut lines = stream(&cluster, &format!("{path}&resourceVersion={version}"));
    let mut next = |name: &str, kind: &str| loop {
        let (actual, object) = event(&mut lines);
        if object["metadata"]["name"] == name && actual == kind {
            break object;
        }
        assert_eq!(actual, "MODIFIED", "{object}");
    };
    fine(&cluster.apply("hermes", "", &idle("b")));
    next("b", "ADDED");
    // It does not match any more, which a watch tells like its end.
    let mut other = idle("b");
    other["metadata"]["labels"] = json!({ "app": "other" });
    fine(&cluster.apply("hermes", "", &other));
    next("b", "DELETED");
    fine(&cluster.ask("DELETE", &format!("{SETS}/a"), "application/json", None));
    next("a", "DELETED");
    cluster.close_streams();
    assert_eq!(lines.next(), None);
    // Later watches begin where they say.
    let mut again = stream(&cluster, &format!("{path}&resourceVersion={version}"));
    let kinds: Vec<_> =
        (0..).map(|_| event(&mut again)).take_while(|(kind, _)| kind != "DELETED").collect();
    assert!(
        kinds.iter().any(|(kind, object)| kind == "ADDED" && object["metadata"]["name"] == "b")
    );
    cluster.forget_versions();
    let mut late = stream(&cluster, &format!("{path}&resourceVersion={version}"));
    let (kind, status) = event(&mut late);
    assert_eq!(
        (&*kind, &status["code"], &status["reason"]),
        ("ERROR", &json!(410), &json!("Expired"))
    );
    assert_eq!(late.next(), None);
}

#[test]
fn a_list_comes_in_pages() {
    let env = TestEnv::new();
    let cluster = Cluster::start(&env);
    for name in ["a", "b", "c"] {
        fine(&cluster.apply("hermes", "", &idle(name)));
    }
    let names = |list: &Value| -> Vec<_> {
        list["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["metadata"]["name"].clone())
            .collect()
    };
    let first = fine(&get(&cluster, &format!("{SETS}?limit=2")));
    assert_eq!(names(&first), ["a", "b"]);
    let token = first["metadata"]["continue"].as_str().expect("more");
    let rest = format!("{SETS}?limit=2&continue={token}");
    let second = fine(&get(&cluster, &rest));
    assert_eq!((names(&second), &second["metadata"]["continue"]), (vec![json!("c")], &Value::Null));
    cluster.forget_versions();
    refused(&get(&cluster, &rest), 410, "Expired");
}

#[test]
fn a_token_and_a_role_decide_what_is_allowed() {
    let env = TestEnv::new();
    let cluster = Cluster::start(&env);
    let text = std::fs::read_to_string(cluster.kubeconfig()).expect("a kubeconfig");
    let config: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(config["users"][0]["user"]["token"], cluster.token());
    assert_eq!(config["contexts"][0]["context"]["namespace"], NAMESPACE);
    let message = refused(&get(&cluster, "/api/v1/namespaces/hermes/services"), 403, "Forbidden");
    assert_eq!(
        message,
        "services is forbidden: User \"system:serviceaccount:hermes:hermes\" cannot list resource \
         \"services\" in API group \"\" in the namespace \"hermes\""
    );
    refused(&get(&cluster, "/apis/apps/v1/statefulsets"), 403, "Forbidden");
    fine(&get(&cluster, PODS));
    cluster.forbid("list", "pods");
    refused(&get(&cluster, PODS), 403, "Forbidden");
    cluster.allow("list", "pods");
    fine(&get(&cluster, PODS));
    let url = format!("{}{PODS}", cluster.url());
    refused(&request("GET", &url, &[("authorization", "Bearer no")], None), 401, "Unauthorized");
    cluster.expire_token();
    refused(&get(&cluster, PODS), 401, "Unauthorized");
}

#[test]
fn faults_come_as_often_as_ordered() {
    let env = TestEnv::new();
    let cluster = Cluster::start(&env);
    cluster.fail("list", "pods", Fault::TooManyRequests(2), 1);
    let answer = get(&cluster, PODS);
    assert_eq!(answer.header("retry-after"), Some("2"));
    refused(&answer, 429, "TooManyRequests");
    fine(&get(&cluster, PODS));
    for (fault, code, reason) in [
        (Fault::Gone, 410, "Expired"),
        (Fault::Internal, 500, "InternalError"),
        (Fault::Unavailable, 503, "ServiceUnavailable"),
    ] {
        cluster.fail("*", "*", fault, 2);
        for path in [PODS, SETS] {
            refused(&get(&cluster, path), code, reason);
        }
        fine(&get(&cluster, PODS));
    }
    // What closes, or never answers.
    let raw = |what: &str, timeout| {
        use std::io::Write;
        let address = cluster.url().trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).expect("a server");
        stream.set_read_timeout(Some(timeout)).expect("a socket");
        let token = cluster.token();
        write!(stream, "{what} HTTP/1.0\r\nauthorization: Bearer {token}\r\n\r\n").unwrap();
        stream.read(&mut [0; 1]).map_err(|error| error.kind())
    };
    let list = format!("GET {PODS}");
    cluster.fail("list", "pods", Fault::Close, 1);
    assert_eq!(raw(&list, SOON), Ok(0));
    // The request took effect, and nobody knows.
    fine(&cluster.apply("hermes", "", &idle("a")));
    cluster.fail("delete", "statefulsets", Fault::CloseAfter, 1);
    assert_eq!(raw(&format!("DELETE {SETS}/a"), SOON), Ok(0));
    assert_eq!(cluster.stateful_set("a"), None);
    cluster.fail("list", "pods", Fault::Hang, 1);
    let short = std::time::Duration::from_millis(300);
    assert_eq!(raw(&list, short), Err(std::io::ErrorKind::WouldBlock));
    assert_eq!(raw(&list, SOON), Ok(1));
    let calls = cluster.requests();
    assert_eq!((&*calls[0].verb, &*calls[0].resource), ("list", "pods"));
}
