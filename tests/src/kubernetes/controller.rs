//! The controller of StatefulSets and the garbage collector: Pods as sets want them.
//!
//! One thread looks at what changed. It works on the set of a changed Pod, and on a changed set.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use serde_json::{Value, json};

use super::admission::is_label_value;
use super::deletion::{end_pod, is_ending, owned, owner};
use super::owners::Owners;
use super::resource::Resource;
use super::shared::Shared;
use super::store::{Change, Data};
use super::time;

/// The label with the revision of the template that a Pod was made of.
const REVISION: &str = "controller-revision-hash";

/// Runs until the cluster ends.
pub(super) fn run(shared: &Arc<Shared>) {
    let mut seen = 0;
    while let Some(changes) = shared.store.wait(seen) {
        let node = shared.with_settings(|settings| format!("node-{}", settings.node));
        seen = changes
            .last()
            .map_or_else(|| shared.store.with(|data| data.version()), |last| last.version);
        let names: BTreeSet<_> = changes.iter().filter_map(set_of).collect();
        for name in names {
            shared.store.with(|data| reconcile(data, &name, &node));
        }
    }
}

/// The name of the set that a change is about.
fn set_of(change: &Change) -> Option<String> {
    let name = change.object["metadata"]["name"].as_str()?;
    match change.resource {
        Resource::StatefulSets => Some(name.to_owned()),
        Resource::Pods => Some(name.rsplit_once('-')?.0.to_owned()),
        _ => None,
    }
}

fn reconcile(data: &mut Data, name: &str, node: &str) {
    collect_garbage(data, name);
    let Some(set) = data.get(Resource::StatefulSets, name) else { return };
    let uid = set["metadata"]["uid"].as_str().unwrap_or_default();
    let pods = owned(data, uid);
    if is_ending(&set) {
        if pods.is_empty() {
            data.remove(Resource::StatefulSets, name);
        }
        pods.iter().for_each(|pod| end(data, pod));
        return;
    }
    adopt(data, &set);
    let wanted = set["spec"]["replicas"].as_u64().unwrap_or_default();
    let revision = revision(&set);
    for ordinal in 0..wanted {
        let pod = format!("{name}-{ordinal}");
        match data.get(Resource::Pods, &pod) {
            None => make(data, &set, ordinal, &revision, node),
            // The name of a Pod that ends is free once its processes have ended.
            Some(pod) if owner(&pod) != Some(uid) || is_ending(&pod) => {}
            Some(old) if is_over(&old) || is_to_be_replaced(&set, &old, &revision) => {
                end(data, &pod);
            }
            Some(_) => {}
        }
    }
    for pod in pods {
        let ordinal = pod.rsplit_once('-').and_then(|(_, ordinal)| ordinal.parse::<u64>().ok());
        if ordinal.is_some_and(|ordinal| ordinal >= wanted) {
            end(data, &pod);
        }
    }
    report(data, &set, &revision);
}

/// Ends Pods whose set is gone.
fn collect_garbage(data: &mut Data, name: &str) {
    let set = data.get(Resource::StatefulSets, name);
    let uid = set.as_ref().and_then(|set| set["metadata"]["uid"].as_str());
    let is_orphan = |pod: &&Arc<Value>| {
        let reference = &pod["metadata"]["ownerReferences"][0];
        reference["name"] == name && reference["uid"].as_str() != uid
    };
    let pods: Vec<_> = data.all(Resource::Pods).filter(is_orphan).cloned().collect();
    for pod in pods {
        end(data, pod["metadata"]["name"].as_str().unwrap_or_default());
    }
}

/// Ends a Pod in its own time, unless it ends already.
fn end(data: &mut Data, name: &str) {
    let Some(pod) = data.get(Resource::Pods, name) else { return };
    if !is_ending(&pod) {
        let grace = pod["spec"]["terminationGracePeriodSeconds"].as_u64().unwrap_or(30);
        end_pod(data, name, grace);
    }
}

/// Makes the set the owner of Pods that it selects and that have none.
fn adopt(data: &mut Data, set: &Value) {
    let name = set["metadata"]["name"].as_str().unwrap_or_default();
    let selector = set["spec"]["selector"]["matchLabels"].as_object();
    let is_its = |pod: &&Arc<Value>| {
        let labels = &pod["metadata"]["labels"];
        let number = pod["metadata"]["name"].as_str().and_then(|pod| pod.rsplit_once('-'));
        owner(pod).is_none()
            && number.is_some_and(|(of, _)| of == name)
            && selector.into_iter().flatten().all(|(key, value)| labels.get(key) == Some(value))
    };
    let pods: Vec<_> = data.all(Resource::Pods).filter(is_its).cloned().collect();
    for pod in pods {
        let pod = pod["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        data.update(Resource::Pods, &pod, |pod| {
            pod["metadata"]["ownerReferences"] = reference(set);
        });
    }
}

fn reference(set: &Value) -> Value {
    json!([{
        "apiVersion": "apps/v1", "kind": "StatefulSet", "name": set["metadata"]["name"],
        "uid": set["metadata"]["uid"], "controller": true, "blockOwnerDeletion": true,
    }])
}

/// Whether it ended for good, such as by an eviction.
fn is_over(pod: &Value) -> bool {
    ["Failed", "Succeeded"].iter().any(|phase| pod["status"]["phase"] == *phase)
}

fn is_to_be_replaced(set: &Value, pod: &Value, revision: &str) -> bool {
    let rolls = set["spec"]["updateStrategy"]["type"] == "RollingUpdate";
    // In order, a Pod that is not ready blocks every change.
    let waits = set["spec"]["podManagementPolicy"] == "OrderedReady" && !is_ready(pod);
    rolls && !waits && pod["metadata"]["labels"][REVISION] != revision
}

/// Whether the condition `Ready` of a Pod holds.
pub fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    let is = |one: &Value| one["type"] == "Ready" && one["status"] == "True";
    conditions.into_iter().flatten().any(is)
}

/// The name of the template's revision: a hash in ten of the characters that Kubernetes takes.
fn revision(set: &Value) -> String {
    const CHARACTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut hasher = DefaultHasher::new();
    set["spec"]["template"].to_string().hash(&mut hasher);
    let mut hash = hasher.finish();
    let mut name = set["metadata"]["name"].as_str().unwrap_or_default().to_owned() + "-";
    for _ in 0..10 {
        let index = hash % CHARACTERS.len() as u64;
        name.push(char::from(CHARACTERS[usize::try_from(index).unwrap_or_default()]));
        hash /= CHARACTERS.len() as u64;
    }
    name
}

fn make(data: &mut Data, set: &Value, ordinal: u64, revision: &str, node: &str) {
    if !is_label_value(revision) {
        // As with Kubernetes, the Pod of a set with a long name is refused, and the set stays without.
        return;
    }
    let name = format!("{}-{ordinal}", set["metadata"]["name"].as_str().unwrap_or_default());
    let mut pod = set["spec"]["template"].clone();
    pod["apiVersion"] = "v1".into();
    pod["kind"] = "Pod".into();
    pod["spec"]["nodeName"] = node.into();
    pod["spec"]["hostname"] = name.as_str().into();
    pod["spec"]["subdomain"] = set["spec"]["serviceName"].clone();
    pod["status"] = json!({ "phase": "Pending", "qosClass": "Burstable", "conditions": [] });
    let metadata = &mut pod["metadata"];
    metadata["labels"]["apps.kubernetes.io/pod-index"] = ordinal.to_string().into();
    metadata["labels"]["statefulset.kubernetes.io/pod-name"] = name.as_str().into();
    metadata["labels"][REVISION] = revision.into();
    metadata["generateName"] =
        format!("{}-", name.trim_end_matches(char::is_numeric).trim_end_matches('-')).into();
    metadata["name"] = name.into();
    metadata["namespace"] = super::NAMESPACE.into();
    metadata["uid"] = super::uid().into();
    metadata["creationTimestamp"] = time::now().into();
    metadata["ownerReferences"] = reference(set);
    data.put(Resource::Pods, pod, Owners::default());
}

/// Writes the status of the set.
fn report(data: &mut Data, set: &Value, revision: &str) {
    let uid = set["metadata"]["uid"].as_str().unwrap_or_default();
    let pods: Vec<_> =
        owned(data, uid).iter().filter_map(|pod| data.get(Resource::Pods, pod)).collect();
    let count = |is: &dyn Fn(&Value) -> bool| pods.iter().filter(|pod| is(pod)).count();
    let of = |pod: &Value| pod["metadata"]["labels"][REVISION].as_str().map(str::to_owned);
    let current = pods.first().and_then(|pod| of(pod)).unwrap_or_else(|| revision.to_owned());
    let ready = count(&is_ready);
    let status = json!({
        "observedGeneration": set["metadata"]["generation"],
        "replicas": pods.len(), "readyReplicas": ready, "availableReplicas": ready,
        "currentReplicas": count(&|pod| of(pod).as_deref() == Some(&*current)),
        "updatedReplicas": count(&|pod| of(pod).as_deref() == Some(revision)),
        "currentRevision": current, "updateRevision": revision, "collisionCount": 0,
    });
    let name = set["metadata"]["name"].as_str().unwrap_or_default();
    data.update(Resource::StatefulSets, name, |set| set["status"] = status);
}
