//! The last observation of all gateways, and the listeners for its changes.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::body::Bytes;
use hermes::view::ErrorView;
use hermes_core::ProfileName;
use tokio::sync::broadcast::{self, Receiver};

use crate::gateway_view::GatewayView;
use crate::sse::event;
use crate::wake_up::WakeUp;

/// The events that are queued for a slow listener before it gets a new snapshot.
const QUEUE: usize = 256;

/// The last observation, and its listeners.
pub(crate) struct StateHub {
    observation: Mutex<Observation>,
    feed: broadcast::Sender<Bytes>,
    /// Makes the watcher observe all gateways.
    pub(crate) wake_up: WakeUp,
}

#[derive(Default)]
struct Observation {
    views: BTreeMap<ProfileName, GatewayView>,
    /// Why the gateways can't be observed.
    problem: Option<ErrorView>,
    /// How often the process of a gateway changed.
    restarts: BTreeMap<ProfileName, u64>,
    /// The last process of each gateway.
    pids: BTreeMap<ProfileName, u32>,
    /// Whether the gateways were ever observed.
    has_observed: bool,
}

impl StateHub {
    /// A hub without an observation or listeners.
    pub(crate) fn new() -> io::Result<Self> {
        let (observation, feed) = (Mutex::default(), broadcast::Sender::new(QUEUE));
        Ok(Self { observation, feed, wake_up: WakeUp::new()? })
    }

    fn observation(&self) -> MutexGuard<'_, Observation> {
        self.observation.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last observation, if there is one, and every change from then on.
    pub(crate) fn listen(&self) -> (Option<Bytes>, Receiver<Bytes>) {
        let observation = self.observation();
        let feed = self.feed.subscribe();
        // The observation may be old: without listeners nothing is observed.
        self.wake_up.wake();
        (observation.has_observed.then(|| snapshot(&observation)), feed)
    }

    /// A new snapshot and feed, for a listener that was too slow.
    pub(crate) fn listen_again(&self) -> (Bytes, Receiver<Bytes>) {
        let observation = self.observation();
        (snapshot(&observation), self.feed.subscribe())
    }

    /// Whether there are listeners.
    pub(crate) fn is_watched(&self) -> bool {
        self.feed.receiver_count() > 0
    }

    /// Records the gateways, or why they can't be observed, and sends the changes.
    pub(crate) fn record_all(&self, all: Result<Vec<(ProfileName, GatewayView)>, ErrorView>) {
        let mut observation = self.observation();
        let first = !std::mem::replace(&mut observation.has_observed, true);
        match all {
            Ok(all) => {
                let had_problem = observation.problem.take().is_some();
                let all: BTreeMap<_, _> = all.into_iter().collect();
                let gone = observation.views.keys().filter(|name| !all.contains_key(*name));
                let gone: Vec<_> = gone.cloned().collect();
                if first || had_problem {
                    all.into_iter().for_each(|(name, gateway_view)| {
                        drop(observation.put(name, Some(gateway_view)))
                    });
                    gone.into_iter().for_each(|name| drop(observation.put(name, None)));
                    self.send(snapshot(&observation));
                    return;
                }
                let all = all.into_iter().map(|(name, gateway_view)| (name, Some(gateway_view)));
                for (name, gateway_view) in all.chain(gone.into_iter().map(|name| (name, None))) {
                    observation
                        .put(name, gateway_view)
                        .into_iter()
                        .for_each(|event| self.send(event));
                }
            }
            Err(problem) => {
                let old = observation.problem.replace(problem);
                if first || old != observation.problem {
                    self.send(snapshot(&observation));
                }
            }
        }
    }

    /// Records one gateway, `None` if it is gone, and sends the change.
    pub(crate) fn record(&self, name: ProfileName, gateway_view: Option<GatewayView>) {
        let mut observation = self.observation();
        observation.put(name, gateway_view).into_iter().for_each(|event| self.send(event));
    }

    /// How often a gateway's process changed since the start of the dashboard.
    pub(crate) fn restarts(&self, name: &ProfileName) -> u64 {
        self.observation().restarts.get(name).copied().unwrap_or_default()
    }

    fn send(&self, event: Bytes) {
        // Fails if there are no listeners.
        let _ = self.feed.send(event);
    }
}

impl Observation {
    /// Records one gateway; returns the event for listeners if it changed.
    fn put(&mut self, name: ProfileName, gateway_view: Option<GatewayView>) -> Option<Bytes> {
        let Some(gateway_view) = gateway_view else {
            self.pids.remove(&name);
            self.restarts.remove(&name);
            let gone = serde_json::json!({ "profile": name });
            return self.views.remove(&name).map(|_| event("removed", &gone));
        };
        if let Some(pid) = gateway_view.view().and_then(|view| view.status.pid)
            && self.pids.insert(name.clone(), pid).is_some_and(|old| old != pid)
        {
            *self.restarts.entry(name.clone()).or_default() += 1;
        }
        let is_same = self.views.get(&name).is_some_and(|old| old.is_same(&gateway_view));
        let changed = (!is_same).then(|| event("gateway", &gateway_view));
        self.views.insert(name, gateway_view);
        changed
    }
}

fn snapshot(observation: &Observation) -> Bytes {
    let gateways: Vec<_> = observation.views.values().collect();
    event(
        "snapshot",
        &serde_json::json!({
            "version": env!("CARGO_PKG_VERSION"),
            "gateways": gateways,
            "problem": observation.problem,
        }),
    )
}
