//! What a gateway leaves behind: processes of its group that outlive it.
//!
//! s6-supervise starts a service as the leader of a session of its own (`s6-supervise.c`, `setsid`) and
//! signals that one process alone. As long as one of its group lives, the kernel gives the leader's
//! number to no other process, so the group can be told apart from any other after its leader's end.

use std::time::Instant;

use hermes_core::manager::ManagerError;
use rustix::io::Errno;
use rustix::process::{Pid, Signal};

use crate::error::{failed, timed_out};
use crate::tree::Tree;
use crate::wait::{self, Look, Process};

/// Ends what is left of the group of `leader`, which has ended: SIGTERM at once, SIGKILL at
/// `deadline`. Blocks until all of it is gone.
pub fn end_group(
    tree: &Tree,
    operation: &str,
    leader: u32,
    deadline: Instant,
) -> Result<(), ManagerError> {
    let Some(group) = i32::try_from(leader).ok().and_then(Pid::from_raw) else {
        return Ok(());
    };
    if !signal(operation, group, None)? {
        return Ok(());
    }
    let members = members(tree, operation, leader)?;
    signal(operation, group, Some(Signal::TERM))?;
    let patience = tree.patience.stop_beyond_budget;
    let started = Instant::now();
    let mut killed = false;
    let done = wait::until(&mut [], &members, deadline + patience, || {
        // A zombie is still of the group, until its new parent has seen it.
        if members.iter().all(Process::has_ended) || !signal(operation, group, None)? {
            return Ok(Look::Done(()));
        }
        if !killed && Instant::now() >= deadline {
            signal(operation, group, Some(Signal::KILL))?;
            killed = true;
        }
        Ok(Look::WaitUntil(deadline))
    })?;
    done.ok_or_else(|| {
        let left = members.iter().filter(|process| !process.has_ended());
        let left = left.map(|process| tree.proc.title(process.pid)).collect::<Vec<_>>().join(", ");
        let hint = "a process that the kernel can't kill waits for a disk or a network file system";
        timed_out(operation, started.elapsed(), format!("{left} still runs"), hint)
    })
}

/// Signals a group (or only asks, with `None`), and answers whether there is one.
fn signal(operation: &str, group: Pid, signal: Option<Signal>) -> Result<bool, ManagerError> {
    let result = match signal {
        Some(signal) => rustix::process::kill_process_group(group, signal),
        None => rustix::process::test_kill_process_group(group),
    };
    match result {
        Ok(()) => Ok(true),
        Err(Errno::SRCH) => Ok(false),
        Err(errno) => Err(failed(operation, std::io::Error::from(errno))),
    }
}

fn members(tree: &Tree, operation: &str, group: u32) -> Result<Vec<Process>, ManagerError> {
    let io = |error: std::io::Error| failed(operation, error);
    let mut members = Vec::new();
    for pid in tree.proc.processes().map_err(io)? {
        // One that ended in between is no member any more.
        if tree.proc.group(pid).is_ok_and(|of| of == group) {
            members.extend(Process::open(pid).map_err(io)?);
        }
    }
    Ok(members)
}
