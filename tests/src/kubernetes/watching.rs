//! Watches: a stream of the changes after a version, one JSON object a line.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::Stream;
use futures_util::stream::unfold;
use serde_json::{Value, json};
use tokio::sync::watch::Receiver;
use tokio::time::{Instant, timeout_at};

use super::call::{Call, Selector};
use super::failure::Failure;
use super::resource::Resource;
use super::store::{Change, Data, Store};

/// How long a watch lasts that does not say it.
const LASTS: Duration = Duration::from_secs(1800);

/// A watch that goes on.
struct Watch {
    store: Arc<Store>,
    resource: Resource,
    selector: Selector,
    /// What was seen of the changes.
    version: u64,
    /// What is to be sent.
    due: VecDeque<Value>,
    latest: Receiver<u64>,
    /// Changes when the server closes its connections.
    closed: Receiver<u64>,
    until: Instant,
    is_over: bool,
}

/// The lines of a watch.
pub(super) fn watch(
    store: &Arc<Store>,
    call: &Call,
    closed: Receiver<u64>,
) -> Result<impl Stream<Item = io::Result<String>> + Send + use<>, Failure> {
    let selector = call.selector()?;
    let begin = call.number("resourceVersion")?.unwrap_or_default();
    let lasts = call.number("timeoutSeconds")?.map_or(LASTS, Duration::from_secs);
    let latest = store.subscribe();
    let (due, version, is_over) = store.with(|data| first(data, call, &selector, begin));
    let (store, resource, until) = (Arc::clone(store), call.resource, Instant::now() + lasts);
    let watch = Watch { store, resource, selector, version, due, latest, closed, until, is_over };
    Ok(unfold(watch, |mut watch| async move {
        let line = watch.next().await?;
        Some((line.map(|line| format!("{line}\n")), watch))
    }))
}

/// What a watch sends first, the version from which it goes on, and whether it ends then.
fn first(
    data: &Data,
    call: &Call,
    selector: &Selector,
    begin: u64,
) -> (VecDeque<Value>, u64, bool) {
    let initial = call.is("sendInitialEvents");
    if begin == 0 || initial {
        let all = data.all(call.resource).filter(|object| selector.matches(object));
        let mut due: VecDeque<_> =
            all.map(|object| json!({ "type": "ADDED", "object": **object })).collect();
        if initial {
            due.push_back(json!({ "type": "BOOKMARK", "object": {
                "kind": call.resource.kind(), "apiVersion": call.resource.api_version(),
                "metadata": {
                    "resourceVersion": data.version().to_string(),
                    "annotations": { "k8s.io/initial-events-end": "true" },
                },
            } }));
        }
        return (due, data.version(), false);
    }
    if begin < data.forgotten() {
        return (VecDeque::from([too_old(begin, data.forgotten())]), begin, true);
    }
    (VecDeque::new(), begin, false)
}

/// The event of a version whose following changes are forgotten.
fn too_old(begin: u64, forgotten: u64) -> Value {
    let failure = Failure::expired(format!("too old resource version: {begin} ({forgotten})"));
    json!({ "type": "ERROR", "object": failure.status() })
}

impl Watch {
    async fn next(&mut self) -> Option<io::Result<Value>> {
        loop {
            if let Some(line) = self.due.pop_front() {
                return Some(Ok(line));
            }
            if self.is_over {
                return None;
            }
            self.latest.mark_unchanged();
            self.take();
            if !self.due.is_empty() {
                continue;
            }
            tokio::select! {
                changed = timeout_at(self.until, self.latest.changed()) => {
                    if !matches!(changed, Ok(Ok(()))) {
                        return None;
                    }
                }
                _ = self.closed.changed() => {
                    return Some(Err(io::ErrorKind::ConnectionReset.into()));
                }
            }
        }
    }

    /// Takes what has happened.
    fn take(&mut self) {
        let (seen, resource) = (self.version, self.resource);
        let (changes, version, forgotten, is_over) = self
            .store
            .with(|data| (data.since(seen), data.version(), data.forgotten(), data.is_over()));
        self.is_over = is_over;
        if self.version < forgotten {
            self.due.push_back(too_old(self.version, forgotten));
            self.is_over = true;
            return;
        }
        let of_its_kind = changes.into_iter().filter(|change| change.resource == resource);
        self.due.extend(of_its_kind.filter_map(|change| event(&self.selector, &change)));
        self.version = version;
    }
}

/// What a watch with `selector` is told about a change: an object can come into it, and leave it.
fn event(selector: &Selector, change: &Change) -> Option<Value> {
    let was = change.before.as_ref().is_some_and(|before| selector.matches(before));
    let is = !change.is_gone && selector.matches(&change.object);
    let kind = match (was, is) {
        (false, true) => "ADDED",
        (true, true) => "MODIFIED",
        (true, false) => "DELETED",
        (false, false) => return None,
    };
    Some(json!({ "type": kind, "object": *change.object }))
}
