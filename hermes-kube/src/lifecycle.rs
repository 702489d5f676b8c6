//! Brings gateways up and down, and reports success only once the cluster shows it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hermes_core::driver::startup::{self, SETTLED};
use hermes_core::driver::{Class, DriverError};
use hermes_core::wait::{self, Poll};
use hermes_core::waiting::{Goal, Waiting};
use hermes_core::{Gateway, ProfileName, config, fsutil, parallel, writers};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Pod;

use crate::driver::{AT_ONCE, Kubernetes, no_pod, set_name};
use crate::names::pod_name;
use crate::objects::{AFTER_STOP, stateful_set};
use crate::status::{Found, is_wanted};

/// The answer of an API server to an object that it can't take, or that would change what can't be changed.
const INVALID: u16 = 422;

/// A gateway that is being brought down.
struct Ending {
    /// The generation of its StatefulSet that has no replica; `None` without a StatefulSet.
    generation: Option<i64>,
    /// How long its Pod may take.
    limit: Duration,
}

/// Those of some gateways, by index, that have not ended yet. A cluster ends many Pods one after another, so the time of
/// each begins again when another one has ended.
struct Endings {
    left: BTreeMap<usize, Ending>,
    last_end: Instant,
}

impl Endings {
    /// Takes out those that have ended at `now`, and returns those whose time is over.
    fn progress(&mut self, now: Instant, has_ended: impl Fn(usize, &Ending) -> bool) -> Vec<usize> {
        let before = self.left.len();
        self.left.retain(|index, ending| !has_ended(*index, ending));
        if self.left.len() < before {
            self.last_end = now;
        }
        let overdue = self.left.extract_if(.., |_, ending| now >= self.last_end + ending.limit);
        overdue.map(|(index, _)| index).collect()
    }
}

impl Kubernetes {
    /// Applies the StatefulSet of a gateway, of which `existing` is there. It gets a replica if `is_wanted_now`, and keeps it
    /// in any case. `None` if it was not applied: fields that can't be changed need another StatefulSet, and there is a Pod.
    pub(crate) fn apply(
        &self,
        gateway: &Gateway,
        existing: Option<&StatefulSet>,
        is_wanted_now: bool,
    ) -> Result<Option<StatefulSet>, DriverError> {
        let name = gateway.name();
        let replica = is_wanted_now || existing.is_some_and(is_wanted);
        let set = stateful_set(gateway, &self.settings()?, &self.env(name)?, replica);
        self.project_defaults()?;
        match self.client.apply(&set) {
            Err(error) if error.code() == Some(INVALID) && existing.is_some() => {}
            applied => return Ok(Some(applied?)),
        }
        if self.own_pod(name)?.is_some() {
            return Ok(None);
        }
        self.delete_set(name)?;
        Ok(Some(self.client.apply(&set)?))
    }

    /// Writes `gateway.defaults` where the Pods of all gateways see them, and nothing else of the root home's file.
    fn project_defaults(&self) -> Result<(), DriverError> {
        let root = self.store.root();
        let home = root.profile(&ProfileName::default_profile());
        let text = config::defaults_alone(&home.config()).map_err(DriverError::new)?;
        let path = root.projected_defaults();
        if fsutil::read_if_there(&path)?.as_deref() == Some(text.as_bytes()) {
            return Ok(());
        }
        path.parent().map_or(Ok(()), writers::create_directory)?;
        // A variable in it may be a secret.
        Ok(fsutil::write_durably(&path, text.as_bytes(), 0o600)?)
    }

    pub(crate) fn bring_up(&self, gateway: &Gateway) -> Result<(), DriverError> {
        let name = gateway.name();
        if name.is_default() {
            return Err(no_pod());
        }
        let found = self.look(gateway)?;
        // The next Pod takes the place of this one's record.
        self.record_events(name, &found);
        let mut deaths = self.status_of(gateway, &found)?.deaths;
        let applied = self.apply(gateway, found.set.as_ref(), true)?;
        match (applied, found.uid().filter(|_| found.needs_another_pod())) {
            (Some(_), None) => {}
            (Some(applied), Some(uid)) => {
                // The next Pod is made of what the controller has seen.
                self.await_seen(name, applied.metadata.generation)?;
                self.delete_pod(name, uid)?;
                self.await_pods_end(name, uid)?;
                deaths = 0;
            }
            (None, _) => {
                self.bring_down(std::slice::from_ref(gateway))
                    .into_iter()
                    .collect::<Result<(), _>>()?;
                let existing = self.own_set(name)?;
                self.apply(gateway, existing.as_ref(), true)?
                    .ok_or_else(|| DriverError::new("another command has started it meanwhile"))?;
                deaths = 0;
            }
        }
        self.await_up(gateway, deaths)
    }

    /// Blocks until the gateway is up. `deaths` are those before.
    fn await_up(&self, gateway: &Gateway, deaths: u32) -> Result<(), DriverError> {
        let trouble = RefCell::new(None);
        let timeout = self.timeouts.start;
        let up = startup::await_up(gateway, "Kubernetes", deaths, timeout, || {
            let found = self.look(gateway)?;
            *trouble.borrow_mut() = found.trouble();
            self.status_of(gateway, &found)
        });
        let Err(error) = up else { return Ok(()) };
        match (error.class(), trouble.into_inner()) {
            (Class::TimedOut(_), Some(trouble)) => {
                let (set, namespace) = (set_name(gateway.name()), self.client.namespace());
                let hint = format!(
                    "it is still starting; `kubectl describe pod {} -n {namespace}` shows its events",
                    pod_name(&set)
                );
                Err(DriverError::timed_out(timeout.max(SETTLED), trouble).with_hint(hint))
            }
            _ => Err(error),
        }
    }

    /// Brings gateways down: no StatefulSet has a replica, no Pod is there, and no process here is the gateway.
    pub(crate) fn bring_down(&self, gateways: &[Gateway]) -> Vec<Result<(), DriverError>> {
        let begun = Instant::now();
        let endings =
            parallel::map(gateways.iter().collect(), AT_ONCE, |gateway| self.begin_end(gateway));
        let outcomes = self.await_ends(gateways, endings);
        let ended = outcomes.into_iter().zip(gateways).collect();
        parallel::map(ended, AT_ONCE, |(outcome, gateway): (Result<_, DriverError>, &Gateway)| {
            outcome?;
            // A gateway that was stopped is not parked.
            fsutil::remove_file_if_there(&gateway.home().pod_record())?;
            self.end_orphan(gateway, begun)
        })
    }

    /// Takes the replica away. `None` if nothing is there.
    fn begin_end(&self, gateway: &Gateway) -> Result<Option<Ending>, DriverError> {
        let name = gateway.name();
        if name.is_default() {
            return Ok(None);
        }
        let found = self.look(gateway)?;
        self.record_events(name, &found);
        let Found { set, pod, .. } = found;
        let set = match set {
            Some(_) => self.client.scale(&set_name(name), 0)?,
            None => None,
        };
        if set.is_none() {
            // Its StatefulSet was deleted, and the Pod left.
            let Some(uid) = pod.as_ref().and_then(|pod| pod.metadata.uid.as_deref()) else {
                return Ok(None);
            };
            self.delete_pod(name, uid)?;
        }
        // A Pod has the stop budget that it was made with.
        let grace = pod.as_ref().and_then(grace);
        let grace = grace.unwrap_or_else(|| gateway.stop_timeout().budget() + AFTER_STOP);
        let limit = grace + self.timeouts.stop_beyond_budget;
        let generation = set.map(|set| set.metadata.generation.unwrap_or_default());
        Ok(Some(Ending { generation, limit }))
    }

    /// Blocks until the Pods are gone, or their time is over.
    fn await_ends(
        &self,
        gateways: &[Gateway],
        endings: Vec<Result<Option<Ending>, DriverError>>,
    ) -> Vec<Result<(), DriverError>> {
        let begun = Instant::now();
        let mut rest = Endings { left: BTreeMap::new(), last_end: begun };
        let left = &mut rest.left;
        let mut outcomes = Vec::new();
        for (index, ending) in endings.into_iter().enumerate() {
            let ending = ending.map(|ending| left.extend(ending.map(|ending| (index, ending))));
            outcomes.push(ending);
        }
        let name = |index: usize| gateways[index].name();
        let waiting = left.iter().map(|(index, ending)| {
            Waiting::begin(Goal::End(name(*index).clone()), begun + ending.limit)
        });
        let _waiting: Vec<_> = waiting.collect();
        let deadline = begun + left.values().map(|ending| ending.limit).sum::<Duration>();
        let waited = wait::until(deadline, || -> Result<_, DriverError> {
            let indexes: Vec<_> = rest.left.keys().copied().collect();
            let found = self.find(&indexes.iter().map(|index| name(*index)).collect::<Vec<_>>())?;
            let mut found: BTreeMap<_, _> = indexes.into_iter().zip(found).collect();
            let ended = |index: usize, ending: &Ending| has_ended(ending, &found[&index]);
            for index in rest.progress(Instant::now(), ended) {
                let pod = found.remove(&index).and_then(|found| found.pod);
                outcomes[index] = Err(self.not_ended(name(index), begun, pod));
            }
            Ok(if rest.left.is_empty() { Poll::Done(()) } else { Poll::Wait })
        });
        for index in rest.left.into_keys() {
            outcomes[index] = Err(match &waited {
                Err(error) => error.clone(),
                // A signal has ended the wait.
                Ok(_) => self.not_ended(name(index), begun, None),
            });
        }
        outcomes
    }

    /// The objects of these profiles: by name for one, from lists for many.
    pub(crate) fn find(&self, names: &[&ProfileName]) -> Result<Vec<Found>, DriverError> {
        match names {
            [] => Ok(Vec::new()),
            [name] => {
                let (set, pod) = (self.own_set(name)?, self.own_pod(name)?);
                Ok(vec![Found { set, pod, ..Found::default() }])
            }
            names => {
                let mut all = self.look_at_all()?;
                Ok(names.iter().map(|name| all.take(name)).collect())
            }
        }
    }

    fn not_ended(&self, name: &ProfileName, begun: Instant, pod: Option<Pod>) -> DriverError {
        let node = pod.and_then(|pod| pod.spec?.node_name);
        let node = node.map_or_else(String::new, |node| format!(" on the node `{node}`"));
        let (pod, namespace) = (pod_name(&set_name(name)), self.client.namespace());
        DriverError::timed_out(begun.elapsed(), format!("its Pod `{pod}` has not ended{node}"))
            .with_hint(format!(
                "if that node is down for good, `kubectl delete pod {pod} -n {namespace} --force` lets go of the Pod"
            ))
    }

    /// Ends a gateway that was started by hand, here.
    #[cfg(target_os = "linux")]
    fn end_orphan(&self, gateway: &Gateway, begun: Instant) -> Result<(), DriverError> {
        let stop = gateway.stop_timeout();
        let timeout = stop.budget() + self.timeouts.stop_beyond_budget;
        let lock = gateway.home().gateway_lock();
        startup::end_holders(&lock, begun, begun + stop.kill_after(), timeout)
    }

    #[cfg(not(target_os = "linux"))]
    fn end_orphan(&self, gateway: &Gateway, _: Instant) -> Result<(), DriverError> {
        startup::require_ended(gateway)
    }

    /// Deletes the StatefulSet and the registration of a gateway that is down, and blocks until they are gone.
    pub(crate) fn delete(&self, name: &ProfileName) -> Result<(), DriverError> {
        if self.own_set(name)?.is_some() {
            self.delete_set(name)?;
        }
        Ok(self.registry.remove(name)?)
    }

    fn delete_set(&self, name: &ProfileName) -> Result<(), DriverError> {
        let set = set_name(name);
        self.client.delete_stateful_set(&set)?;
        let timeout = self.timeouts.supervise;
        let deadline = Instant::now() + timeout;
        let _waiting = Waiting::begin(Goal::Released(set.clone()), deadline);
        let gone = wait::until(deadline, || -> Result<_, DriverError> {
            let is_there = self.client.stateful_set(&set)?.is_some();
            Ok(if is_there { Poll::Wait } else { Poll::Done(()) })
        })?;
        gone.ok_or_else(|| {
            let namespace = self.client.namespace();
            DriverError::timed_out(timeout, format!("the StatefulSet `{set}` is not deleted yet"))
                .with_hint(format!(
                    "`kubectl get statefulset {set} -n {namespace} -o yaml` shows the finalizers that keep it"
                ))
        })
    }

    pub(crate) fn delete_pod(&self, name: &ProfileName, uid: &str) -> Result<(), DriverError> {
        Ok(self.client.delete_pod(&pod_name(&set_name(name)), uid)?)
    }

    /// Blocks until the controller has seen this generation of a StatefulSet.
    fn await_seen(&self, name: &ProfileName, generation: Option<i64>) -> Result<(), DriverError> {
        let (timeout, generation) = (self.timeouts.supervise, generation.unwrap_or_default());
        let seen = wait::until(Instant::now() + timeout, || -> Result<_, DriverError> {
            let set = self.own_set(name)?;
            let is_seen = set.is_none_or(|set| was_seen(&set, generation));
            Ok(if is_seen { Poll::Done(()) } else { Poll::Wait })
        })?;
        seen.ok_or_else(|| {
            DriverError::timed_out(timeout, "Kubernetes has not taken note of its StatefulSet")
                .with_hint("`kubectl get pods -n kube-system` shows whether its controllers run")
        })
    }

    /// Blocks until the Pod with this ID is gone.
    fn await_pods_end(&self, name: &ProfileName, uid: &str) -> Result<(), DriverError> {
        let begun = Instant::now();
        let grace = self.own_pod(name)?.as_ref().and_then(grace).unwrap_or_default();
        let deadline = begun + grace + self.timeouts.stop_beyond_budget;
        let _waiting = Waiting::begin(Goal::End(name.clone()), deadline);
        let mut last = None;
        let gone = wait::until(deadline, || -> Result<_, DriverError> {
            last = self.own_pod(name)?.filter(|pod| pod.metadata.uid.as_deref() == Some(uid));
            Ok(if last.is_some() { Poll::Wait } else { Poll::Done(()) })
        })?;
        gone.ok_or_else(|| self.not_ended(name, begun, last))
    }
}

/// Whether nothing runs, and nothing will: the controller has seen that no replica is wanted.
fn has_ended(ending: &Ending, found: &Found) -> bool {
    found.pod.is_none()
        && match &found.set {
            Some(set) => ending.generation.is_none_or(|generation| was_seen(set, generation)),
            None => true,
        }
}

/// Whether the controller has seen this generation of a StatefulSet.
fn was_seen(set: &StatefulSet, generation: i64) -> bool {
    let seen = set.status.as_ref().and_then(|status| status.observed_generation);
    seen.is_some_and(|seen| seen >= generation)
}

fn grace(pod: &Pod) -> Option<Duration> {
    let seconds = pod.spec.as_ref()?.termination_grace_period_seconds?;
    Some(Duration::from_secs(seconds.try_into().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_its_time_from_the_last_end_on() {
        let (begun, second) = (Instant::now(), Duration::from_secs(1));
        let ending = |seconds| Ending { generation: None, limit: second * seconds };
        let left = BTreeMap::from([(0, ending(2)), (1, ending(2)), (2, ending(3))]);
        let mut endings = Endings { left, last_end: begun };
        assert_eq!(endings.progress(begun + second, |_, _| false), [0; 0]);
        assert_eq!(endings.progress(begun + second * 2, |index, _| index == 0), [0; 0]);
        assert_eq!(endings.progress(begun + second * 4, |_, _| false), [1], "two seconds later");
        assert_eq!(endings.progress(begun + second * 5, |_, _| false), [2]);
        assert!(endings.left.is_empty());
    }
}
