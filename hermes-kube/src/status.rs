//! The status of a gateway, from its StatefulSet, its Pod, and what the Pod's launcher has recorded in the profile's home.
//!
//! Kubernetes knows whether the Pod runs, and the launcher whether the gateway in it does. The record counts while the
//! container runs that writes it.

use std::time::Duration;

use hermes_core::restart::{AN_HOUR, EXIT_RESTART, PodRecord};
use hermes_core::status::{Exit, Reason, ReasonKind, State, Status};
use hermes_core::{Intent, ProfileName};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, Pod};

/// How long the kubelet may take to see that a gateway is ready, and a controller to write it down.
const LAG: Duration = Duration::from_secs(15);

/// Why a container waits that is being started.
const NORMAL: [&str; 2] = ["ContainerCreating", "PodInitializing"];

/// What was found of one gateway.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) registered: bool,
    pub(crate) set: Option<StatefulSet>,
    pub(crate) pod: Option<Pod>,
    /// The record of that Pod.
    pub(crate) record: Option<PodRecord>,
}

impl Found {
    /// Whether a Pod is wanted.
    pub(crate) fn is_wanted(&self) -> bool {
        self.set.as_ref().is_some_and(is_wanted)
    }

    /// The unique ID of the Pod.
    pub(crate) fn uid(&self) -> Option<&str> {
        self.pod.as_ref()?.metadata.uid.as_deref()
    }

    /// Whether the Pod is being ended.
    pub(crate) fn is_ending(&self) -> bool {
        self.pod.as_ref().is_some_and(|pod| pod.metadata.deletion_timestamp.is_some())
    }

    fn container(&self) -> Option<&ContainerStatus> {
        self.pod.as_ref()?.status.as_ref()?.container_statuses.as_ref()?.first()
    }

    /// How the container last ended by itself.
    pub(crate) fn ended(&self) -> Option<&ContainerStateTerminated> {
        let container = self.container()?;
        let now = container.state.as_ref().and_then(|state| state.terminated.as_ref());
        now.or_else(|| container.last_state.as_ref()?.terminated.as_ref())
    }

    pub(crate) fn is_running(&self) -> bool {
        self.container().is_some_and(|container| {
            container.state.as_ref().is_some_and(|state| state.running.is_some())
        })
    }

    /// How often the container has ended.
    pub(crate) fn container_ends(&self) -> i32 {
        let Some(container) = self.container() else { return 0 };
        let has_ended = container.state.as_ref().is_some_and(|state| state.terminated.is_some());
        container.restart_count + i32::from(has_ended)
    }

    /// How often the container has ended by itself in the last hour: memory that ran out ends all processes in it at once, and nothing in
    /// it is left to count that.
    fn container_deaths(&self, now: Timestamp) -> usize {
        let Some(ended) = self.ended() else { return 0 };
        let is_recent = ended.finished_at.as_ref().is_none_or(|at| age(at.0, now) <= AN_HOUR);
        if is_recent { usize::try_from(self.container_ends()).unwrap_or_default() } else { 0 }
    }

    /// Whether a start needs another Pod: this one's gateway is parked or waits after a death, or the Pod can't run, which
    /// its template may have been the reason for.
    pub(crate) fn needs_another_pod(&self) -> bool {
        if !self.is_wanted() || self.is_ending() {
            return false;
        }
        let is_stuck = || {
            let container = self.container();
            let waiting =
                container.and_then(|container| container.state.as_ref()?.waiting.as_ref());
            match waiting.and_then(|waiting| waiting.reason.as_deref()) {
                Some(reason) => !NORMAL.contains(&reason),
                None => container.is_none() && self.unscheduled().is_some(),
            }
        };
        match self.state() {
            (State::Parked | State::Backoff, _) => true,
            (State::Starting, None) => is_stuck(),
            _ => false,
        }
    }

    /// Why the Pod has no node.
    fn unscheduled(&self) -> Option<String> {
        let conditions = self.pod.as_ref()?.status.as_ref()?.conditions.iter().flatten();
        let mut no = conditions.filter(|one| one.type_ == "PodScheduled" && one.status == "False");
        no.find_map(|one| Some(said(one.reason.as_deref()?, one.message.as_deref())))
    }

    /// What keeps the Pod from running, as Kubernetes says it.
    pub(crate) fn trouble(&self) -> Option<String> {
        let Some(pod) = &self.pod else {
            return self.is_wanted().then(|| "Kubernetes has not made its Pod yet".to_owned());
        };
        let waiting =
            self.container().and_then(|container| container.state.as_ref()?.waiting.as_ref());
        if let Some(waiting) = waiting {
            let reason = waiting.reason.as_deref().unwrap_or("no reason");
            return Some(format!(
                "its container waits: {}",
                said(reason, waiting.message.as_deref())
            ));
        }
        let status = pod.status.as_ref()?;
        if let Some(reason) = &status.reason {
            return Some(format!("its Pod: {}", said(reason, status.message.as_deref())));
        }
        Some(format!("its Pod has no node: {}", self.unscheduled()?))
    }

    /// Why the Pod is not ready although its gateway was long ago: the kubelet gets no answer, or Kubernetes none from the
    /// kubelet.
    fn lost(&self, record: &PodRecord, now: Timestamp) -> Option<String> {
        if age(record.since, now) <= LAG {
            return None;
        }
        let status = self.pod.as_ref()?.status.as_ref()?;
        let ready = status.conditions.iter().flatten().find(|one| one.type_ == "Ready")?;
        let since = ready.last_transition_time.as_ref()?.0;
        if ready.status == "True" || age(since, now) <= LAG {
            return None;
        }
        let node = self.pod.as_ref()?.spec.as_ref()?.node_name.as_deref().unwrap_or("its node");
        Some(format!("its Pod has not been ready since {since}; the node `{node}` may be down"))
    }

    /// The state, and the process that the gateway then has.
    fn state(&self) -> (State, Option<u32>) {
        if self.pod.is_none() {
            return match (self.is_wanted(), self.registered) {
                (true, _) => (State::Starting, None),
                (false, true) => (State::Down, None),
                (false, false) => (State::Unsupervised, None),
            };
        }
        let record = self.record.as_ref();
        let pid = record.and_then(|record| record.pid);
        if !self.is_wanted() {
            return (State::Stopping, pid);
        }
        if self.is_ending() {
            // Another one follows it.
            return (State::Starting, None);
        }
        match record {
            Some(record) if record.record.parked.is_some() => (State::Parked, None),
            // What the record says is past.
            _ if !self.is_running() && self.ended().is_some() => (State::Backoff, None),
            Some(record) if record.backoff.is_some() => (State::Backoff, None),
            Some(PodRecord { pid: Some(_), ready: Some(false), .. }) => (State::Starting, pid),
            Some(PodRecord { pid: Some(_), .. }) => (State::Up, pid),
            _ => (State::Starting, None),
        }
    }

    /// The status of the gateway of `profile` now.
    pub(crate) fn status(
        &self,
        profile: &ProfileName,
        intent: Option<Intent>,
        now: Timestamp,
    ) -> Status {
        let (state, pid) = self.state();
        let record = self.record.as_ref();
        let deaths = self.deaths(now).len() + self.container_deaths(now);
        let backoff = record.and_then(|record| record.backoff.clone());
        let backoff = backoff.filter(|_| state == State::Backoff);
        // Kubernetes starts the container again, not the launcher in it the gateway.
        let by_container = state == State::Backoff && backoff.is_none();
        let lost = record.filter(|_| state == State::Up).and_then(|record| self.lost(record, now));
        let trouble = || match state {
            State::Starting if pid.is_none() => self.trouble(),
            _ => None,
        };
        let starting = |text| Reason { kind: ReasonKind::Starting, text };
        Status {
            registered: self.registered,
            state,
            pid,
            since: record.map(|record| record.since),
            intent,
            ready: record
                .filter(|_| state.is_running() && pid.is_some())
                .and_then(|record| record.ready),
            deaths: u32::try_from(deaths).unwrap_or(u32::MAX),
            last_exit: self
                .ended()
                .filter(|_| by_container)
                .map(exit)
                .or_else(|| record?.record.last_exit()),
            parked: record
                .filter(|_| state == State::Parked)
                .and_then(|record| record.record.parked.clone()),
            backoff,
            reason: lost
                .map(|text| Reason { kind: ReasonKind::Unresponsive, text })
                .or_else(|| trouble().map(starting)),
            ..Status::unsupervised(profile)
        }
    }

    /// When the gateway died in this Pod in the last hour, without the restarts that it asked for. By the wall clock: the
    /// other one is the clock of the Pod's node.
    pub(crate) fn deaths(&self, now: Timestamp) -> Vec<Timestamp> {
        let deaths = self.record.iter().flat_map(|record| &record.record.deaths);
        deaths
            .filter(|death| death.exit != Exit::Code(EXIT_RESTART) && age(death.at, now) <= AN_HOUR)
            .map(|death| death.at)
            .collect()
    }
}

/// Whether a StatefulSet wants its Pod.
pub(crate) fn is_wanted(set: &StatefulSet) -> bool {
    set.spec.as_ref().and_then(|spec| spec.replicas).is_some_and(|replicas| replicas > 0)
}

pub(crate) fn exit(ended: &ContainerStateTerminated) -> Exit {
    match ended.exit_code {
        // As a shell says it: 128 and the signal.
        code @ 129..=192 => Exit::Signal(code - 128),
        code => Exit::Code(code),
    }
}

fn said(reason: &str, message: Option<&str>) -> String {
    match message {
        Some(message) if !message.is_empty() => format!("{reason}: {message}"),
        _ => reason.to_owned(),
    }
}

pub(crate) fn age(then: Timestamp, now: Timestamp) -> Duration {
    now.duration_since(then).try_into().unwrap_or_default()
}

#[cfg(test)]
mod tests;
