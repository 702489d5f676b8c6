//! What the API server sets in a StatefulSet that leaves it out, and what it refuses.

use serde_json::{Value, json};

use super::failure::Failure;
use super::resource::Resource;

/// The fields of a StatefulSet's `spec` that an update may change.
const MUTABLE: [&str; 7] = [
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
];

/// Sets what `object` leaves out.
pub(super) fn set_defaults(resource: Resource, object: &mut Value) {
    object["apiVersion"] = resource.api_version().into();
    object["kind"] = resource.kind().into();
    if resource != Resource::StatefulSets {
        return;
    }
    let Some(spec) = object.get_mut("spec").filter(|spec| spec.is_object()) else { return };
    set(spec, "replicas", json!(1));
    set(spec, "podManagementPolicy", json!("OrderedReady"));
    set(spec, "revisionHistoryLimit", json!(10));
    set(spec, "updateStrategy", json!({ "type": "RollingUpdate" }));
    set(
        spec,
        "persistentVolumeClaimRetentionPolicy",
        json!({ "whenDeleted": "Retain", "whenScaled": "Retain" }),
    );
    let Some(pod) = spec.pointer_mut("/template/spec").filter(|pod| pod.is_object()) else {
        return;
    };
    set(pod, "restartPolicy", json!("Always"));
    set(pod, "terminationGracePeriodSeconds", json!(30));
    set(pod, "dnsPolicy", json!("ClusterFirst"));
    set(pod, "schedulerName", json!("default-scheduler"));
    set(pod, "securityContext", json!({}));
    for container in pod["containers"].as_array_mut().into_iter().flatten() {
        set(container, "terminationMessagePath", json!("/dev/termination-log"));
        set(container, "terminationMessagePolicy", json!("File"));
        set(container, "imagePullPolicy", json!("IfNotPresent"));
        set(container, "resources", json!({}));
        for port in container["ports"].as_array_mut().into_iter().flatten() {
            set(port, "protocol", json!("TCP"));
        }
        for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
            let Some(probe) = container.get_mut(name) else { continue };
            set(probe, "timeoutSeconds", json!(1));
            set(probe, "periodSeconds", json!(10));
            set(probe, "successThreshold", json!(1));
            set(probe, "failureThreshold", json!(3));
            if let Some(get) = probe.get_mut("httpGet") {
                set(get, "scheme", json!("HTTP"));
            }
        }
        for variable in container["env"].as_array_mut().into_iter().flatten() {
            if let Some(field) = variable.pointer_mut("/valueFrom/fieldRef") {
                set(field, "apiVersion", json!("v1"));
            }
        }
    }
    // Reading a list that is absent has made it null.
    prune(object);
}

fn set(object: &mut Value, key: &str, value: Value) {
    if object[key].is_null() {
        object[key] = value;
    }
}

/// Removes keys without a value.
fn prune(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(prune);
        }
        Value::Array(items) => items.iter_mut().for_each(prune),
        _ => {}
    }
}

/// Checks a new object, or one that was `before`.
pub(super) fn check(
    resource: Resource,
    before: Option<&Value>,
    object: &Value,
) -> Result<(), Failure> {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let mut causes = Vec::new();
    if before.is_none() && !is_label(name) {
        let why = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and \
                   must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used \
                   for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
        let why = if name.len() > 63 { "must be no more than 63 characters" } else { why };
        causes.push(("metadata.name", format!("Invalid value: \"{name}\": {why}")));
    }
    for (key, value) in object["metadata"]["labels"].as_object().into_iter().flatten() {
        if !value.as_str().is_some_and(is_label_value) {
            let why = format!(
                "Invalid value: {value}: a valid label must be an empty string or consist of alphanumeric \
                characters, '-', '_' or '.', and must start and end with an alphanumeric character, at most 63 ({key})"
            );
            causes.push(("metadata.labels", why));
        }
    }
    if resource == Resource::StatefulSets {
        causes.extend(of_a_set(before, &object["spec"]));
    }
    match causes.is_empty() {
        true => Ok(()),
        false => Err(Failure::invalid(resource, name, &causes)),
    }
}

fn of_a_set(before: Option<&Value>, spec: &Value) -> Vec<(&'static str, String)> {
    let mut causes = Vec::new();
    let labels = &spec["template"]["metadata"]["labels"];
    let selector = spec["selector"]["matchLabels"].as_object();
    if selector.is_none_or(|selector| selector.is_empty()) {
        let why = "Required value: empty selector is invalid for statefulset".to_owned();
        causes.push(("spec.selector", why));
    } else if !selector.into_iter().flatten().all(|(key, value)| labels.get(key) == Some(value)) {
        let why = format!("Invalid value: {labels}: `selector` does not match template `labels`");
        causes.push(("spec.template.metadata.labels", why));
    }
    if spec["template"]["spec"]["containers"].as_array().is_none_or(Vec::is_empty) {
        causes.push(("spec.template.spec.containers", "Required value".to_owned()));
    }
    if spec["replicas"].as_i64().is_none_or(|replicas| replicas < 0) {
        let why =
            format!("Invalid value: {}: must be greater than or equal to 0", spec["replicas"]);
        causes.push(("spec.replicas", why));
    }
    let immutable = |spec: &Value| {
        let mut spec = spec.as_object().cloned().unwrap_or_default();
        spec.retain(|key, _| !MUTABLE.contains(&key.as_str()));
        spec
    };
    if before.is_some_and(|before| immutable(&before["spec"]) != immutable(spec)) {
        let why = "Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', \
                   'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and \
                   'minReadySeconds' are forbidden";
        causes.push(("spec", why.to_owned()));
    }
    causes
}

/// Whether it is a label of RFC 1123.
fn is_label(name: &str) -> bool {
    let is_end = |c: Option<u8>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let bytes = name.as_bytes();
    bytes.len() <= 63
        && is_end(bytes.first().copied())
        && is_end(bytes.last().copied())
        && bytes.iter().all(|c| is_end(Some(*c)) || *c == b'-')
}

/// Whether it can be the value of a label.
pub(super) fn is_label_value(value: &str) -> bool {
    let is_end = |c: Option<u8>| c.is_none_or(|c| c.is_ascii_alphanumeric());
    let bytes = value.as_bytes();
    bytes.len() <= 63
        && is_end(bytes.first().copied())
        && is_end(bytes.last().copied())
        && bytes.iter().all(|c| c.is_ascii_alphanumeric() || b"-_.".contains(c))
}
