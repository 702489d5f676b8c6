//! One watch on the gateways for all threads that wait for their changes.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use super::Supervisor;
use crate::changes::{Announcer, Changed, Changes};
use crate::wait;

/// How often the gateways' directories are compared with what they were, in case an event was missed.
const INTERVAL: Duration = Duration::from_secs(30);

impl Supervisor {
    /// Announces the gateways that change until `end` becomes readable or is closed, and blocks until then. All
    /// gateways are announced at the beginning; if they can't be watched, for which the kernel may lack room,
    /// they are all announced every 30 s.
    pub fn announce_changes(
        &self,
        announcers: &[Announcer],
        end: BorrowedFd<'_>,
    ) -> io::Result<()> {
        let announce =
            |changed: &Changed| announcers.iter().for_each(|announcer| announcer.announce(changed));
        let mut changes = self.driver.changes(&self.store).unwrap_or_else(unwatched);
        let mut next = Instant::now();
        announce(&Changed::all());
        loop {
            let now = Instant::now();
            if next <= now {
                next = now + INTERVAL;
                announce(&match &mut changes {
                    Some(watch) => watch.compare().unwrap_or_else(|error| {
                        changes = unwatched(error);
                        Changed::all()
                    }),
                    None => Changed::all(),
                });
            }
            let watched = changes.as_ref().map(|changes| changes.fd());
            let fds: Vec<_> = [Some(end), watched].into_iter().flatten().collect();
            let ready = wait::readable(&fds, Some(next))?;
            if ready[0] {
                return Ok(());
            }
            if let Some(watch) = changes.as_mut().filter(|_| ready[1]) {
                announce(&watch.take().unwrap_or_else(|error| {
                    changes = unwatched(error);
                    Changed::all()
                }));
            }
        }
    }
}

fn unwatched(error: io::Error) -> Option<Box<dyn Changes>> {
    log::warn!("changed gateways are noticed every 30 s only: {error}");
    None
}
