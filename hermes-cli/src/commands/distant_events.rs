//! For commands that read the journal of events: has it brought up to date where gateways can't write to it.

use std::os::fd::BorrowedFd;

use hermes_core::Supervisor;
use hermes_core::changes::{Changed, Changes};

use crate::app::App;

/// The gateways whose events others have to record.
pub(super) struct DistantEvents {
    supervisor: Supervisor,
    changes: Option<Box<dyn Changes>>,
}

impl DistantEvents {
    /// Brings the journal up to date; `None` where gateways record their events themselves, or nobody answers: the journal
    /// has what it has.
    pub(super) fn record(app: &App) -> Option<Self> {
        let supervisor = app.supervisor().ok()?;
        if !supervisor.driver().has_distant_events() {
            return None;
        }
        supervisor.record_distant_events(&Changed::all());
        Some(Self { supervisor, changes: None })
    }

    /// Watches the gateways from now on, for [`record_new`](Self::record_new).
    pub(super) fn watch(mut self) -> Self {
        match self.supervisor.driver().changes(self.supervisor.store()) {
            Ok(changes) => self.changes = changes,
            Err(error) => log::warn!("new events come late: {error}"),
        }
        self
    }

    /// A descriptor that is readable when [`record_new`](Self::record_new) has something to do.
    pub(super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.changes.as_ref()?.fd())
    }

    /// Records the events of the gateways that have changed since the last call.
    pub(super) fn record_new(&mut self) {
        let Some(changes) = &mut self.changes else { return };
        match changes.take() {
            Ok(changed) => self.supervisor.record_distant_events(&changed),
            Err(error) => {
                log::warn!("new events come late: {error}");
                self.changes = None;
            }
        }
    }
}
