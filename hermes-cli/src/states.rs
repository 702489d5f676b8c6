//! What the states of gateways mean, and what an operator does about each: for `hermes gateway status` and `hermes help
//! states`.

use anstyle::{AnsiColor, Style};
use hermes_core::State;
use hermes_core::status::{ReasonKind, Status};

/// What a state means.
pub(crate) fn meaning(state: State) -> &'static str {
    match state {
        State::Up => "runs, and is ready if it reports readiness",
        State::Starting => "runs, and is not ready yet",
        State::Backoff => "died, and waits for its next start",
        State::Stopping => "received SIGTERM, and has not ended yet",
        State::Down => "does not run, and will not be started",
        State::Parked => "does not run, because another start would fail, too",
        State::Orphan => "runs, but not as a child of its supervisor",
        State::Stray => "its supervisor outlived its tree, and belongs to no other",
        State::Foreign => "is the Python agent's, and runs outside of any supervisor",
        State::Served => "is served by the gateway of `default`, and has no process of its own",
        State::Unsupervised => "has no service",
        // A state that another version of the library adds.
        _ => "has a state that this program does not know",
    }
}

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

/// The colour of a state: green runs, yellow changes, red needs an operator, grey is down as it should be.
pub(crate) fn style(status: &Status) -> Style {
    let colour = match status.state {
        _ if status.needs_attention() => AnsiColor::Red,
        State::Up | State::Served => AnsiColor::Green,
        State::Starting | State::Stopping => AnsiColor::Yellow,
        _ => AnsiColor::BrightBlack,
    };
    colour.on_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_needs_attention_has_advice() {
        let name = "coder".parse().expect("it is valid");
        for state in State::ALL {
            let status = Status { state, ..Status::unsupervised(&name) };
            let advice = advice(&status);
            assert!(!status.needs_attention() || advice.is_some(), "{state}");
            assert!(!meaning(state).contains("does not know"), "{state}");
        }
    }
}
