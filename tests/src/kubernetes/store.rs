//! The objects, their versions and what happened to them, in the memory of the test.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::sync::watch;

use super::owners::Owners;
use super::resource::Resource;

/// What happened to an object.
#[derive(Debug, Clone)]
pub(super) struct Change {
    pub(super) version: u64,
    pub(super) resource: Resource,
    /// Before it; `None` if the object is new.
    pub(super) before: Option<Arc<Value>>,
    /// After it. Of an object that is gone, the last state with the version of its end.
    pub(super) object: Arc<Value>,
    pub(super) is_gone: bool,
}

/// An object and who set its fields.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) object: Arc<Value>,
    pub(super) owners: Owners,
}

/// The objects. One thread at a time has them.
#[derive(Debug, Default)]
pub(super) struct Data {
    version: u64,
    /// Changes up to this version are forgotten.
    forgotten: u64,
    records: BTreeMap<(Resource, String), Record>,
    changes: Vec<Change>,
    is_over: bool,
}

impl Data {
    /// The version of the last change.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// Up to which version changes are forgotten.
    pub(super) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Whether the cluster ends.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// Forgets all changes so far, as the server does after some minutes.
    pub(super) fn forget(&mut self) {
        self.version += 1;
        self.forgotten = self.version;
    }

    /// The changes after `version`.
    pub(super) fn since(&self, version: u64) -> Vec<Change> {
        let begin = self.changes.partition_point(|change| change.version <= version);
        self.changes[begin..].to_vec()
    }

    pub(super) fn record(&self, resource: Resource, name: &str) -> Option<&Record> {
        self.records.get(&(resource, name.to_owned()))
    }

    pub(super) fn get(&self, resource: Resource, name: &str) -> Option<Arc<Value>> {
        self.record(resource, name).map(|record| Arc::clone(&record.object))
    }

    /// The objects of a kind, by name.
    pub(super) fn all(&self, resource: Resource) -> impl Iterator<Item = &Arc<Value>> {
        let of = self.records.range((resource, String::new())..);
        let of = of.take_while(move |((kind, _), _)| *kind == resource);
        of.map(|(_, record)| &record.object)
    }

    /// Stores an object, with a new version if it is another one than before.
    pub(super) fn put(
        &mut self,
        resource: Resource,
        mut object: Value,
        owners: Owners,
    ) -> Arc<Value> {
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let key = (resource, name);
        let before = self.records.get(&key);
        object["metadata"]["managedFields"] = owners.render(resource);
        if let Some(before) = before {
            object["metadata"]["resourceVersion"] =
                before.object["metadata"]["resourceVersion"].clone();
            if object == *before.object {
                return Arc::clone(&before.object);
            }
        }
        let before = before.map(|record| Arc::clone(&record.object));
        self.version += 1;
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        let object = Arc::new(object);
        self.records.insert(key, Record { object: Arc::clone(&object), owners });
        let (version, object, is_gone) = (self.version, object, false);
        let result = Arc::clone(&object);
        self.changes.push(Change { version, resource, before, object, is_gone });
        result
    }

    /// Changes an object with `change`, if it is there, and leaves its owners.
    pub(super) fn update(
        &mut self,
        resource: Resource,
        name: &str,
        change: impl FnOnce(&mut Value),
    ) {
        if let Some(record) = self.record(resource, name).cloned() {
            let mut object = (*record.object).clone();
            change(&mut object);
            self.put(resource, object, record.owners);
        }
    }

    /// Removes an object.
    pub(super) fn remove(&mut self, resource: Resource, name: &str) {
        let Some(record) = self.records.remove(&(resource, name.to_owned())) else { return };
        self.version += 1;
        let mut object = (*record.object).clone();
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        self.changes.push(Change {
            version: self.version,
            resource,
            before: Some(record.object),
            object: Arc::new(object),
            is_gone: true,
        });
    }
}

/// The objects, for all threads.
#[derive(Debug)]
pub(super) struct Store {
    data: Mutex<Data>,
    changed: Condvar,
    latest: watch::Sender<u64>,
}

impl Store {
    pub(super) fn new() -> Self {
        Self {
            data: Mutex::new(Data::default()),
            changed: Condvar::new(),
            latest: watch::Sender::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Data> {
        // A panic of another thread is reported there.
        self.data.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls `act` with the objects, and wakes who waits for a change.
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut Data) -> T) -> T {
        let mut data = self.lock();
        let before = data.version;
        let result = act(&mut data);
        if data.version != before || data.is_over {
            self.changed.notify_all();
            self.latest.send_replace(data.version);
        }
        result
    }

    pub(super) fn get(&self, resource: Resource, name: &str) -> Option<Arc<Value>> {
        self.lock().get(resource, name)
    }

    /// Ends the waits of all threads.
    pub(super) fn end(&self) {
        self.with(|data| data.is_over = true);
    }

    /// Blocks until something happened after `version`; `None` at the end of the cluster.
    pub(super) fn wait(&self, version: u64) -> Option<Vec<Change>> {
        let data = self.lock();
        let waits = |data: &mut Data| data.version <= version && !data.is_over;
        let data = self.changed.wait_while(data, waits).unwrap_or_else(PoisonError::into_inner);
        (!data.is_over).then(|| data.since(version))
    }

    /// What reports every version to tasks.
    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.latest.subscribe()
    }
}
