//! What an operator does about a gateway: for `hermes gateway status` and the dashboard.

use hermes_core::State;
use hermes_core::status::{ReasonKind, Status};

/// The command that changes what is wrong, or where its cause is printed; `None` if nothing is wrong, or if waiting is all
/// that helps.
pub(crate) fn advice(status: &Status) -> Option<String> {
    let name = &status.profile;
    let logs = format!("`hermes logs {name}` prints its output");
    let start = format!("`hermes start {name}`");
    match status.state {
        State::Up if status.is_unresponsive() => {
            Some(format!("{logs}; `hermes restart {name}` starts it anew"))
        }
        State::Served if status.needs_attention() => {
            Some("`hermes status default` shows the gateway that serves it".to_owned())
        }
        State::Up | State::Stopping | State::Served => None,
        State::Starting => Some(logs),
        State::Backoff => Some(format!("{logs}; {start} ends the wait")),
        State::Down if matches!(&status.reason, Some(it) if it.kind == ReasonKind::Suspended) => {
            Some(format!("{start} resumes its supervisor"))
        }
        State::Down => Some(format!("{start} starts it")),
        State::Parked => Some(format!("{logs}; once the cause is mended, {start}")),
        State::Orphan if status.pid.is_none() => {
            Some("stop it where it runs: on that host, or in that container".to_owned())
        }
        State::Orphan | State::Stray => {
            Some(format!("`hermes restart {name}` has it supervised; `hermes stop {name}` ends it"))
        }
        State::Foreign => Some(format!("`hermes adopt {name}` has it supervised")),
        State::Unsupervised => Some(format!("{start} creates its service and starts it")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_needs_attention_has_advice() {
        let name = "coder".parse().expect("it is valid");
        for state in State::ALL {
            let status = Status { state, ..Status::unsupervised(&name) };
            assert!(!status.needs_attention() || advice(&status).is_some(), "{state}");
        }
    }
}
