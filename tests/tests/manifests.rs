//! The manifests in `deploy/kubernetes`: each is what Kubernetes' own types are, and asks for what it has to.

use std::path::{Path, PathBuf};
use std::process::Command;

use hermes_tests::{names, python_with};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Namespace, PersistentVolumeClaim, PodSpec, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/kubernetes/single-pod")
}

/// The YAML in `file`, as PyYAML reads it.
fn read(file: &str) -> Value {
    let script = "import sys, json, yaml; json.dump(yaml.safe_load(open(sys.argv[1])), sys.stdout)";
    let mut python = Command::new(python_with("yaml"));
    let output = python.args(["-c", script]).arg(directory().join(file)).output().expect("Python");
    serde_json::from_slice(&output.stdout).expect("YAML")
}

/// The object of `file`. A key that its type does not have would be lost on the way.
fn object<T: Serialize + DeserializeOwned>(file: &str) -> T {
    let read = read(file);
    let object: T = serde_json::from_value(read.clone()).expect(file);
    let lost = lost(&read, &serde_json::to_value(&object).expect(file), "");
    assert_eq!(lost, [""; 0], "{file} has what its type does not");
    object
}

/// The paths of what `whole` has and `part` does not.
fn lost(whole: &Value, part: &Value, path: &str) -> Vec<String> {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => {
            let of = |(key, value): (&String, &Value)| {
                lost(value, part.get(key).unwrap_or(&Value::Null), &format!("{path}.{key}"))
            };
            whole.iter().flat_map(of).collect()
        }
        (Value::Array(whole), Value::Array(part)) if whole.len() == part.len() => {
            let of = |(index, (one, other))| lost(one, other, &format!("{path}[{index}]"));
            whole.iter().zip(part).enumerate().flat_map(of).collect()
        }
        _ if whole == part => Vec::new(),
        // `podSelector: {}`
        _ if *whole == json!({}) && part.is_null() => Vec::new(),
        _ => vec![path.to_owned()],
    }
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
    let mut files = names(&directory());
    files.retain(|name| name != "kustomization.yaml");
    let listed = read("kustomization.yaml")["resources"].clone();
    let mut listed: Vec<String> = serde_json::from_value(listed).unwrap();
    listed.sort();
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

/// <https://kubernetes.io/docs/concepts/security/pod-security-standards/>
#[test]
fn the_pod_is_restricted() {
    let pod = pod();
    let security = pod.security_context.unwrap();
    assert_eq!(security.run_as_non_root, Some(true));
    assert_eq!(security.seccomp_profile.unwrap().type_, "RuntimeDefault");
    for container in pod.containers {
        let security = container.security_context.unwrap();
        assert_eq!(security.allow_privilege_escalation, Some(false));
        assert_eq!(security.capabilities.unwrap().drop.unwrap(), ["ALL"]);
        assert_eq!(security.read_only_root_filesystem, Some(true));
    }
    let namespace: Namespace = object("namespace.yaml");
    let enforced = &namespace.metadata.labels.unwrap()["pod-security.kubernetes.io/enforce"];
    assert_eq!(enforced, "restricted");
}

#[test]
fn the_pod_keeps_secrets_from_its_group_and_memory_from_one_gateway() {
    let pod = pod();
    assert_eq!(pod.automount_service_account_token, Some(false));
    let policy = pod.security_context.unwrap().fs_group_change_policy;
    assert_eq!(policy.as_deref(), Some("OnRootMismatch"));
    let empty = pod.volumes.unwrap().into_iter().filter_map(|volume| volume.empty_dir);
    let limits: Vec<_> = empty.map(|empty| empty.size_limit.is_some()).collect();
    assert_eq!(limits, [true, true]);
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
