//! Times as Kubernetes writes them.

use jiff::Timestamp;

/// To the second, as in objects.
pub(super) fn seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The present, to the second.
pub(super) fn now() -> String {
    seconds(Timestamp::now())
}

/// To the nanosecond, as in logs.
pub(super) fn nanoseconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%9fZ").to_string()
}
