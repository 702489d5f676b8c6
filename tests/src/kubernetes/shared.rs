//! What all parts of the stand-in share.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::watch;

use super::access::Access;
use super::call::Call;
use super::events::Event;
use super::faults::Faults;
use super::output::{Log, Logs};
use super::store::Store;

/// A request that the server has read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// What it asks for: `get`, `list`, `watch`, `create`, `patch`, `delete`.
    pub verb: String,
    /// On what: `statefulsets`, `pods/log`.
    pub resource: String,
    /// The object's name; empty for all.
    pub name: String,
}

/// How containers run: what stands for images, volumes and nodes.
#[derive(Debug, Default)]
pub(super) struct Settings {
    /// The directories of claims.
    pub(super) claims: BTreeMap<String, PathBuf>,
    /// The environment that every image has.
    pub(super) image: BTreeMap<String, String>,
    /// How long the second restart of a container waits; the delay doubles.
    pub(super) back_off: Duration,
    /// The divisor of the periods of probes.
    pub(super) faster: u32,
    /// The number of the node that gets new Pods.
    pub(super) node: u32,
    /// The nodes that don't answer.
    pub(super) lost: BTreeSet<String>,
    /// The logs of Pods, by their IDs.
    pub(super) logs: BTreeMap<String, Logs>,
    /// The machine's number of each container's process 1, by the ID of its Pod.
    pub(super) processes: BTreeMap<String, u32>,
    /// The threads of Pods, by their IDs.
    pub(super) pods: BTreeMap<String, Sender<Event>>,
    /// Where termination messages are.
    pub(super) directory: Option<TempDir>,
}

/// The state of the stand-in.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) store: Arc<Store>,
    access: Mutex<Access>,
    faults: Mutex<Faults>,
    seen: Mutex<Vec<Seen>>,
    settings: Mutex<Settings>,
    connections: watch::Sender<u64>,
    /// How many connections were made so far.
    accepted: AtomicUsize,
}

/// The content of a lock, also after a panic, which its own thread reports.
fn lock<T, R>(mutex: &Mutex<T>, act: impl FnOnce(&mut T) -> R) -> R {
    act(&mut mutex.lock().unwrap_or_else(PoisonError::into_inner))
}

impl Shared {
    pub(super) fn new(access: Access, settings: Settings) -> Self {
        Self {
            store: Arc::new(Store::new()),
            access: Mutex::new(access),
            faults: Mutex::default(),
            seen: Mutex::default(),
            settings: Mutex::new(settings),
            connections: watch::Sender::new(0),
            accepted: AtomicUsize::new(0),
        }
    }

    pub(super) fn with_access<T>(&self, act: impl FnOnce(&mut Access) -> T) -> T {
        lock(&self.access, act)
    }

    pub(super) fn with_faults<T>(&self, act: impl FnOnce(&mut Faults) -> T) -> T {
        lock(&self.faults, act)
    }

    pub(super) fn with_settings<T>(&self, act: impl FnOnce(&mut Settings) -> T) -> T {
        lock(&self.settings, act)
    }

    /// The requests so far.
    pub(super) fn with_seen<T>(&self, act: impl FnOnce(&mut Vec<Seen>) -> T) -> T {
        lock(&self.seen, act)
    }

    pub(super) fn note(&self, call: &Call) {
        let (verb, resource) = (call.verb.to_owned(), call.path());
        let seen = Seen { verb, resource, name: call.name.clone() };
        self.with_seen(|all| all.push(seen));
    }

    pub(super) fn count_connection(&self) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
    }

    /// How many connections were made so far.
    pub(super) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Changes when all streams are to be closed.
    pub(super) fn connections(&self) -> watch::Receiver<u64> {
        self.connections.subscribe()
    }

    /// Closes the connections of all streams.
    pub(super) fn close_streams(&self) {
        self.connections.send_modify(|count| *count += 1);
    }

    /// Whether the node of `pod` does not answer.
    pub(super) fn is_lost(&self, pod: &Value) -> bool {
        let node = pod["spec"]["nodeName"].as_str().unwrap_or_default();
        self.with_settings(|settings| settings.lost.contains(node))
    }

    pub(super) fn logs(&self, pod: &str) -> Logs {
        self.with_settings(|settings| settings.logs.get(pod).cloned().unwrap_or_default())
    }

    /// Sends an event to all Pods.
    pub(super) fn tell_pods(&self, event: impl Fn() -> Event) {
        // One that has just ended needs no news.
        self.with_settings(|settings| {
            settings.pods.values().for_each(|pod| drop(pod.send(event())));
        });
    }

    /// The log of a new run of a Pod's container.
    pub(super) fn begin_log(&self, pod: &str) -> Arc<Log> {
        let log = Arc::new(Log::new());
        self.with_settings(|settings| {
            let logs = settings.logs.entry(pod.to_owned()).or_default();
            logs.previous = logs.current.replace(Arc::clone(&log));
        });
        log
    }
}
