//! Reads the gateways' logs, which the kubelet keeps of each Pod's container, and stamps line by line.
//!
//! They go with the Pod: of a gateway that was stopped nothing is left.

mod follow;

use std::collections::VecDeque;

use futures_util::io::AsyncReadExt;
use hermes_core::log::{Follow, Line, Lines, Logs, Selection};
use hermes_core::manager::{During, ManagerError};
use hermes_core::{DriverError, ProfileName, parallel};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, LogParams};

use self::follow::FollowedLogs;
use crate::api_error::{ApiError, Operation};
use crate::driver::{AT_ONCE, Kubernetes, set_name};
use crate::names::pod_name;
use crate::objects::CONTAINER;

const READ: &str = "read the logs";
const FOLLOW: &str = "follow the logs";

/// One run of a container: the ID of its Pod, and how often it was restarted there.
type Run = (String, i32);

/// What a log has now.
#[derive(Debug, Default)]
struct Stored {
    run: Option<Run>,
    /// The selected lines.
    lines: VecDeque<Line>,
    /// The stamp of the last line, selected or not.
    last: Option<Timestamp>,
}

impl Kubernetes {
    fn stored(&self, profile: &ProfileName, selection: &Selection) -> Result<Stored, DriverError> {
        let Some(pod) = self.own_pod(profile)? else { return Ok(Stored::default()) };
        let run = run_of(&pod);
        let was_restarted = run.as_ref().is_some_and(|(_, restarts)| *restarts > 0);
        let mut bytes = match was_restarted {
            true => self.log(profile, selection, true)?,
            false => Vec::new(),
        };
        bytes.extend(self.log(profile, selection, false)?);
        let mut filter = selection.filter();
        let (mut lines, mut last) = (VecDeque::new(), None);
        for line in bytes.split_inclusive(|byte| *byte == b'\n').filter_map(line_of) {
            last = line.time;
            if filter.selects(&line) {
                lines.push_back(line);
            }
        }
        if let Some(most) = selection.last {
            lines.drain(..lines.len().saturating_sub(most));
        }
        Ok(Stored { run, lines, last })
    }

    /// The log of the container, or of the one before. Empty if it has not been started.
    fn log(
        &self,
        profile: &ProfileName,
        selection: &Selection,
        previous: bool,
    ) -> Result<Vec<u8>, ApiError> {
        let name = pod_name(&set_name(profile));
        // A line that is not selected may be among the last ones.
        let is_plain = selection.pattern.is_none() && selection.until.is_none();
        let last = selection.last.filter(|_| is_plain).map(|last| last.max(1));
        let parameters = LogParams {
            previous,
            since_time: selection.since,
            tail_lines: last.map(|last| i64::try_from(last).unwrap_or(i64::MAX)),
            ..parameters()
        };
        let log = self.client.call(&reading(&name), async |api: Api<Pod>| {
            let mut stream = Box::pin(api.log_stream(&name, &parameters).await?);
            let mut bytes = Vec::new();
            stream.read_to_end(&mut bytes).await.map_err(kube::Error::ReadEvents)?;
            Ok(bytes)
        });
        match log {
            Err(error) if is_about_no_log(&error) => Ok(Vec::new()),
            log => log,
        }
    }

    fn stored_of_all(
        &self,
        profiles: &[ProfileName],
        selection: &Selection,
    ) -> Result<Vec<Stored>, DriverError> {
        let all = profiles.iter().collect();
        let stored = parallel::map(all, AT_ONCE, |profile| self.stored(profile, selection));
        stored.into_iter().collect()
    }
}

/// Merges the lines of several logs by time, each with the index of its log. Those of each log keep their order.
fn merged(mut logs: Vec<VecDeque<Line>>) -> VecDeque<(usize, Line)> {
    let mut lines = VecDeque::new();
    loop {
        let heads = logs.iter().enumerate().filter_map(|(index, log)| Some((index, log.front()?)));
        let Some((index, _)) = heads.min_by_key(|(_, line)| line.time) else { return lines };
        lines.extend(logs[index].pop_front().map(|line| (index, line)));
    }
}

impl Logs for Kubernetes {
    /// Always true: only asking the cluster would show it.
    fn exists(&self, _: &ProfileName) -> Result<bool, ManagerError> {
        Ok(true)
    }

    fn read(&self, profiles: &[ProfileName], selection: &Selection) -> Result<Lines, ManagerError> {
        let stored = self.stored_of_all(profiles, selection).during(READ)?;
        let lines = merged(stored.into_iter().map(|stored| stored.lines).collect());
        Ok(Box::new(lines.into_iter().map(Ok)))
    }

    fn follow(
        &self,
        profiles: &[ProfileName],
        selection: &Selection,
    ) -> Result<Box<dyn Follow>, ManagerError> {
        let stored = self.stored_of_all(profiles, selection).during(FOLLOW)?;
        let followed = FollowedLogs::begin(self, profiles, selection, stored);
        Ok(Box::new(followed.during(FOLLOW)?))
    }
}

/// The run of the Pod's container; `None` if it has not been started.
fn run_of(pod: &Pod) -> Option<Run> {
    let container = pod.status.as_ref()?.container_statuses.as_ref()?.first()?;
    let state = container.state.as_ref()?;
    let has_run =
        state.running.is_some() || state.terminated.is_some() || container.restart_count > 0;
    has_run.then_some((pod.metadata.uid.clone()?, container.restart_count))
}

/// Whether there is no log, yet or any more: the container has not been started, or its node does not know of a Pod that was
/// placed there just now, or that has just ended.
fn is_about_no_log(error: &ApiError) -> bool {
    matches!(error.code(), Some(400 | 404))
}

/// The line that the kubelet has stamped: the time, a space, and what the gateway wrote. `None` for a message of the
/// kubelet's own, which has no stamp: that it can't read the log of a container that is being removed
/// (`GetContainerLogs` in `kuberuntime_container.go`).
fn line_of(bytes: &[u8]) -> Option<Line> {
    let text = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let end = text.iter().position(|byte| *byte == b' ').unwrap_or(text.len());
    let time = str::from_utf8(&text[..end]).ok()?.parse().ok()?;
    let text = text.get(end + 1..).unwrap_or_default().to_vec();
    Some(Line { time: Some(time), text, cut: false })
}

fn parameters() -> LogParams {
    LogParams { container: Some(CONTAINER.to_owned()), timestamps: true, ..LogParams::default() }
}

pub(crate) fn reading(pod: &str) -> Operation {
    let object = format!("the log of the Pod `{pod}`");
    Operation { verb: "read", permission: "get", resource: "pods/log", object }
}

#[cfg(test)]
mod tests;
