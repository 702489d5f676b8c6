//! What becomes of a request about objects: read, make, apply, patch, scale, delete.

use std::collections::BTreeSet;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::admission;
use super::call::Call;
use super::deletion::{self, Options};
use super::failure::Failure;
use super::fields;
use super::owners::{Manager, Owners};
use super::store::{Data, Record};
use super::time;

/// An answer: the HTTP status and the object.
pub(super) type Answer = Result<(u16, Value), Failure>;

/// The body of a request.
#[derive(Debug)]
pub(super) struct Content {
    /// The header `Content-Type`.
    pub(super) kind: String,
    pub(super) bytes: Vec<u8>,
    /// The header `User-Agent`, whose beginning names a field manager.
    pub(super) agent: String,
}

impl Content {
    fn json(&self) -> Result<Value, Failure> {
        if self.bytes.is_empty() {
            return Ok(Value::Null);
        }
        let read = serde_json::from_slice(&self.bytes);
        read.map_err(|error| Failure::bad_request(format!("the body is not JSON: {error}")))
    }

    fn manager<'a>(&'a self, call: &'a Call) -> &'a str {
        let agent = self.agent.split('/').next().filter(|agent| !agent.is_empty());
        call.option("fieldManager").or(agent).unwrap_or("unknown")
    }
}

/// Answers any request but a watch or one for a log.
pub(super) fn answer(data: &mut Data, call: &Call, content: &Content) -> Answer {
    match (call.verb, call.subresource) {
        ("get", None) => Ok((200, (*found(data, call)?.object).clone())),
        ("list", None) => list(data, call),
        ("create", None) => create(data, call, content),
        ("patch", None) => patch(data, call, content),
        ("delete", None) => {
            let options = Options::read(call, &content.json()?)?;
            Ok((200, deletion::delete(data, call, &options)?))
        }
        ("get", Some("scale")) => Ok((200, scale_of(&found(data, call)?.object))),
        ("patch" | "update", Some("scale")) => scale(data, call, content),
        _ => Err(Failure::no_method()),
    }
}

fn found(data: &Data, call: &Call) -> Result<Record, Failure> {
    let record = data.record(call.resource, &call.name).cloned();
    record.ok_or_else(|| Failure::not_found(call.resource, &call.name))
}

/// One page of a list. A page after the first one names the version of the first.
fn list(data: &Data, call: &Call) -> Answer {
    let selector = call.selector()?;
    let (mut version, mut after) = (data.version(), None);
    if let Some(token) = call.option("continue").filter(|token| !token.is_empty()) {
        let token = BASE64_URL_SAFE_NO_PAD.decode(token).ok();
        let token = token.and_then(|token| serde_json::from_slice::<(u64, String)>(&token).ok());
        let (of, name) = token.ok_or_else(|| Failure::bad_request("continue key is not valid"))?;
        if of < data.forgotten() {
            return Err(Failure::expired(
                "The provided continue parameter is too old to display a consistent list result. You can start a \
                 new list without the continue parameter.",
            ));
        }
        (version, after) = (of, Some(name));
    }
    let limit = call.number("limit")?.filter(|limit| *limit > 0);
    let limit = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let name = |object: &Arc<Value>| object["metadata"]["name"].as_str().map(str::to_owned);
    let all = data.all(call.resource).filter(|object| selector.matches(object));
    let rest: Vec<_> = all.filter(|object| after.is_none() || name(object) > after).collect();
    let page = &rest[..limit.min(rest.len())];
    let mut metadata = json!({ "resourceVersion": version.to_string() });
    if page.len() < rest.len() {
        let last = page.last().and_then(|object| name(object));
        let token = serde_json::to_vec(&(version, last)).expect("JSON");
        metadata["continue"] = BASE64_URL_SAFE_NO_PAD.encode(token).into();
        metadata["remainingItemCount"] = (rest.len() - page.len()).into();
    }
    // The items of a list don't say their kind.
    let item = |object: &&Arc<Value>| {
        let mut item = (***object).clone();
        let map = item.as_object_mut().expect("an object");
        map.retain(|key, _| key != "kind" && key != "apiVersion");
        item
    };
    let items: Vec<_> = page.iter().map(item).collect();
    let list = json!({
        "kind": format!("{}List", call.resource.kind()), "apiVersion": call.resource.api_version(),
        "metadata": metadata, "items": items,
    });
    Ok((200, list))
}

fn create(data: &mut Data, call: &Call, content: &Content) -> Answer {
    let object = content.json()?;
    let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    if data.get(call.resource, &name).is_some() {
        return Err(Failure::already_exists(call.resource, &name));
    }
    let mut owners = Owners::default();
    let made = admit(call, None, object)?;
    owners.update(&Manager::new(content.manager(call), "Update"), None, &made);
    Ok((201, store(data, call, made, owners)))
}

fn patch(data: &mut Data, call: &Call, content: &Content) -> Answer {
    let before = data.record(call.resource, &call.name).cloned();
    let patch = content.json()?;
    let kind = content.kind.split(';').next().unwrap_or_default();
    let mut owners = before.as_ref().map(|record| record.owners.clone()).unwrap_or_default();
    let live = before.as_ref().map(|record| &*record.object);
    if kind == "application/apply-patch+yaml" {
        let Some(manager) = call.option("fieldManager") else {
            let message = "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for \
                           apply patch";
            return Err(Failure::bad_request(message));
        };
        is_of(call, &patch)?;
        let manager = Manager::new(manager, "Apply");
        let applied = owners.apply(&manager, live, &patch, call.is("force"));
        let applied = applied.map_err(|conflicts| Failure::owned_by_others(&conflicts))?;
        let object = admit(call, live, applied)?;
        let code = if live.is_some() { 200 } else { 201 };
        return Ok((code, store(data, call, object, owners)));
    }
    if kind != "application/merge-patch+json" {
        return Err(Failure::unsupported(kind));
    }
    let live = live.ok_or_else(|| Failure::not_found(call.resource, &call.name))?;
    let mut object = live.clone();
    fields::merge_patch(&mut object, &patch);
    let object = admit(call, Some(live), object)?;
    owners.update(&Manager::new(content.manager(call), "Update"), Some(live), &object);
    Ok((200, store(data, call, object, owners)))
}

/// Checks that an applied object is of the kind and the name in the URL.
fn is_of(call: &Call, object: &Value) -> Result<(), Failure> {
    let kind = (object["apiVersion"].as_str(), object["kind"].as_str());
    if kind != (Some(call.resource.api_version()), Some(call.resource.kind())) {
        return Err(Failure::bad_request(format!("invalid object type: {kind:?}")));
    }
    let name = &object["metadata"]["name"];
    if !name.is_null() && *name != call.name.as_str() {
        let message = format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            call.name
        );
        return Err(Failure::bad_request(message));
    }
    Ok(())
}

/// The object as it is stored: with defaults, checked, and with what the server alone sets.
fn admit(call: &Call, before: Option<&Value>, mut object: Value) -> Result<Value, Failure> {
    admission::set_defaults(call.resource, &mut object);
    let metadata = &mut object["metadata"];
    if !call.name.is_empty() {
        metadata["name"] = call.name.as_str().into();
    }
    metadata["namespace"] = super::NAMESPACE.into();
    match before {
        Some(before) => {
            let given = metadata["resourceVersion"].as_str().unwrap_or_default();
            if !given.is_empty() && before["metadata"]["resourceVersion"] != given {
                let why = "the object has been modified; please apply your changes to the latest version and try again";
                return Err(Failure::conflict(call.resource, &call.name, why));
            }
            for key in ["uid", "creationTimestamp", "generation", "deletionTimestamp"] {
                metadata[key] = before["metadata"][key].clone();
                if metadata[key].is_null() {
                    metadata.as_object_mut().expect("an object").remove(key);
                }
            }
            object["status"] = before["status"].clone();
            if object["spec"] != before["spec"] {
                let generation = before["metadata"]["generation"].as_u64().unwrap_or_default();
                object["metadata"]["generation"] = (generation + 1).into();
            }
        }
        None => {
            metadata["uid"] = super::uid().into();
            metadata["creationTimestamp"] = time::now().into();
            metadata["generation"] = 1.into();
            object["status"] = json!({ "replicas": 0 });
        }
    }
    admission::check(call.resource, before, &object)?;
    Ok(object)
}

fn store(data: &mut Data, call: &Call, object: Value, owners: Owners) -> Value {
    match call.option("dryRun") {
        Some(_) => object,
        None => (*data.put(call.resource, object, owners)).clone(),
    }
}

/// The subresource `scale`, which leaves out 0.
fn scale_of(set: &Value) -> Value {
    let metadata = &set["metadata"];
    let mut scale = json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"], "creationTimestamp": metadata["creationTimestamp"],
        },
        "spec": {},
        "status": { "replicas": set["status"]["replicas"].as_u64().unwrap_or_default() },
    });
    if set["spec"]["replicas"] != 0 {
        scale["spec"]["replicas"] = set["spec"]["replicas"].clone();
    }
    scale
}

/// Sets the number of replicas. Whoever owned it does so no more; since `Scale` leaves out 0, nobody owns a 0.
fn scale(data: &mut Data, call: &Call, content: &Content) -> Answer {
    let Record { object: live, mut owners } = found(data, call)?;
    let mut scale = scale_of(&live);
    fields::merge_patch(&mut scale, &content.json()?);
    let mut object = (*live).clone();
    object["spec"]["replicas"] = scale["spec"]["replicas"].as_u64().unwrap_or_default().into();
    let object = admit(call, Some(&live), object)?;
    let mut manager = Manager::new(content.manager(call), "Update");
    manager.subresource = "scale";
    owners.update(&manager, Some(&live), &object);
    if object["spec"]["replicas"] == 0 {
        owners.disown(&BTreeSet::from([vec!["f:spec".to_owned(), "f:replicas".to_owned()]]));
    }
    let stored = store(data, call, object, owners);
    Ok((200, scale_of(&stored)))
}
