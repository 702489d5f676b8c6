//! The state of a gateway that the record of s6-supervise means.

use hermes_core::status::State;

use crate::protocol::record::Record;

/// The state that a record means. `notifies`: the gateway reports readiness; `died`: it has died before.
pub(crate) fn state(record: &Record, notifies: bool, died: bool, parked: bool) -> State {
    match (record.gateway(), record.want_up) {
        (Some(_), false) => State::Stopping,
        (Some(_), true) if notifies && !record.ready => State::Starting,
        (Some(_), true) => State::Up,
        (None, true) if died => State::Backoff,
        (None, true) => State::Starting,
        (None, false) if record.finishing => State::Stopping,
        (None, false) if parked => State::Parked,
        (None, false) => State::Down,
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn record(pid: Option<u32>, finishing: bool, want_up: bool, ready: bool) -> Record {
        Record {
            stamp: Timestamp::UNIX_EPOCH,
            ready_stamp: Timestamp::UNIX_EPOCH,
            pid,
            wait_status: 0,
            paused: false,
            finishing,
            want_up,
            ready,
        }
    }

    #[test]
    fn every_record_means_one_state() {
        let (pid, run, finish) = (Some(7), false, true);
        let cases = [
            (record(pid, run, true, true), true, false, State::Up),
            (record(pid, run, true, false), true, false, State::Starting),
            (record(pid, run, true, false), false, false, State::Up),
            (record(pid, run, false, true), true, false, State::Stopping),
            (record(pid, finish, true, false), true, false, State::Backoff),
            (record(pid, finish, false, false), true, false, State::Stopping),
            (record(None, run, true, true), true, false, State::Backoff),
            (record(None, run, false, true), true, false, State::Down),
            (record(None, run, false, true), true, true, State::Parked),
        ];
        for (record, notifies, parked, expected) in cases {
            assert_eq!(state(&record, notifies, true, parked), expected, "{record:?}");
        }
        let fresh = record(None, run, true, true);
        assert_eq!(state(&fresh, true, false, false), State::Starting, "it never died");
    }
}
