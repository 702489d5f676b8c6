//! What the states of gateways mean, for `hermes help states`, and their colours.

use anstyle::{AnsiColor, Style};
use hermes_core::State;
use hermes_core::status::Status;

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
    fn every_state_has_a_meaning() {
        for state in State::ALL {
            assert!(!meaning(state).contains("does not know"), "{state}");
        }
    }
}
