//! The last observation of all gateways, and the listeners that are sent its changes.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::body::Bytes;
use hermes::view::ErrorView;
use hermes_core::ProfileName;
use rustix::event::EventfdFlags;
use tokio::sync::broadcast::{self, Receiver};

use crate::gateway_view::GatewayView;
use crate::sse::event;

/// How many events a listener may be behind before it is sent everything anew.
const BEHIND: usize = 256;

/// The last observation, and its listeners.
pub(crate) struct StateHub {
    seen: Mutex<Seen>,
    feed: broadcast::Sender<Bytes>,
    /// Wakes the watcher.
    wake: OwnedFd,
}

#[derive(Default)]
struct Seen {
    views: BTreeMap<ProfileName, GatewayView>,
    /// Why the gateways can't be observed.
    problem: Option<ErrorView>,
    /// How often a gateway was seen with another process than before.
    restarts: BTreeMap<ProfileName, u64>,
    /// The last process of each.
    pids: BTreeMap<ProfileName, u32>,
    /// Whether anybody has looked.
    looked: bool,
}

impl StateHub {
    /// One without an observation and without listeners.
    pub(crate) fn new() -> io::Result<Self> {
        let wake = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { seen: Mutex::default(), feed: broadcast::Sender::new(BEHIND), wake })
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last observation, if there is one, and every change from then on.
    pub(crate) fn listen(&self) -> (Option<Bytes>, Receiver<Bytes>) {
        let seen = self.seen();
        let feed = self.feed.subscribe();
        // Nobody looked while nobody listened.
        self.wake();
        (seen.looked.then(|| snapshot(&seen)), feed)
    }

    /// Everything anew, for a listener that is behind.
    pub(crate) fn again(&self) -> (Bytes, Receiver<Bytes>) {
        let seen = self.seen();
        (snapshot(&seen), self.feed.subscribe())
    }

    /// Whether anybody listens.
    pub(crate) fn is_watched(&self) -> bool {
        self.feed.receiver_count() > 0
    }

    /// Has the watcher look again.
    pub(crate) fn wake(&self) {
        // It fails only where it was woken so often that it is awake.
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }

    /// What becomes readable when the watcher is to look.
    pub(crate) fn wake_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    /// Takes in that the watcher was woken; whether it was.
    pub(crate) fn was_woken(&self) -> bool {
        rustix::io::read(&self.wake, &mut [0; 8]).is_ok()
    }

    /// Records all that was seen, or why nothing was.
    pub(crate) fn record_all(&self, all: Result<Vec<(ProfileName, GatewayView)>, ErrorView>) {
        let mut seen = self.seen();
        let first = !std::mem::replace(&mut seen.looked, true);
        match all {
            Ok(all) => {
                let had_problem = seen.problem.take().is_some();
                let all: BTreeMap<_, _> = all.into_iter().collect();
                let gone = seen.views.keys().filter(|name| !all.contains_key(*name));
                let gone: Vec<_> = gone.cloned().collect();
                if first || had_problem {
                    all.into_iter()
                        .for_each(|(name, gateway_view)| drop(seen.put(name, Some(gateway_view))));
                    gone.into_iter().for_each(|name| drop(seen.put(name, None)));
                    self.tell(snapshot(&seen));
                    return;
                }
                let all = all.into_iter().map(|(name, gateway_view)| (name, Some(gateway_view)));
                for (name, gateway_view) in all.chain(gone.into_iter().map(|name| (name, None))) {
                    seen.put(name, gateway_view).into_iter().for_each(|news| self.tell(news));
                }
            }
            Err(problem) => {
                let old = seen.problem.replace(problem);
                if first || old != seen.problem {
                    self.tell(snapshot(&seen));
                }
            }
        }
    }

    /// Records what was seen of one, `None` if it is gone.
    pub(crate) fn record(&self, name: ProfileName, gateway_view: Option<GatewayView>) {
        let mut seen = self.seen();
        seen.put(name, gateway_view).into_iter().for_each(|news| self.tell(news));
    }

    /// How often a gateway was started again since the dashboard was.
    pub(crate) fn restarts(&self, name: &ProfileName) -> u64 {
        self.seen().restarts.get(name).copied().unwrap_or_default()
    }

    fn tell(&self, news: Bytes) {
        // Nobody may listen.
        let _ = self.feed.send(news);
    }
}

impl Seen {
    /// Takes in what was seen of one; what is to be told of it, if anything.
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
        let news = (!is_same).then(|| event("gateway", &gateway_view));
        self.views.insert(name, gateway_view);
        news
    }
}

fn snapshot(seen: &Seen) -> Bytes {
    let gateways: Vec<_> = seen.views.values().collect();
    event(
        "snapshot",
        &serde_json::json!({
            "version": env!("CARGO_PKG_VERSION"),
            "gateways": gateways,
            "problem": seen.problem,
        }),
    )
}
