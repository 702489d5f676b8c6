//! States from objects as Kubernetes writes them.

use hermes_core::status::{Backoff, Parked};
use serde_json::{Value, json};

use super::*;

const POD: &str = "one";

fn set(replicas: i32) -> Option<StatefulSet> {
    serde_json::from_value(json!({
        "metadata": { "name": "hermes-coder" },
        "spec": { "replicas": replicas, "selector": {}, "template": {} },
    }))
    .unwrap()
}

/// The Pod, with this state of its container and these conditions.
fn pod(state: Value, more: Value) -> Option<Pod> {
    let mut container =
        json!({ "name": "gateway", "image": "", "imageID": "", "ready": true, "restartCount": 0 });
    container["state"] = state;
    let mut pod = json!({
        "metadata": { "name": "hermes-coder-0", "uid": POD },
        "spec": { "containers": [], "nodeName": "node-1" },
        "status": { "containerStatuses": [container] },
    });
    merge(&mut pod, &more);
    serde_json::from_value(pod).unwrap()
}

fn merge(value: &mut Value, more: &Value) {
    match (value, more) {
        (Value::Object(value), Value::Object(more)) => {
            more.iter().for_each(|(key, more)| {
                merge(value.entry(key.clone()).or_insert(Value::Null), more)
            });
        }
        (Value::Array(value), Value::Array(more)) if value.len() == more.len() => {
            value.iter_mut().zip(more).for_each(|(value, more)| merge(value, more));
        }
        (value, more) => *value = more.clone(),
    }
}

fn running() -> Option<Pod> {
    pod(json!({ "running": {} }), json!({}))
}

fn record(pid: Option<u32>, ready: Option<bool>) -> PodRecord {
    PodRecord { pid, ready, ..PodRecord::new(POD.to_owned()) }
}

fn found(replicas: i32, pod: Option<Pod>, record: Option<PodRecord>) -> Found {
    Found { registered: true, set: set(replicas), pod, record }
}

fn status(found: &Found) -> Status {
    found.status(&"coder".parse().unwrap(), None, Timestamp::now())
}

fn state(found: Found) -> (State, Option<u32>, Option<bool>) {
    let status = status(&found);
    (status.state, status.pid, status.ready)
}

#[test]
fn without_a_pod_the_replica_decides() {
    let registered = |registered, set| state(Found { registered, set, ..Found::default() }).0;
    assert_eq!(registered(false, None), State::Unsupervised);
    assert_eq!(registered(true, None), State::Down);
    assert_eq!(registered(true, set(0)), State::Down);
    assert_eq!(registered(true, set(1)), State::Starting);
}

#[test]
fn in_a_pod_that_runs_the_record_decides() {
    let of = |record| state(found(1, running(), record));
    assert_eq!(of(None), (State::Starting, None, None));
    assert_eq!(of(Some(record(None, None))), (State::Starting, None, None));
    assert_eq!(of(Some(record(Some(7), Some(false)))), (State::Starting, Some(7), Some(false)));
    assert_eq!(of(Some(record(Some(7), Some(true)))), (State::Up, Some(7), Some(true)));
    assert_eq!(of(Some(record(Some(7), None))), (State::Up, Some(7), None));
    let backoff = Some(Backoff { count: 2, until: Timestamp::now() });
    let waits = PodRecord { backoff, ..record(None, None) };
    assert_eq!(of(Some(waits)), (State::Backoff, None, None));
    let mut parked = record(None, None);
    parked.record.parked = Some(Parked { reason: "why".to_owned(), since: None });
    let status = status(&found(1, running(), Some(parked)));
    assert_eq!((status.state, status.parked.unwrap().reason), (State::Parked, "why".to_owned()));
}

#[test]
fn a_pod_that_ends_stops_or_is_replaced() {
    let ending = || {
        pod(
            json!({ "running": {} }),
            json!({ "metadata": { "deletionTimestamp": Timestamp::now() } }),
        )
    };
    let up = || Some(record(Some(7), Some(true)));
    assert_eq!(state(found(0, ending(), up())).0, State::Stopping);
    assert_eq!(state(found(0, running(), up())).0, State::Stopping);
    assert_eq!(state(found(1, ending(), up())), (State::Starting, None, None));
}

#[test]
fn a_container_that_ended_is_a_death_that_its_launcher_did_not_record() {
    let now = Timestamp::now();
    let ended = |at: Timestamp| json!({ "terminated": { "exitCode": 137, "finishedAt": at } });
    let up = || Some(record(Some(7), Some(true)));
    let dead = status(&found(1, pod(ended(now), json!({})), up()));
    assert_eq!(
        (dead.state, dead.pid, dead.deaths, dead.last_exit),
        (State::Backoff, None, 1, Some(Exit::Signal(9)))
    );
    let again = |at| {
        let container = json!({ "restartCount": 2, "lastState": ended(at) });
        let more = json!({ "status": { "containerStatuses": [container] } });
        status(&found(1, pod(json!({ "running": {} }), more), up()))
    };
    let recent = again(now);
    assert_eq!((recent.state, recent.deaths, recent.last_exit), (State::Up, 2, None));
    assert_eq!(again(now - jiff::SignedDuration::from_hours(2)).deaths, 0);
}

#[test]
fn deaths_of_the_last_hour_count_by_the_wall_clock() {
    use hermes_core::clock::Moment;
    let now = Timestamp::now();
    let mut record = record(Some(7), Some(true));
    let ago = |minutes| now - jiff::SignedDuration::from_mins(minutes);
    for (at, exit) in [(ago(61), 1), (ago(59), 1), (ago(2), EXIT_RESTART), (ago(1), 3)] {
        // The moment is another node's.
        record.record.add_death(at, &"5@elsewhere".parse::<Moment>().unwrap(), Exit::Code(exit));
    }
    let found = found(1, running(), Some(record));
    assert_eq!(found.deaths(now), [ago(59), ago(1)]);
    let status = status(&found);
    assert_eq!((status.deaths, status.last_exit), (2, Some(Exit::Code(3))));
}

#[test]
fn what_keeps_a_pod_from_running_is_said() {
    let waits = |reason: &str| {
        let state = json!({ "waiting": { "reason": reason, "message": "no such image" } });
        found(1, pod(state, json!({})), None)
    };
    let refused = waits("ErrImagePull");
    assert_eq!(
        status(&refused).reason.unwrap().text,
        "its container waits: ErrImagePull: no such image"
    );
    assert!(refused.needs_another_pod() && !waits("ContainerCreating").needs_another_pod());
    let condition = json!({ "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no room" });
    let more = json!({ "status": { "containerStatuses": null, "conditions": [condition] } });
    let homeless = found(1, pod(Value::Null, more), None);
    assert_eq!(homeless.trouble().unwrap(), "its Pod has no node: Unschedulable: no room");
    assert!(homeless.needs_another_pod());
    assert_eq!(
        found(1, None, None).trouble().as_deref(),
        Some("Kubernetes has not made its Pod yet")
    );
}

#[test]
fn a_pod_that_is_long_not_ready_is_unresponsive() {
    let now = Timestamp::now();
    let ago = |seconds| now - jiff::SignedDuration::from_secs(seconds);
    let of = |status: &str, since, ready_since| {
        let condition = json!({ "type": "Ready", "status": status, "lastTransitionTime": since });
        let pod = pod(json!({ "running": {} }), json!({ "status": { "conditions": [condition] } }));
        let record = PodRecord { since: ready_since, ..record(Some(7), Some(true)) };
        super::tests::status(&found(1, pod, Some(record))).reason.map(|reason| reason.kind)
    };
    assert_eq!(of("False", ago(60), ago(90)), Some(ReasonKind::Unresponsive));
    assert_eq!(of("False", ago(5), ago(90)), None, "it may become ready");
    assert_eq!(of("False", ago(60), ago(5)), None, "its gateway has just started");
    assert_eq!(of("True", ago(60), ago(90)), None);
}
