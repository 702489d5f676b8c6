//! What containers print.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use tokio::sync::watch::{Receiver, Sender};

/// The output of one run of a container.
#[derive(Debug)]
pub(super) struct Log {
    lines: Mutex<Vec<(Timestamp, String)>>,
    /// How many lines there are, and whether there will be more.
    state: Sender<(usize, bool)>,
}

impl Log {
    pub(super) fn new() -> Self {
        Self { lines: Mutex::new(Vec::new()), state: Sender::new((0, false)) }
    }
    pub(super) fn add(&self, line: String) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push((Timestamp::now(), line));
        self.state.send_modify(|(count, _)| *count = lines.len());
    }

    /// Nothing will follow.
    pub(super) fn end(&self) {
        self.state.send_modify(|(_, is_over)| *is_over = true);
    }

    /// The number of lines, whether there will be no more, and changes of both.
    pub(super) fn subscribe(&self) -> Receiver<(usize, bool)> {
        self.state.subscribe()
    }

    /// The lines but the first `begin`.
    pub(super) fn since(&self, begin: usize) -> Vec<(Timestamp, String)> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.get(begin..).unwrap_or_default().to_vec()
    }
}

/// The logs of a Pod's container: of its last run, and of the one before.
#[derive(Debug, Clone, Default)]
pub(super) struct Logs {
    pub(super) current: Option<Arc<Log>>,
    pub(super) previous: Option<Arc<Log>>,
}
