//! Why a gateway is not as it should be.

use serde::{Deserialize, Serialize};

/// Why a gateway is not healthy, or a wanted one not up, as far as that is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// The kind of reason.
    pub kind: ReasonKind,
    /// The reason, as text for the user.
    pub text: String,
}

/// The kinds of [`Reason`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ReasonKind {
    /// It is starting, and its `ready_url` does not answer as it should.
    Starting,
    /// It is up, and does not answer.
    Unresponsive,
    /// It is down, and another gateway has its port.
    Port,
    /// It runs outside of any supervisor.
    Foreign,
    /// It runs, and its output can't be logged, so that it will block.
    Logger,
    /// It is parked.
    Parked,
    /// It died, and waits for its next start.
    Backoff,
    /// It is down: an operator stopped it with another program's command, or its intent could not be recorded.
    Stopped,
    /// It serves another profile's requests, which its `gateway.topology` excludes.
    Topology,
    /// `default`'s gateway serves it and is not healthy, or may serve it and is not up.
    Served,
    /// It has died, and SIGSTOP has suspended its supervisor, which has not noticed.
    Suspended,
}
