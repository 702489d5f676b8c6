//! Watches the gateways of a home: their objects in the cluster, and the records of their launchers.
//!
//! The API server notifies of objects. The records are files on a volume that other nodes write to, and no kernel notifies of
//! that: a thread compares them.

use std::collections::BTreeMap;
use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use futures_util::Stream;
use futures_util::StreamExt;
use futures_util::future::join;
use hermes_core::changes::{
    Announcements, Announcer, Changed, Changes, Stamp, announcements, stamp,
};
use hermes_core::{ProfileName, Store, wait};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::core::PartialObjectMeta;
use tokio::sync::oneshot;

use crate::api_error::{ApiError, Operation};
use crate::client::{Client, Kind, pod, selector, stateful_set};
use crate::driver::Kubernetes;
use crate::objects::profile_of;
use crate::registry::Registry;

/// How long the server keeps a watch open: a connection that is lost without a word is noticed soon after that.
const LASTS: Duration = Duration::from_secs(240);
/// The pauses between tries grow from the first to the longest one.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How often the records are compared.
const LOOK: Duration = Duration::from_secs(2);
/// The answer about a version whose following changes the server has forgotten.
const GONE: u16 = 410;

/// A watch on all gateways of a home. Dropped, it ends its threads.
#[derive(Debug)]
pub(crate) struct GatewayChanges {
    announcements: Announcements,
    _end_objects: oneshot::Sender<()>,
    _end_records: PipeWriter,
}

impl Kubernetes {
    /// Watches all gateways. Blocks until the server has agreed to notify, at most as long as four requests may take.
    pub(crate) fn watch(&self) -> io::Result<GatewayChanges> {
        let (announcer, announcements) = announcements()?;
        let announcer = Arc::new(announcer);
        let mut sets = Watcher::<StatefulSet>::new(&self.client, &announcer, stateful_set);
        let mut pods = Watcher::<Pod>::new(&self.client, &announcer, pod);
        let (opened, others) = self.client.block_on(join(sets.open(), pods.open()));
        opened.and(others).map_err(io::Error::other)?;
        let (end_objects, ended) = oneshot::channel();
        let client = Arc::clone(&self.client);
        thread::Builder::new().name("watch".to_owned()).spawn(move || {
            client.block_on(async {
                tokio::select! {
                    _ = join(sets.run(), pods.run()) => {}
                    _ = ended => {}
                }
            });
        })?;
        let (end, end_records) = io::pipe()?;
        let mut records = Records::of(&self.store);
        records.compare();
        thread::Builder::new()
            .name("records".to_owned())
            .spawn(move || watch_records(records, &announcer, &end))?;
        Ok(GatewayChanges { announcements, _end_objects: end_objects, _end_records: end_records })
    }
}

impl Changes for GatewayChanges {
    fn fd(&self) -> BorrowedFd<'_> {
        self.announcements.fd()
    }

    fn take(&mut self) -> io::Result<Changed> {
        Ok(self.announcements.take())
    }

    /// What the threads have found: one of them compares more often than it is asked to.
    fn compare(&mut self) -> io::Result<Changed> {
        self.take()
    }
}

type Events<K> = Pin<Box<dyn Stream<Item = kube::Result<WatchEvent<PartialObjectMeta<K>>>> + Send>>;

/// A watch on the objects of one kind.
struct Watcher<K> {
    client: Arc<Client>,
    announcer: Arc<Announcer>,
    list: Operation,
    watch: Operation,
    /// The version after which changes are to come; `None` before the first list.
    version: Option<String>,
    /// The changes that the server sends, if it does.
    events: Option<Events<K>>,
}

impl<K: Kind + Send + 'static> Watcher<K> {
    fn new(
        client: &Arc<Client>,
        announcer: &Arc<Announcer>,
        operation: fn(&'static str, &'static str, &str) -> Operation,
    ) -> Self {
        Self {
            client: Arc::clone(client),
            announcer: Arc::clone(announcer),
            list: operation("list", "list", ""),
            watch: operation("watch", "watch", ""),
            version: None,
            events: None,
        }
    }

    /// Has the server send changes, those after the last one that came or, if it has forgotten them, after now.
    async fn open(&mut self) -> Result<(), ApiError> {
        let api = self.client.api::<K>();
        let version = match self.version.clone() {
            Some(version) => version,
            None => {
                let parameters = ListParams::default().labels(&selector());
                let list = self.client.in_time(&self.list, api.list_metadata(&parameters)).await?;
                self.announcer.announce(&Changed::all());
                list.metadata.resource_version.unwrap_or_default()
            }
        };
        self.version = Some(version.clone());
        let lasts = u32::try_from(LASTS.as_secs()).unwrap_or(u32::MAX);
        let parameters = WatchParams::default().labels(&selector()).timeout(lasts);
        let events = api.watch_metadata(&parameters, &version);
        self.events = Some(Box::pin(self.client.in_time(&self.watch, events).await?));
        Ok(())
    }

    /// Announces changes for ever.
    async fn run(mut self) {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.follow().await {
                Ok(()) => pause = FIRST_PAUSE,
                Err(error) => {
                    log::debug!("watching goes on: {error}");
                    if error.code() == Some(GONE) {
                        self.version = None;
                    }
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Announces changes until the server ends the watch.
    async fn follow(&mut self) -> Result<(), ApiError> {
        if self.events.is_none() {
            self.open().await?;
        }
        let Some(mut events) = self.events.take() else { return Ok(()) };
        let deadline = Instant::now() + LASTS + self.client.timeout();
        loop {
            let event = tokio::time::timeout_at(deadline.into(), events.next()).await;
            let Some(event) = event.map_err(|_| self.client.silent(&self.watch))? else {
                return Ok(());
            };
            match event.map_err(|error| self.client.error(error, &self.watch))? {
                WatchEvent::Added(object)
                | WatchEvent::Modified(object)
                | WatchEvent::Deleted(object) => {
                    let profiles = profile_of(&object.metadata).into_iter().collect();
                    self.announcer.announce(&Changed { profiles, ..Changed::default() });
                    self.version = object.metadata.resource_version.or(self.version.take());
                }
                WatchEvent::Bookmark(bookmark) => {
                    self.version = Some(bookmark.metadata.resource_version);
                }
                WatchEvent::Error(status) => {
                    return Err(self.client.error(kube::Error::Api(status), &self.watch));
                }
            }
        }
    }
}

/// What is compared of a profile: whether it is registered, and its home.
type State = (bool, Option<Stamp>);

/// The profiles as they were last seen on the volume.
struct Records {
    store: Store,
    registry: Registry,
    last: BTreeMap<ProfileName, State>,
}

impl Records {
    fn of(store: &Store) -> Self {
        let registry = Registry::of(store.root());
        Self { store: store.clone(), registry, last: BTreeMap::new() }
    }

    /// The profiles that differ from how they were. A directory that can't be listed has none.
    fn compare(&mut self) -> Changed {
        let registered = self.registry.list().unwrap_or_default();
        let home = |name: &ProfileName| stamp(self.store.root().profile(name).path());
        let names = self.store.possible_names().unwrap_or_default().into_iter();
        let mut now: BTreeMap<_, State> =
            names.filter(|name| !name.is_default()).map(|name| (name, (false, None))).collect();
        now.extend(registered.into_iter().map(|name| (name, (true, None))));
        now.iter_mut().for_each(|(name, state)| state.1 = home(name));
        let differs = |(name, state): &(&ProfileName, &State)| now.get(*name) != Some(*state);
        let mut profiles: std::collections::BTreeSet<_> =
            self.last.iter().filter(differs).map(|(name, _)| name.clone()).collect();
        profiles.extend(now.keys().filter(|name| !self.last.contains_key(*name)).cloned());
        self.last = now;
        Changed { profiles, ..Changed::default() }
    }
}

/// Announces differences until `end` is closed.
fn watch_records(mut records: Records, announcer: &Announcer, end: &PipeReader) {
    loop {
        match wait::readable(&[end.as_fd()], Some(Instant::now() + LOOK)) {
            Ok(ready) if !ready[0] => announcer.announce(&records.compare()),
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use hermes_core::RootHome;
    use hermes_core::wait::Timeouts;
    use serde_json::{Value, json};

    use super::*;
    use crate::driver::Setup;
    use crate::mock::{Mock, Request, refusal};
    use crate::objects::PROFILE;

    const LIMIT: Duration = Duration::from_secs(10);

    fn driver(mock: &Mock, dir: &tempfile::TempDir) -> Kubernetes {
        let root = RootHome::new(dir.path());
        Kubernetes::new(mock.client(LIMIT), root, Setup::default(), Timeouts::all(LIMIT))
    }

    /// Everything that is announced, until `is_enough`.
    fn announced(changes: &mut GatewayChanges, is_enough: impl Fn(&Changed) -> bool) -> Changed {
        let mut sum = Changed::default();
        let deadline = Instant::now() + LIMIT;
        while !is_enough(&sum) {
            let ready = wait::readable(&[changes.fd()], Some(deadline)).unwrap();
            assert!(ready[0], "{sum:?}");
            let Changed { profiles, all, .. } = changes.take().unwrap();
            sum.profiles.extend(profiles);
            sum.all |= all;
        }
        sum
    }

    fn is_watch(request: &Request) -> bool {
        request.uri.query().is_some_and(|query| query.contains("watch=true"))
    }

    /// The object of an event about `profile`.
    fn object(profile: &str, version: u32) -> Value {
        let metadata = json!({
            "name": "x", "resourceVersion": version.to_string(), "annotations": { PROFILE: profile },
        });
        json!({ "kind": "Pod", "apiVersion": "v1", "metadata": metadata })
    }

    #[test]
    fn changes_go_on_after_the_end_of_a_watch_and_after_forgotten_versions() {
        let watches = Arc::new(AtomicUsize::new(0));
        let mock = Mock::start(move |request| match is_watch(request) {
            false => (200, json!({ "metadata": { "resourceVersion": "5" }, "items": [] })),
            true => match watches.fetch_add(1, Ordering::Relaxed) {
                0 => (200, json!({ "type": "ADDED", "object": object("a", 6) })),
                1 => (200, json!({ "type": "MODIFIED", "object": object("b", 7) })),
                2 => (200, json!({ "type": "ERROR", "object": refusal(410, "too old").1 })),
                3 => (503, refusal(503, "not now").1),
                4 => (200, json!({ "type": "DELETED", "object": object("c", 9) })),
                _ => (0, Value::Null),
            },
        });
        let dir = tempfile::tempdir().unwrap();
        let driver = driver(&mock, &dir);
        let (announcer, announcements) = announcements().unwrap();
        let announcer = Arc::new(announcer);
        let pods = Watcher::<Pod>::new(&driver.client, &announcer, pod);
        let (end, ended) = oneshot::channel::<()>();
        let client = Arc::clone(&driver.client);
        let thread = thread::spawn(move || {
            client.block_on(async {
                tokio::select! {
                    () = pods.run() => {}
                    _ = ended => {}
                }
            });
        });
        let (_, end_records) = io::pipe().unwrap();
        let mut changes =
            GatewayChanges { announcements, _end_objects: end, _end_records: end_records };
        let sum = announced(&mut changes, |sum| sum.profiles.len() == 3);
        assert!(sum.all, "after a list, anything may have changed");
        drop(changes);
        thread.join().unwrap();
        let asked: Vec<_> = mock
            .requests()
            .iter()
            .map(|request| {
                let query = request.uri.query().unwrap_or_default().split('&');
                let version = query.filter_map(|pair| pair.strip_prefix("resourceVersion=")).next();
                if is_watch(request) {
                    version.unwrap_or_default().to_owned()
                } else {
                    "list".to_owned()
                }
            })
            .collect();
        assert_eq!(asked[..7], ["list", "5", "6", "7", "list", "5", "5"]);
    }

    #[test]
    fn who_may_not_watch_is_told_at_once() {
        let mock = Mock::start(|request| match is_watch(request) {
            true => refusal(403, "no"),
            false => (200, json!({ "metadata": { "resourceVersion": "5" }, "items": [] })),
        });
        let dir = tempfile::tempdir().unwrap();
        let error = driver(&mock, &dir).watch().unwrap_err().to_string();
        assert!(error.contains("failed to watch the StatefulSet"), "{error}");
    }

    #[test]
    fn records_of_other_nodes_are_compared() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(RootHome::new(dir.path()));
        let mut records = Records::of(&store);
        let home = |name: &str| store.root().profile(&name.parse().unwrap());
        let names =
            |changed: Changed| changed.profiles.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(names(records.compare()), [""; 0]);
        for name in ["a", "b"] {
            std::fs::create_dir_all(home(name).path()).unwrap();
            std::fs::write(home(name).config(), "").unwrap();
        }
        assert_eq!(names(records.compare()), ["a", "b"]);
        assert_eq!(names(records.compare()), [""; 0]);
        hermes_core::restart::PodRecord::new("x".to_owned())
            .write(&home("a").pod_record())
            .unwrap();
        assert_eq!(names(records.compare()), ["a"]);
        records.registry.write(&"b".parse().unwrap(), &Default::default()).unwrap();
        std::fs::remove_dir_all(home("a").path()).unwrap();
        assert_eq!(names(records.compare()), ["a", "b"]);
    }
}
