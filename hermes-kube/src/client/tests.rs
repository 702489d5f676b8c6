//! Requests, errors and time limits, against a server whose answers are fixed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hermes_core::RootHome;
use hermes_core::driver::Class;
use hermes_core::error_chain::in_one_line;
use hermes_core::wait::Timeouts;
use kube::api::LogParams;
use serde_json::Value;

use super::*;
use crate::driver::{Kubernetes, Setup};
use crate::logs::reading;
use crate::mock::{Mock, client_of, refusal};

const LONG: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(300);
const SETS: &str = "/apis/apps/v1/namespaces/agents/statefulsets";

fn set(name: &str) -> StatefulSet {
    serde_json::from_value(json!({ "metadata": { "name": name }, "spec": null })).unwrap()
}

/// A server that refuses the first `times` requests with `code`, and answers the others with `then`.
fn refuses_first(times: usize, code: u16, then: Value) -> Mock {
    let count = Arc::new(AtomicUsize::new(0));
    Mock::start(move |_| match count.fetch_add(1, Ordering::SeqCst) {
        n if n < times => refusal(code, "not now"),
        _ => (200, then.clone()),
    })
}

/// The error of reading a StatefulSet from `client`: its text, its class, its hint.
fn error_of(client: &Client) -> (String, Class, String) {
    let error = DriverError::from(client.stateful_set("hermes-coder").unwrap_err());
    (in_one_line(&error), error.class().clone(), error.hint().unwrap_or_default().to_owned())
}

#[test]
fn an_object_is_applied_with_force_under_our_name() {
    let mock = Mock::start(|request| (200, request.body.clone()));
    let applied = mock.client(LONG).apply(&set("hermes-coder")).unwrap();
    assert_eq!(applied.metadata.name.as_deref(), Some("hermes-coder"));
    let [request] = &mock.requests()[..] else { panic!("one request") };
    assert_eq!(request.line(), format!("PATCH {SETS}/hermes-coder"));
    let query = request.uri.query().unwrap();
    assert!(query.contains("force=true") && query.contains("fieldManager=hermes"), "{query}");
    assert_eq!(
        (&request.body["kind"], &request.body["apiVersion"]),
        (&json!("StatefulSet"), &json!("apps/v1"))
    );
}

#[test]
fn one_list_has_the_gateways_alone() {
    let list = json!({ "kind": "StatefulSetList", "apiVersion": "apps/v1", "metadata": {}, "items": [set("one")] });
    let mock = Mock::start(move |_| (200, list.clone()));
    assert_eq!(mock.client(LONG).stateful_sets(None).unwrap().len(), 1);
    let [request] = &mock.requests()[..] else { panic!("one request") };
    let query = request.uri.query().unwrap();
    assert!(query.contains("labelSelector=app.kubernetes.io%2Fname%3Dhermes-gateway"), "{query}");
}

#[test]
fn what_does_not_exist_is_no_error_where_that_is_the_answer() {
    let mock = Mock::start(|_| refusal(404, "not found"));
    let client = mock.client(LONG);
    assert_eq!(client.stateful_set("x").unwrap(), None);
    assert_eq!(client.pod("x").unwrap(), None);
    assert_eq!(client.scale("x", 0).unwrap(), None);
    client.delete_stateful_set("x").unwrap();
    client.delete_pod("x", "uid").unwrap();
    let error = DriverError::from(client.apply(&set("x")).unwrap_err());
    assert_eq!(error.hint(), Some("`kubectl get namespace agents` shows whether it exists"));
}

#[test]
fn the_least_role_allows_what_is_requested_and_nothing_else() {
    let list = json!({ "metadata": {}, "items": [] });
    let mock = Mock::start(move |request| match request.method.as_str() {
        "GET" if request.uri.query().is_some_and(|query| query.contains("labelSelector")) => {
            (200, list.clone())
        }
        "PATCH" => (200, request.body.clone()),
        _ => refusal(404, "not found"),
    });
    let client = mock.client(LONG);
    client.stateful_set("x").unwrap();
    client.stateful_sets(None).unwrap();
    client.apply(&set("x")).unwrap();
    client.delete_stateful_set("x").unwrap();
    client.pod("x").unwrap();
    client.pods().unwrap();
    client.delete_pod("x", "uid").unwrap();
    let log = async |api: Api<Pod>| api.logs("x", &LogParams::default()).await;
    client.call(&reading("x"), log).unwrap_err();
    let root = RootHome::new("/nowhere");
    let driver = Kubernetes::new(client, root, Setup::default(), Timeouts::all(LONG));
    driver.watch().unwrap();
    let mut requested = BTreeSet::new();
    for request in mock.requests() {
        let path = request.uri.path();
        let resource = match path.contains("/pods") {
            true if path.ends_with("/log") => "pods/log",
            true => "pods",
            false => "statefulsets.apps",
        };
        let verbs: &[_] = match request.method.as_str() {
            "GET" if path.ends_with("/log") => &["get"],
            "GET" if path.ends_with("/x") => &["get"],
            "GET" if request.uri.query().is_some_and(|query| query.contains("watch=true")) => {
                &["watch"]
            }
            "GET" => &["list"],
            "DELETE" => &["delete"],
            // A StatefulSet that does not exist is created.
            "PATCH" => &["create", "patch"],
            other => panic!("{other}"),
        };
        requested.extend(verbs.iter().map(|verb| (resource, *verb)));
    }
    let rules = permissions::LEAST_ROLE.iter();
    let allowed: BTreeSet<_> =
        rules.flat_map(|rule| rule.verbs.iter().map(|verb| (rule.resource, *verb))).collect();
    assert_eq!(requested, allowed);
}

#[test]
fn a_server_of_another_kind_is_no_answer() {
    let mock = Mock::start(|_| (404, json!("404 page not found")));
    let (text, ..) = error_of(&mock.client(LONG));
    assert!(text.contains("answers 404: "), "{text}");
}

#[test]
fn another_pod_of_the_same_name_is_left_alone() {
    let mock = Mock::start(|_| refusal(409, "the UID in the precondition does not match"));
    mock.client(LONG).delete_pod("hermes-coder-0", "former").unwrap();
    let [request] = &mock.requests()[..] else { panic!("one request") };
    assert_eq!(request.body["preconditions"]["uid"], "former");
}

#[test]
fn what_passes_is_tried_again() {
    for code in [409, 410, 429, 500, 503] {
        let mock = refuses_first(2, code, json!(set("hermes-coder")));
        assert!(mock.client(LONG).stateful_set("hermes-coder").unwrap().is_some(), "{code}");
        assert_eq!(mock.requests().len(), 3, "{code}");
    }
}

#[test]
fn tries_end_with_the_time() {
    let mock = refuses_first(usize::MAX, 503, Value::Null);
    let (text, class, _) = error_of(&mock.client(SHORT));
    assert!(text.ends_with("answers 503: not now"), "{text}");
    assert_eq!(class, Class::Failed);
    assert!(mock.requests().len() > 1);
}

#[test]
fn a_refusal_is_explained_at_once() {
    for (code, expected, hint) in [
        (401, Class::Denied, "kubectl auth whoami"),
        (403, Class::Denied, "`kubectl auth can-i get statefulsets.apps -n agents`"),
        (422, Class::Failed, ""),
    ] {
        let mock = Mock::start(move |_| refusal(code, "because"));
        let (text, class, given) = error_of(&mock.client(LONG));
        let address = &mock.address;
        assert_eq!(
            text,
            format!(
                "failed to read the StatefulSet `hermes-coder` in the namespace `agents`: the API server at {address} \
                 answers {code}: because"
            )
        );
        assert_eq!(class, expected);
        assert!(given.contains(hint), "{given}");
        assert_eq!(mock.requests().len(), 1);
    }
}

#[test]
fn a_server_that_does_not_answer_costs_the_time_limit() {
    let mock = Mock::start(|_| (0, Value::Null));
    let begun = Instant::now();
    let (text, class, _) = error_of(&mock.client(SHORT));
    assert!(text.ends_with("has not answered"), "{text}");
    assert_eq!(class, Class::TimedOut(SHORT));
    assert!(begun.elapsed() < LONG);
}

#[test]
fn a_server_that_is_away_is_named() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let (text, class, hint) = error_of(&client_of(&address, SHORT));
    assert!(text.contains(&format!("the API server at {address} is away: ")), "{text}");
    assert!(text.contains("refused"), "{text}");
    assert_eq!(class, Class::Unreachable);
    assert!(hint.contains("kubectl version"), "{hint}");
}

#[test]
fn threads_share_a_client_and_it_ends_inside_of_another_runtime() {
    let mock = Mock::start(|_| (200, json!(set("hermes-coder"))));
    let client = mock.client(LONG);
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..4).map(|_| scope.spawn(|| client.stateful_set("hermes-coder"))).collect();
        for thread in threads {
            assert!(thread.join().unwrap().unwrap().is_some());
        }
    });
    new_runtime().unwrap().block_on(async { drop(client) });
}
