//! The kubelet of all nodes: a thread for each Pod, which is told what happens to it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use super::events::Event;
use super::pod::Pod;
use super::resource::Resource;
use super::shared::Shared;
use super::store::Change;

/// Runs until the cluster ends, and ends all containers then.
pub(super) fn run(shared: &Arc<Shared>) {
    let mut seen = 0;
    let mut pods = BTreeMap::new();
    while let Some(changes) = shared.store.wait(seen) {
        seen = changes.last().map_or(seen + 1, |last| last.version);
        for change in changes.iter().filter(|change| change.resource == Resource::Pods) {
            tell(shared, &mut pods, change);
        }
        let over: Vec<_> =
            pods.extract_if(.., |_, pod: &mut JoinHandle<()>| pod.is_finished()).collect();
        over.into_iter().for_each(|(_, pod)| join(pod));
    }
    shared.tell_pods(|| Event::End);
    pods.into_values().for_each(join);
}

fn tell(shared: &Arc<Shared>, pods: &mut BTreeMap<String, JoinHandle<()>>, change: &Change) {
    let uid = change.object["metadata"]["uid"].as_str().unwrap_or_default();
    if !pods.contains_key(uid) && !change.is_gone {
        let (sender, events) = mpsc::channel();
        shared.with_settings(|settings| {
            settings.pods.insert(uid.to_owned(), sender.clone());
        });
        let mut pod = Pod::new(shared, &change.object, sender, events);
        pods.insert(uid.to_owned(), thread::spawn(move || pod.run()));
    } else {
        shared.with_settings(|settings| {
            if let Some(pod) = settings.pods.get(uid) {
                // One that has just ended needs no news.
                let _ = pod.send(Event::Changed);
            }
        });
    }
}

fn join(pod: JoinHandle<()>) {
    if let Err(panic) = pod.join() {
        std::panic::resume_unwind(panic);
    }
}
