//! The fields of an object by path, and objects merged by them, as server-side apply sees them.
//!
//! A path has the elements of `fieldsV1`: `f:NAME` for a key, `k:{…}` for an item of a list that is a map by some of its
//! keys, and `.` for the item itself. Which lists are such maps is in the published schema (`x-kubernetes-list-map-keys`).

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// Where a field is.
pub(super) type Path = Vec<String>;

/// The keys that tell apart the items of the list at `path`; `None` if the list is replaced as a whole.
fn list_keys(path: &[String]) -> Option<&'static [&'static str]> {
    match path.last()?.as_str() {
        "f:containers" | "f:initContainers" | "f:volumes" | "f:env" => Some(&["name"]),
        "f:volumeMounts" => Some(&["mountPath"]),
        "f:ports" if path.iter().any(|part| part == "f:containers") => {
            Some(&["containerPort", "protocol"])
        }
        "f:ports" => Some(&["port", "protocol"]),
        "f:ownerReferences" => Some(&["uid"]),
        _ => None,
    }
}

/// Whether the map at `path` is replaced as a whole (`x-kubernetes-map-type: atomic`).
fn is_atomic(path: &[String]) -> bool {
    path.last().is_some_and(|last| last == "f:selector" || last == "f:fieldRef")
}

/// The element of the path of `item`.
fn element(keys: &[&str], item: &Value) -> String {
    let value = |key: &&str| match (&item[*key], *key) {
        (Value::Null, "protocol") => "TCP".into(),
        (value, _) => value.clone(),
    };
    let map: Map<_, _> = keys.iter().map(|key| ((*key).to_owned(), value(key))).collect();
    format!("k:{}", Value::Object(map))
}

/// What the server itself sets, which is nobody's.
fn is_of_the_server(path: &[String]) -> bool {
    let names: Vec<_> = path.iter().map(String::as_str).collect();
    match names[..] {
        ["f:apiVersion" | "f:kind" | "f:status", ..] => true,
        ["f:metadata", name, ..] => {
            !["f:labels", "f:annotations", "f:ownerReferences", "f:finalizers"].contains(&name)
        }
        _ => false,
    }
}

/// The paths of all fields of `object` that can have an owner.
pub(super) fn fields(object: &Value) -> BTreeSet<Path> {
    let mut found = BTreeSet::new();
    collect(object, &mut Vec::new(), &mut found);
    found.retain(|path| !is_of_the_server(path));
    found
}

fn collect(value: &Value, path: &mut Path, found: &mut BTreeSet<Path>) {
    match value {
        Value::Object(map) if !map.is_empty() && !is_atomic(path) => {
            for (key, value) in map {
                path.push(format!("f:{key}"));
                collect(value, path, found);
                path.pop();
            }
        }
        Value::Array(items) if list_keys(path).is_some() => {
            let keys = list_keys(path).unwrap_or_default();
            for item in items {
                path.push(element(keys, item));
                found.insert([&path[..], &[".".to_owned()]].concat());
                collect(item, path, found);
                path.pop();
            }
        }
        _ => {
            found.insert(path.clone());
        }
    }
}

/// The value at `path`.
pub(super) fn get<'a>(object: &'a Value, path: &[String]) -> Option<&'a Value> {
    let mut value = object;
    for (index, part) in path.iter().enumerate() {
        value = match part.strip_prefix("f:") {
            Some(key) => value.get(key)?,
            None if part == "." => value,
            None => {
                let keys = list_keys(&path[..index])?;
                value.as_array()?.iter().find(|item| element(keys, item) == *part)?
            }
        };
    }
    Some(value)
}

/// Removes what is at `path`, and what is empty thereby.
pub(super) fn remove(object: &mut Value, path: &[String]) {
    let before = path.to_vec();
    remove_below(object, &before, 0);
}

fn remove_below(value: &mut Value, path: &[String], depth: usize) {
    let Some(part) = path.get(depth) else { return };
    let is_last = depth + 1 == path.len();
    if let Some(key) = part.strip_prefix("f:") {
        let Some(map) = value.as_object_mut() else { return };
        let Some(below) = map.get_mut(key) else { return };
        remove_below(below, path, depth + 1);
        let is_empty = match below {
            Value::Object(map) => map.is_empty(),
            Value::Array(items) => items.is_empty(),
            _ => false,
        };
        if is_last || is_empty {
            map.remove(key);
        }
    } else if let (Some(keys), Some(items)) = (list_keys(&path[..depth]), value.as_array_mut()) {
        if path.get(depth + 1).is_some_and(|next| next == ".") {
            items.retain(|item| element(keys, item) != *part);
        } else if let Some(item) = items.iter_mut().find(|item| element(keys, item) == *part) {
            remove_below(item, path, depth + 1);
        }
    }
}

/// Puts the fields of `applied` into `object`, and leaves the others.
pub(super) fn merge(object: &mut Value, applied: &Value) {
    merge_below(object, applied, &mut Vec::new());
}

fn merge_below(value: &mut Value, applied: &Value, path: &mut Path) {
    match (value, applied) {
        (Value::Object(map), Value::Object(new)) if !is_atomic(path) => {
            for (key, new) in new {
                path.push(format!("f:{key}"));
                merge_below(map.entry(key.clone()).or_insert(Value::Null), new, path);
                path.pop();
            }
        }
        (Value::Array(items), Value::Array(new)) if list_keys(path).is_some() => {
            let keys = list_keys(path).unwrap_or_default();
            for new in new {
                let element = element(keys, new);
                let old = items.iter_mut().find(|item| self::element(keys, item) == element);
                path.push(element);
                match old {
                    Some(old) => merge_below(old, new, path),
                    None => items.push(new.clone()),
                }
                path.pop();
            }
        }
        (value, new) => *value = new.clone(),
    }
}

/// Changes `object` as RFC 7396 says: null removes, other lists than maps are replaced.
pub(super) fn merge_patch(object: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *object = patch.clone();
        return;
    };
    if !object.is_object() {
        *object = Value::Object(Map::new());
    }
    let Some(map) = object.as_object_mut() else { return };
    for (key, value) in patch {
        if value.is_null() {
            map.remove(key);
        } else {
            merge_patch(map.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}
