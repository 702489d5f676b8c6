//! The manifests in `deploy/kubernetes/single-pod`: each is what Kubernetes' own types are, and asks for what it has to.

use hermes_tests::manifests::{Manifests, assert_restricted, lost};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Namespace, PersistentVolumeClaim, PodSpec, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

fn object<T: Serialize + DeserializeOwned>(file: &str) -> T {
    Manifests::of("single-pod").object(file)
}

fn pod() -> PodSpec {
    let set: StatefulSet = object("stateful-set.yaml");
    set.spec.and_then(|spec| spec.template.spec).expect("a Pod")
}

#[test]
fn every_manifest_is_listed_and_has_only_what_its_type_has() {
    object::<Namespace>("namespace.yaml");
    object::<PersistentVolumeClaim>("volume.yaml");
    object::<Service>("service.yaml");
    object::<StatefulSet>("stateful-set.yaml");
    object::<NetworkPolicy>("network-policy.yaml");
    let (files, listed) = Manifests::of("single-pod").files();
    assert_eq!(listed, files);
}

#[test]
fn what_a_type_does_not_have_is_found() {
    let whole = json!({ "spec": { "replica": 1, "list": [{ "a": 1 }] } });
    assert_eq!(
        lost(&whole, &json!({ "spec": { "list": [{}] } }), ""),
        [".spec.list[0].a", ".spec.replica"]
    );
}

#[test]
fn the_pod_is_restricted() {
    let pod = pod();
    assert_restricted(&pod);
    assert_eq!(pod.automount_service_account_token, Some(false));
    let namespace: Namespace = object("namespace.yaml");
    let enforced = &namespace.metadata.labels.unwrap()["pod-security.kubernetes.io/enforce"];
    assert_eq!(enforced, "restricted");
}

#[test]
fn one_gateway_that_is_not_healthy_restarts_no_other() {
    let container = pod().containers.remove(0);
    assert!(container.liveness_probe.is_none());
    let probe = container.readiness_probe.unwrap();
    assert_eq!(probe.exec.unwrap().command.unwrap(), ["hermes", "doctor", "--health"]);
    assert!(probe.timeout_seconds.unwrap() > 5);
    // The gateways are reached all the same.
    let service: Service = object("service.yaml");
    assert_eq!(service.spec.unwrap().publish_not_ready_addresses, Some(true));
}
