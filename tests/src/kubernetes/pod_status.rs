//! The status of a Pod, as the kubelet writes it.

use std::net::Ipv4Addr;

use hermes_core::status::Exit;
use serde_json::{Value, json};

use super::time;

/// What is known of a Pod's container.
#[derive(Debug)]
pub(super) struct Container {
    state: Value,
    last: Value,
    starts: u64,
    pub(super) is_ready: bool,
    /// Whether it will not start again.
    pub(super) is_over: bool,
}

impl Default for Container {
    fn default() -> Self {
        let state = json!({ "waiting": { "reason": "ContainerCreating" } });
        Self { state, last: json!({}), starts: 0, is_ready: false, is_over: false }
    }
}

impl Container {
    pub(super) fn waits(&mut self, reason: &str, message: &str) {
        self.state = json!({ "waiting": { "reason": reason, "message": message } });
        self.is_ready = false;
    }

    pub(super) fn runs(&mut self, is_ready: bool) {
        if !self.state["terminated"].is_null() {
            self.last = self.state.take();
        }
        self.state = json!({ "running": { "startedAt": time::now() } });
        self.starts += 1;
        self.is_ready = is_ready;
    }

    pub(super) fn ended(&mut self, exit: Exit, message: &str) {
        let code = match exit {
            Exit::Code(code) => code,
            Exit::Signal(signal) => 128 + signal,
        };
        let mut terminated = json!({
            "exitCode": code, "reason": if code == 0 { "Completed" } else { "Error" },
            "startedAt": self.state["running"]["startedAt"], "finishedAt": time::now(),
            "containerID": self.id(),
        });
        if !message.is_empty() {
            terminated["message"] = message.into();
        }
        self.state = json!({ "terminated": terminated });
        self.is_ready = false;
    }

    fn id(&self) -> String {
        format!("test://{}", self.starts)
    }
}

/// Writes the status of `pod`, whose node it reached at `started` unless it says so already.
pub(super) fn write(pod: &mut Value, container: &Container, address: Ipv4Addr, started: &Value) {
    let spec = pod["spec"]["containers"][0].clone();
    let name = spec["name"].as_str().unwrap_or_default();
    let runs = !container.state["running"].is_null();
    let phase = match (container.is_over, container.starts) {
        (true, _) if container.state["terminated"]["exitCode"] == 0 => "Succeeded",
        (true, _) => "Failed",
        (false, 0) => "Pending",
        (false, _) => "Running",
    };
    let before = pod["status"]["conditions"].clone();
    let not_ready = json!({
        "reason": "ContainersNotReady", "message": format!("containers with unready status: [{name}]"),
    });
    let conditions: Vec<_> = [
        ("PodScheduled", true),
        ("Initialized", true),
        ("ContainersReady", container.is_ready),
        ("Ready", container.is_ready),
    ]
    .into_iter()
    .map(|(kind, holds)| {
        let reason = if holds { &Value::Null } else { &not_ready };
        condition(&before, kind, holds, reason)
    })
    .collect();
    let status = &mut pod["status"];
    status["phase"] = phase.into();
    status["conditions"] = conditions.into();
    status["hostIP"] = "127.0.0.1".into();
    status["podIP"] = address.to_string().into();
    status["podIPs"] = json!([{ "ip": address.to_string() }]);
    if status["startTime"].is_null() {
        status["startTime"] = started.clone();
    }
    status["containerStatuses"] = json!([{
        "name": name, "image": spec["image"], "imageID": "", "containerID": container.id(),
        "ready": container.is_ready, "started": runs,
        "restartCount": container.starts.saturating_sub(1),
        "state": container.state, "lastState": container.last,
    }]);
}

/// A condition, with the time since when it is so. `reason` has more keys of one that does not hold.
pub(super) fn condition(before: &Value, kind: &str, holds: bool, reason: &Value) -> Value {
    let status = if holds { "True" } else { "False" };
    let former = before.as_array().into_iter().flatten().find(|one| one["type"] == kind);
    let since = match former.filter(|former| former["status"] == status) {
        Some(former) => former["lastTransitionTime"].clone(),
        None => time::now().into(),
    };
    let mut condition = json!({ "type": kind, "status": status, "lastTransitionTime": since, "lastProbeTime": null });
    for (key, value) in reason.as_object().into_iter().flatten() {
        condition[key] = value.clone();
    }
    condition
}

/// Sets the condition `Ready` of `pod` as the control plane does if its node does not answer.
pub(super) fn lose(pod: &mut Value) {
    let before = pod["status"]["conditions"].clone();
    let ready = condition(&before, "Ready", false, &Value::Null);
    for condition in pod["status"]["conditions"].as_array_mut().into_iter().flatten() {
        if condition["type"] == "Ready" {
            *condition = ready.clone();
        }
    }
}
