//! What a command on a service waits for: the events of the service, and the end of its supervisor.

use std::time::{Duration, Instant};

use hermes_core::DriverError;
use hermes_core::proc::Life;

use crate::protocol::events::{self, Events, Poll, Process};
use crate::protocol::resume::resume_reader;
use crate::slot::layout::ServiceDir;
use crate::tree::Tree;

/// How long a supervisor may take to record a death that it has noticed. On a full disk it never does.
const RECORDS: Duration = Duration::from_secs(2);

/// The events and the supervisor of a service that a command waits for.
pub(super) struct Watch {
    pub(super) events: [Events; 1],
    pub(super) supervisor: Vec<Process>,
}

impl Watch {
    /// Watches the service in `slot`; `None` if it has no supervisor.
    pub(super) fn begin(slot: &ServiceDir) -> Result<Option<Self>, DriverError> {
        let events = [Events::subscribe(&slot.event())?];
        let Some(holder) = slot.supervisor()? else { return Ok(None) };
        let process = holder.pid.map(Process::open).transpose()?.flatten();
        Ok(Some(Self { events, supervisor: process.into_iter().collect() }))
    }

    /// Blocks until the supervisor has recorded that the process in its record has ended. It notices that death when it is
    /// resumed, and records it a moment later: a death before a start is none of that start's.
    pub(super) fn await_notice(
        &mut self,
        tree: &Tree,
        slot: &ServiceDir,
        deadline: Instant,
    ) -> Result<(), DriverError> {
        let Some(supervisor) = self.supervisor.first() else { return Ok(()) };
        let has_died = |pid| tree.proc.life_under(supervisor.pid, pid) == Life::Ended;
        let mut resumed = false;
        let mut noticed_by = None;
        events::until(&mut self.events, &self.supervisor, deadline, || {
            let recorded = slot.record_if_present()?.and_then(|record| record.pid);
            if supervisor.has_ended() || !recorded.is_some_and(has_died) {
                return Ok(Poll::Done(()));
            }
            if !std::mem::replace(&mut resumed, true) {
                resume_reader(&slot.lock());
            }
            if recorded.is_some_and(|pid| tree.proc.is_zombie(pid)) {
                return Ok(Poll::Wait);
            }
            let recorded_by = *noticed_by.get_or_insert_with(|| Instant::now() + RECORDS);
            let is_late = Instant::now() >= recorded_by;
            Ok(if is_late { Poll::Done(()) } else { Poll::WaitUntil(recorded_by) })
        })?;
        Ok(())
    }
}
