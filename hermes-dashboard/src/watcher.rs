//! The thread that observes the gateways for all listeners.
//!
//! The backend announces which gateways changed, if it can, and the thread observes those. While there are listeners it
//! also polls, for other backends and for changes that s6 does not announce (a killed supervisor, an orphan).

use std::sync::Arc;
use std::time::Duration;

use hermes::view::ErrorView;
use hermes_core::changes::{Changed, Changes};
use hermes_core::{ProfileName, Supervisor};
use rustix::event::{PollFd, PollFlags, Timespec};

use crate::error::DashboardError;
use crate::gateway_view::{self, GatewayView};
use crate::shared::Shared;

/// The polling interval if the backend announces changes, and if it does not.
const ANNOUNCED: Duration = Duration::from_secs(10);
const UNANNOUNCED: Duration = Duration::from_secs(3);

/// Starts the thread, which runs until the process ends.
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
        self.observe_all();
        loop {
            let woken = self.wait();
            let changed = match self.changes.as_mut().map(|changes| changes.take()) {
                Some(Ok(changed)) => changed,
                Some(Err(_)) => {
                    self.changes = None;
                    Changed { all: true, ..Changed::default() }
                }
                None => Changed::default(),
            };
            if woken || changed.all {
                self.observe_all();
            } else {
                self.observe(&changed);
            }
        }
    }

    /// Blocks until there may be a change; returns whether all gateways must be observed.
    fn wait(&self) -> bool {
        let state_hub = &self.shared.state_hub;
        let changes = self.changes.as_ref().map(|changes| changes.fd());
        let pause = match state_hub.is_watched() {
            true => {
                Timespec::try_from(if changes.is_some() { ANNOUNCED } else { UNANNOUNCED }).ok()
            }
            false => None,
        };
        let mut fds = vec![PollFd::new(&state_hub.wake_up, PollFlags::IN)];
        fds.extend(changes.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        let ready = rustix::event::poll(&mut fds, pause.as_ref());
        state_hub.wake_up.take() || ready == Ok(0)
    }

    fn observe_all(&mut self) {
        let observed = self.shared.hermes().and_then(|hermes| {
            let services = hermes.reachable()?;
            self.watch(&services);
            services.record_distant_events(&Changed::all());
            gateway_view::all(&services, &self.shared.deaths)
        });
        if observed.is_err() {
            // Another supervision tree may start, with another scan directory.
            self.changes = None;
        }
        self.shared.state_hub.record_all(observed.map_err(ErrorView::from));
    }

    fn observe(&mut self, changed: &Changed) {
        let services = self.shared.hermes().and_then(|hermes| hermes.reachable());
        let Ok(services) = services else { return self.observe_all() };
        services.record_distant_events(changed);
        // Those that the gateway of `default` serves change with it.
        if changed.profiles.iter().any(ProfileName::is_default) && services.default_is_shared() {
            return self.observe_all();
        }
        for name in &changed.profiles {
            let gateway_view = GatewayView::of(&services, &self.shared.deaths, name);
            self.shared.state_hub.record(name.clone(), gateway_view);
        }
    }

    /// Subscribes to the changes that the backend announces, if it does.
    fn watch(&mut self, supervisor: &Supervisor) {
        if self.changes.is_none() {
            let changes = supervisor.driver().changes(supervisor.store());
            self.changes = changes.ok().flatten();
        }
    }
}
