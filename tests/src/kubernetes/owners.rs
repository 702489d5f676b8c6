//! Who set which field of an object (`metadata.managedFields`), and server-side apply by it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::fields::{self, Path};
use super::resource::Resource;

/// One who sets fields, and how: the operation is `Apply` or `Update`, the subresource often empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Manager {
    pub(super) name: String,
    pub(super) operation: &'static str,
    pub(super) subresource: &'static str,
}

impl Manager {
    pub(super) fn new(name: &str, operation: &'static str) -> Self {
        Self { name: name.to_owned(), operation, subresource: "" }
    }
}

/// The owners of an object's fields.
#[derive(Debug, Clone, Default)]
pub(super) struct Owners(BTreeMap<Manager, (Timestamp, BTreeSet<Path>)>);

impl Owners {
    /// The object after `manager` has applied `applied` to `live`; without `force`, an error are the fields of others that
    /// it would change, each with its owner.
    pub(super) fn apply(
        &mut self,
        manager: &Manager,
        live: Option<&Value>,
        applied: &Value,
        force: bool,
    ) -> Result<Value, Vec<(String, String)>> {
        let new = fields::fields(applied);
        let mut object = live.cloned().unwrap_or_else(|| json!({}));
        let differs = |path: &Path| fields::get(&object, path) != fields::get(applied, path);
        let changed: BTreeSet<_> =
            new.iter().filter(|path| !is_item(path) && differs(path)).cloned().collect();
        let others = self.0.iter().filter(|(other, _)| *other != manager);
        let conflicts: Vec<_> = others
            .flat_map(|(other, (_, set))| {
                set.intersection(&changed).map(|path| (describe(other), dotted(path)))
            })
            .collect();
        if !force && !conflicts.is_empty() {
            return Err(conflicts);
        }
        let old = self.0.remove(manager).map(|(_, set)| set).unwrap_or_default();
        self.disown(&changed);
        // Items first: their fields go with them.
        let mut given_up: Vec<_> = old.difference(&new).collect();
        given_up.sort_by_key(|path| !is_item(path));
        for path in given_up {
            if !self.0.values().any(|(_, set)| set.contains(path)) {
                fields::remove(&mut object, path);
            }
        }
        fields::merge(&mut object, applied);
        self.0.insert(manager.clone(), (Timestamp::now(), new));
        Ok(object)
    }

    /// Records that `manager` has made `after` of `before` in another way than by applying.
    pub(super) fn update(&mut self, manager: &Manager, before: Option<&Value>, after: &Value) {
        let is_new = |path: &&Path| match before {
            Some(before) if is_item(path) => fields::get(before, path).is_none(),
            Some(before) => fields::get(before, path) != fields::get(after, path),
            None => true,
        };
        let all = fields::fields(after);
        let changed: BTreeSet<_> = all.iter().filter(is_new).cloned().collect();
        self.disown(&changed);
        for (_, set) in self.0.values_mut() {
            set.retain(|path| fields::get(after, path).is_some());
        }
        if !changed.is_empty() {
            let entry = self.0.entry(manager.clone());
            let (time, set) = entry.or_insert_with(|| (Timestamp::now(), BTreeSet::new()));
            *time = Timestamp::now();
            set.extend(changed);
        }
        self.0.retain(|_, (_, set)| !set.is_empty());
    }

    /// Takes these fields from everybody.
    pub(super) fn disown(&mut self, paths: &BTreeSet<Path>) {
        for (_, set) in self.0.values_mut() {
            set.retain(|path| !paths.contains(path));
        }
        self.0.retain(|_, (_, set)| !set.is_empty());
    }

    /// `metadata.managedFields`.
    pub(super) fn render(&self, resource: Resource) -> Value {
        let entry = |(manager, (time, set)): (&Manager, &(Timestamp, BTreeSet<Path>))| {
            let mut tree = Value::Object(Map::new());
            for path in set {
                let mut at = &mut tree;
                for part in path {
                    at = &mut at[part.as_str()];
                    if at.is_null() {
                        *at = Value::Object(Map::new());
                    }
                }
            }
            let mut entry = json!({
                "manager": manager.name, "operation": manager.operation,
                "apiVersion": resource.api_version(), "time": super::time::seconds(*time),
                "fieldsType": "FieldsV1", "fieldsV1": tree,
            });
            if !manager.subresource.is_empty() {
                entry["subresource"] = manager.subresource.into();
            }
            entry
        };
        self.0.iter().map(entry).collect()
    }
}

/// Whether a path is of an item of a list, not of a field.
fn is_item(path: &Path) -> bool {
    path.last().is_some_and(|last| last == ".")
}

fn describe(manager: &Manager) -> String {
    match manager.operation {
        "Apply" => format!("\"{}\"", manager.name),
        _ => format!("\"{}\" using apps/v1", manager.name),
    }
}

/// The path as messages have it: `.spec.replicas`.
fn dotted(path: &Path) -> String {
    let part = |part: &String| match part.strip_prefix("f:") {
        Some(name) => format!(".{name}"),
        None => {
            format!("[{}]", part.trim_start_matches("k:{").trim_end_matches('}').replace(':', "="))
        }
    };
    path.iter().map(part).collect()
}
