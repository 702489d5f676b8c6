//! The end of objects: at once, or after what depends on them.

use serde_json::{Value, json};

use super::call::Call;
use super::failure::Failure;
use super::resource::Resource;
use super::store::Data;
use super::time;

/// The finalizer of an object that goes after its dependents.
const FOREGROUND: &str = "foregroundDeletion";

/// What a request says about a deletion, in its body or its URL.
#[derive(Debug)]
pub(super) struct Options {
    propagation: String,
    grace: Option<u64>,
    uid: Option<String>,
    version: Option<String>,
}

impl Options {
    pub(super) fn read(call: &Call, body: &Value) -> Result<Self, Failure> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let propagation = text(&body["propagationPolicy"])
            .or_else(|| call.option("propagationPolicy").map(str::to_owned))
            .unwrap_or_else(|| "Background".to_owned());
        if !["Background", "Foreground", "Orphan"].contains(&&*propagation) {
            let message = format!(
                "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: {propagation}"
            );
            return Err(Failure::bad_request(message));
        }
        Ok(Self {
            propagation,
            grace: body["gracePeriodSeconds"].as_u64().or(call.number("gracePeriodSeconds")?),
            uid: text(&body["preconditions"]["uid"]),
            version: text(&body["preconditions"]["resourceVersion"]),
        })
    }

    fn check(&self, resource: Resource, name: &str, metadata: &Value) -> Result<(), Failure> {
        for (key, what, wanted) in
            [("uid", "UID", &self.uid), ("resourceVersion", "ResourceVersion", &self.version)]
        {
            let wanted = wanted.as_deref().unwrap_or_default();
            if !wanted.is_empty() && metadata[key] != wanted {
                let why = format!(
                    "the {what} in the precondition ({wanted}) does not match the {what} in record ({}). \
                     The object might have been deleted and then recreated",
                    metadata[key].as_str().unwrap_or_default()
                );
                return Err(Failure::conflict(resource, name, &why));
            }
        }
        Ok(())
    }
}

/// Deletes an object; what the request is answered.
pub(super) fn delete(data: &mut Data, call: &Call, options: &Options) -> Result<Value, Failure> {
    let (resource, name) = (call.resource, call.name.as_str());
    let object = data.get(resource, name).ok_or_else(|| Failure::not_found(resource, name))?;
    let metadata = &object["metadata"];
    options.check(resource, name, metadata)?;
    if resource == Resource::Pods {
        let own = object["spec"]["terminationGracePeriodSeconds"].as_u64().unwrap_or(30);
        end_pod(data, name, options.grace.unwrap_or(own));
        return Ok(data.get(resource, name).as_deref().unwrap_or(&object).clone());
    }
    match &*options.propagation {
        "Foreground" => {
            data.update(resource, name, |object| {
                mark(&mut object["metadata"], 0);
                object["metadata"]["finalizers"] = json!([FOREGROUND]);
            });
            return Ok(data.get(resource, name).as_deref().unwrap_or(&object).clone());
        }
        "Orphan" => {
            for pod in owned(data, metadata["uid"].as_str().unwrap_or_default()) {
                data.update(Resource::Pods, &pod, |pod| {
                    pod["metadata"]["ownerReferences"].take();
                });
            }
        }
        _ => {}
    }
    data.remove(resource, name);
    Ok(json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
        "details": {
            "name": name, "group": resource.group(), "kind": resource.plural(), "uid": metadata["uid"],
        },
    }))
}

fn mark(metadata: &mut Value, grace: u64) {
    if metadata["deletionTimestamp"].is_null() {
        let end = jiff::Timestamp::now() + std::time::Duration::from_secs(grace);
        metadata["deletionTimestamp"] = time::seconds(end).into();
    }
    metadata["deletionGracePeriodSeconds"] = grace.into();
}

/// Asks the kubelet to end a Pod within `grace` seconds. With 0 the object goes at once, whatever becomes of its processes.
pub(super) fn end_pod(data: &mut Data, name: &str, grace: u64) {
    let Some(pod) = data.get(Resource::Pods, name) else { return };
    let former = pod["metadata"]["deletionGracePeriodSeconds"].as_u64();
    if grace == 0 {
        data.remove(Resource::Pods, name);
    } else if former.is_none_or(|former| grace < former) {
        data.update(Resource::Pods, name, |pod| mark(&mut pod["metadata"], grace));
    }
}

/// The names of the Pods whose owner has this ID.
pub(super) fn owned(data: &Data, uid: &str) -> Vec<String> {
    let is_owned = |pod: &&std::sync::Arc<Value>| owner(pod) == Some(uid);
    let name = |pod: &std::sync::Arc<Value>| pod["metadata"]["name"].as_str().map(str::to_owned);
    data.all(Resource::Pods).filter(is_owned).filter_map(name).collect()
}

/// The ID of a Pod's owner.
pub(super) fn owner(pod: &Value) -> Option<&str> {
    pod["metadata"]["ownerReferences"][0]["uid"].as_str()
}

/// Whether an object waits for its end.
pub(super) fn is_ending(object: &Value) -> bool {
    !object["metadata"]["deletionTimestamp"].is_null()
}
