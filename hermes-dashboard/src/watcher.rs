//! The one thread that observes the gateways, for all listeners.
//!
//! s6 announces which gateways changed, and the thread observes those. What nothing announces (a supervisor
//! that was killed, an orphan), and any other backend, it polls for as long as somebody listens.

use std::sync::Arc;
use std::time::Duration;

use hermes::view::ErrorView;
use hermes_core::Supervisor;
use hermes_core::changes::{Changed, Changes};
use rustix::event::{PollFd, PollFlags, Timespec};

use crate::error::DashboardError;
use crate::gateway_view::{self, GatewayView};
use crate::shared::Shared;

/// How often all gateways are observed where a backend announces changes, and where none does.
const ANNOUNCED: Duration = Duration::from_secs(10);
const UNANNOUNCED: Duration = Duration::from_secs(3);

/// Starts the thread, which lives as long as the process.
pub(crate) fn start(shared: &Arc<Shared>) -> Result<(), DashboardError> {
    let shared = shared.clone();
    let thread = std::thread::Builder::new().name("watcher".to_owned());
    let started = thread.spawn(move || Watcher { shared, changes: None }.run());
    started.map(drop).map_err(|source| DashboardError::Watch { source })
}

struct Watcher {
    shared: Arc<Shared>,
    changes: Option<Box<dyn Changes>>,
}

impl Watcher {
    fn run(mut self) {
        self.look_at_all();
        loop {
            let woken = self.wait();
            let told = match self.changes.as_mut().map(|changes| changes.take()) {
                Some(Ok(told)) => told,
                Some(Err(_)) => {
                    self.changes = None;
                    Changed { all: true, ..Changed::default() }
                }
                None => Changed::default(),
            };
            if woken || told.all {
                self.look_at_all();
            } else {
                self.look_at(&told);
            }
        }
    }

    /// Blocks until there may be something to see; whether that is more than was told.
    fn wait(&self) -> bool {
        let state_hub = &self.shared.state_hub;
        let changes = self.changes.as_ref().map(|changes| changes.fd());
        let pause = match state_hub.is_watched() {
            true => {
                Timespec::try_from(if changes.is_some() { ANNOUNCED } else { UNANNOUNCED }).ok()
            }
            false => None,
        };
        let mut fds = vec![PollFd::from_borrowed_fd(state_hub.wake_fd(), PollFlags::IN)];
        fds.extend(changes.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        let ready = rustix::event::poll(&mut fds, pause.as_ref());
        state_hub.was_woken() || ready == Ok(0)
    }

    fn look_at_all(&mut self) {
        let seen = self.shared.hermes().and_then(|hermes| {
            let services = hermes.reachable()?;
            self.watch(&services);
            gateway_view::all(&services)
        });
        if seen.is_err() {
            // Another tree may come, on another scan directory.
            self.changes = None;
        }
        self.shared.state_hub.record_all(seen.map_err(ErrorView::from));
    }

    fn look_at(&mut self, told: &Changed) {
        let services = self.shared.hermes().and_then(|hermes| hermes.reachable());
        let Ok(services) = services else { return self.look_at_all() };
        for name in &told.profiles {
            let gateway_view = GatewayView::of(&services, name);
            self.shared.state_hub.record(name.clone(), gateway_view);
        }
    }

    /// Watches for changes, where the backend can be watched.
    fn watch(&mut self, supervisor: &Supervisor) {
        if self.changes.is_none() {
            let changes = supervisor.driver().changes(supervisor.store());
            self.changes = changes.ok().flatten();
        }
    }
}
