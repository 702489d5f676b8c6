//! Ends supervisors whose slot was removed or moved away while they ran, as by `rm -r`.
//!
//! Such a supervisor runs on in its former directory, where no command reaches its FIFO. Its logger keeps the
//! lock of the log directory, so a new logger can't read what the gateway of a new slot writes. s6-svscan
//! ends the supervisors whose directory is gone, which it knows by device and inode (`s6-svscan.c`). One
//! whose directory is still there, without the files that show its lock, gets SIGTERM (`s6-supervise.html`):
//! s6-svscan then starts another one, which makes the files again.

use std::io;
use std::path::PathBuf;

use hermes_core::DriverError;
use rustix::process::Signal;

use crate::protocol::control::scan;
use crate::protocol::events::Process;
use crate::slot::layout::ServiceDir;
use crate::tree::Tree;

/// The program of a supervisor.
pub const SUPERVISE: &str = "s6-supervise";

/// The supervisor of the process `child`, which belongs to `service` by one of its locks, if it is a supervisor
/// of this tree and not the one that `service` has now. Does not wait.
fn displaced(tree: &Tree, service: &ServiceDir, child: u32) -> io::Result<Option<Process>> {
    let current = service.supervisor()?.and_then(|holder| holder.pid);
    let Ok(parent) = tree.proc.parent(child) else { return Ok(None) };
    if current == Some(parent) || !tree.proc.runs(parent, SUPERVISE) || !is_of_tree(tree, parent)? {
        return Ok(None);
    }
    let process = Process::open(parent)?;
    // Now that the process is open, its number can't be reused.
    Ok(process.filter(|process| tree.proc.is_child(child, process.pid)))
}

fn is_of_tree(tree: &Tree, supervisor: u32) -> io::Result<bool> {
    let svscan = tree.scandir.svscan()?.and_then(|holder| holder.pid);
    let below = |directory: PathBuf| directory.starts_with(tree.scandir.path());
    Ok(svscan.is_some_and(|svscan| tree.proc.is_child(supervisor, svscan))
        || tree.proc.directory(supervisor).is_ok_and(below))
}

/// Requests that the [`displaced`] supervisor of `child` brings its service down and ends. `false` if there is
/// none. Does not wait.
pub(crate) fn request_end(
    tree: &Tree,
    service: &ServiceDir,
    child: u32,
) -> Result<bool, DriverError> {
    let Some(supervisor) = displaced(tree, service, child)? else { return Ok(false) };
    log::warn!("{} runs outside its slot; ending it", tree.proc.title(supervisor.pid));
    // The scan comes first: s6-svscan starts the supervisor again if it believes the directory to be there.
    tree.scandir.send(&[scan::ALARM, scan::NUKE])?;
    supervisor.signal(Signal::TERM)?;
    Ok(true)
}
