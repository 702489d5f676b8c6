//! Ends a supervision tree, and what a killed s6-svscan leaves.

use rustix::io::Errno;
use rustix::process::Signal;

use crate::files;
use crate::process::{await_end, open};
use crate::slot::{self, PARTS};

/// Ends s6-svscan, which waits for its supervisors, as each of those waits for its service.
pub(crate) fn end(scandir: &str) -> Result<(), Errno> {
    let holder = files::holder(&[scandir, "/.s6-svscan/lock"].concat())?.ok_or(Errno::SRCH)?;
    let svscan = open(holder)?;
    rustix::process::pidfd_send_signal(&svscan, Signal::TERM)?;
    await_end(&svscan)
}

/// Ends the gateways, supervisors and loggers of an s6-svscan that was killed, and removes their slots.
pub(crate) fn clear(scandir: &str) -> Result<(), Errno> {
    let slots = slot::all(scandir)?;
    let mut supervisors = Vec::new();
    for slot in &slots {
        // The logger ends by itself with the gateway, and its supervisor is to end with it.
        for (part, command) in PARTS.into_iter().zip([b"dx", &b"x"[..]]) {
            let supervise = [slot, part, "/supervise"].concat();
            if let Some(pid) = files::holder(&[&supervise, "/lock"].concat())? {
                supervisors.push(open(pid)?);
                files::send(&[&supervise, "/control"].concat(), command)?;
            }
        }
    }
    supervisors.iter().try_for_each(await_end)?;
    slots.iter().try_for_each(|slot| files::remove_all(slot))
}
