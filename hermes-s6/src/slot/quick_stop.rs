//! Stops many services whose supervisors answer as usual: sends the command to all of them, and waits for all with one
//! instance of inotify. A service that needs more is left to
//! [`bring_service_down`](super::lifecycle::bring_service_down).

use std::convert::Infallible;
use std::time::{Duration, Instant};

use hermes_core::config::StopTimeout;
use hermes_core::wait::{self, Poll};
use hermes_core::waiting::{Goal, Waiting};
use hermes_core::{DriverError, ProfileName, parallel};

use crate::protocol::control::{Sent, service};
use crate::protocol::events::Process;
use crate::protocol::rewritten::Rewrites;
use crate::slot::layout::ServiceDir;
use crate::slot::lifecycle::{prepare, request_end_of_displaced};
use crate::slot::logger;
use crate::tree::Tree;
use crate::tree::stray;
use crate::tree::svscan_view::SvscanView;

/// The gateway of a profile that is to be stopped, and its stop budget.
pub(crate) type Stop<'a> = (&'a ProfileName, StopTimeout);

/// What became of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stopped {
    /// It was seen down.
    Down,
    /// Its supervisor has got the command, and the service was not seen down.
    Requested,
    /// It has no supervisor that took the command.
    Not,
}

/// A service whose supervisor has got the command to bring it down.
struct Stopping {
    profile: ProfileName,
    slot: ServiceDir,
    supervisor: Process,
}

impl Stopping {
    /// Sends the command. `None` without a supervisor that reads it. The wait finds out why anything else fails.
    fn request(
        tree: &Tree,
        (profile, stop_timeout): Stop<'_>,
        rewrites: Option<&Rewrites>,
    ) -> Option<Self> {
        let slot = tree.scandir.slot(profile);
        let supervisor = Process::open(slot.supervisor().ok()??.pid?).ok()??;
        prepare(&slot, stop_timeout).ok()?;
        // s6-supervise replaces its record in the directory of its lock.
        if let (Some(rewrites), Some(directory)) = (rewrites, slot.lock().parent()) {
            rewrites.watch(directory).ok()?;
        }
        logger::resume_logger(&slot);
        let sent = slot.send(&[service::DOWN_FOR_GOOD]).ok()?;
        let stopping = Self { profile: profile.clone(), slot, supervisor };
        (sent == Sent::Delivered).then_some(stopping)
    }

    /// Whether the supervisor has executed the command, which it begins with the `down` file, and still runs, so that the
    /// record is its own; `None` if it does not run.
    fn is_down(&self) -> Option<bool> {
        let executed = matches!(self.slot.down().try_exists(), Ok(true));
        let record = self.slot.record_if_present().ok().flatten().filter(|_| executed);
        let is_down = record.is_some_and(|record| record.stays_down());
        (!self.supervisor.has_ended()).then_some(is_down)
    }

    /// Blocks until it is down, at most until `deadline`.
    fn await_down(&self, rewrites: Option<&Rewrites>, deadline: Instant) -> Stopped {
        let _waiting = Waiting::begin(Goal::End(self.profile.clone()), deadline);
        let idle = |pause: Duration| match rewrites {
            Some(rewrites) => rewrites.idle(pause),
            None => {
                let _ = wait::readable(&[], Some(Instant::now() + pause));
                false
            }
        };
        let Ok(down) = wait::until_idling(deadline, idle, || {
            Ok::<_, Infallible>(match self.is_down() {
                Some(true) => Poll::Done(Stopped::Down),
                Some(false) => Poll::Wait,
                None => Poll::Done(Stopped::Requested),
            })
        });
        down.unwrap_or(Stopped::Requested)
    }
}

/// Stops the services of `gateways`, and blocks until all are down, at most until `deadline`. Returns what became of each,
/// in their order.
pub(super) fn stop_together(tree: &Tree, gateways: &[Stop<'_>], deadline: Instant) -> Vec<Stopped> {
    // The kernel takes some 10 ms to close an instance of inotify, which is for nothing if all are down already.
    let are_down = gateways.iter().all(|(profile, _)| {
        let record = tree.scandir.slot(profile).record_if_present().ok().flatten();
        record.is_some_and(|record| record.stays_down())
    });
    let rewrites = if are_down { None } else { Rewrites::new().ok() };
    let rewrites = rewrites.as_ref();
    let request = |gateway| Stopping::request(tree, gateway, rewrites);
    let stopping = parallel::compute(gateways.to_vec(), request).into_iter();
    stopping
        .map(|stopping| match stopping {
            Some(stopping) => stopping.await_down(rewrites, deadline),
            None => Stopped::Not,
        })
        .collect()
}

/// Ends what may be left of the service of `profile`, which was seen down: strays, and the supervisor of an orphan.
/// `svscan` was read a moment ago.
pub(super) fn end_rest(
    tree: &Tree,
    svscan: &SvscanView<'_>,
    profile: &ProfileName,
) -> Result<(), DriverError> {
    let slot = tree.scandir.slot(profile);
    stray::end_of_many(tree, svscan, &slot)?;
    request_end_of_displaced(tree, profile, &slot)
}
