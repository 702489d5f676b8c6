//! Resumes processes of the tree that SIGSTOP has suspended.
//!
//! Nobody has a use for a suspended s6-svscan, s6-supervise or s6-log: it executes no command, notices no death and
//! logs no line. So whoever gets a command is resumed ([`resume_reader`]). Each holds a lock, which identifies it.

use std::io;
use std::path::Path;

use hermes_core::Proc;
use hermes_core::process_lock;
use rustix::process::Signal;

use super::events::Process;

/// The command that resumes the process `pid`.
pub(crate) fn command(pid: u32) -> String {
    format!("kill -CONT {pid}")
}

/// Names the suspended process `pid`, and what resumes it.
pub(crate) fn described(proc: &Proc, pid: u32) -> String {
    format!("`{}` resumes {}", command(pid), proc.title(pid))
}

/// The process that holds the lock at `lock`, if it is suspended. Does not wait.
pub(crate) fn suspended_holder(proc: &Proc, lock: &Path) -> io::Result<Option<u32>> {
    let holder = process_lock::holder(lock)?.and_then(|holder| holder.pid);
    Ok(holder.filter(|pid| proc.is_suspended(*pid)))
}

/// Resumes the process that holds the lock at `lock` and has a command to execute, if it is suspended. Only warns if it
/// can't: then the command is late.
pub(crate) fn resume_reader(lock: &Path) {
    let proc = Proc::default();
    let Ok(Some(pid)) = suspended_holder(&proc, lock) else { return };
    let title = proc.title(pid);
    let resumed = Process::holding(lock).and_then(|reader| match reader {
        Some(reader) if reader.pid == pid => reader.signal(Signal::CONT),
        _ => Ok(()),
    });
    match resumed {
        Ok(()) => {
            log::warn!("{title} was suspended (SIGSTOP); it was resumed to execute a command")
        }
        Err(error) => log::warn!(
            "{title} is suspended (SIGSTOP) and executes no command: {error}; as its owner: `{}`",
            command(pid)
        ),
    }
}
