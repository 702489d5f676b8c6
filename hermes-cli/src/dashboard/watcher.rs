//! The one thread that looks at the gateways, for all who listen.
//!
//! Under s6 it is told what changed, and looks at that. What nothing announces (a supervisor that was
//! killed, an orphan), and any other kind of backend, it looks at from time to time, as long as somebody
//! listens.

use std::sync::Arc;
use std::time::Duration;

use hermes_core::Supervisor;
use hermes_core::changes::{Changed, Changes};
use rustix::event::{PollFd, PollFlags, Timespec};

use super::Dashboard;
use super::gateway_view::{self, GatewayView};
use crate::error::CliError;
use crate::output;

/// How often all is looked at where changes are told, and where they are not.
const TOLD: Duration = Duration::from_secs(10);
const UNTOLD: Duration = Duration::from_secs(3);

/// Starts the thread, which lives as long as the process.
pub(super) fn start(dashboard: &Arc<Dashboard>) -> Result<(), CliError> {
    let dashboard = dashboard.clone();
    let thread = std::thread::Builder::new().name("watcher".to_owned());
    let started = thread.spawn(move || Watcher { dashboard, changes: None }.run());
    started.map(drop).map_err(|error| CliError::new("failed to start watching").because(error))
}

struct Watcher {
    dashboard: Arc<Dashboard>,
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
        let state_hub = &self.dashboard.state_hub;
        let changes = self.changes.as_ref().map(|changes| changes.fd());
        let pause = match state_hub.is_watched() {
            true => Timespec::try_from(if changes.is_some() { TOLD } else { UNTOLD }).ok(),
            false => None,
        };
        let mut fds = vec![PollFd::from_borrowed_fd(state_hub.wake_fd(), PollFlags::IN)];
        fds.extend(changes.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        let ready = rustix::event::poll(&mut fds, pause.as_ref());
        state_hub.was_woken() || ready == Ok(0)
    }

    fn look_at_all(&mut self) {
        let seen = self.dashboard.app().and_then(|app| {
            let services = app.reachable()?;
            self.watch(&services);
            gateway_view::all(&app, &services)
        });
        if seen.is_err() {
            // Another tree may come, on another scan directory.
            self.changes = None;
        }
        self.dashboard.state_hub.record_all(seen.map_err(|error| output::as_json(&error)));
    }

    fn look_at(&mut self, told: &Changed) {
        let services = self.dashboard.app().and_then(|app| app.reachable());
        let Ok(services) = services else { return self.look_at_all() };
        for name in &told.profiles {
            let gateway_view = GatewayView::of(&services, name);
            self.dashboard.state_hub.record(name.clone(), gateway_view);
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
