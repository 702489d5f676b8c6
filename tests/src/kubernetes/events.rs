//! What the kubelet tells the thread of a Pod.

use hermes_core::status::Exit;

/// Something that concerns a Pod.
#[derive(Debug)]
pub(super) enum Event {
    /// The object or the node is another one than before.
    Changed,
    /// The container ended, with this message in its termination log.
    Exited(Exit, String),
    /// A probe of the container's run of this number was answered, well or not.
    Probed(Probe, u64, bool),
    /// The cluster ends.
    End,
}

/// A kind of probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Probe {
    /// Whether the container has started: only then do the other ones begin.
    Startup,
    /// Whether the Pod gets requests.
    Readiness,
    /// Whether the container has to be started again.
    Liveness,
}

impl Probe {
    /// Its key in a container.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Startup => "startupProbe",
            Self::Readiness => "readinessProbe",
            Self::Liveness => "livenessProbe",
        }
    }
}
