//! Waits that poll until a condition holds or a deadline passes.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use rustix::event::Timespec;

/// Calls `check` until it returns true, with a pause of `every` between two calls; fails after `timeout`.
pub(crate) fn until(
    timeout: Duration,
    every: Duration,
    what: &str,
    mut check: impl FnMut() -> Result<bool>,
) -> Result<()> {
    let start = Instant::now();
    while !check()? {
        if start.elapsed() > timeout {
            bail!("{what}: not within {} s", timeout.as_secs());
        }
        // A pause that a signal interrupts only makes the next check earlier.
        let _ = rustix::event::poll(&mut [], Timespec::try_from(every).ok().as_ref());
    }
    Ok(())
}
