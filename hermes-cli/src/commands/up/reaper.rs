//! Reaps the processes that process 1 adopts, where `hermes up` is process 1 of a container.

use std::collections::BTreeSet;
use std::io::{self, PipeReader, Read};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Mutex, MutexGuard, PoisonError};

use hermes_core::Proc;
use hermes_s6::Tree;
use rustix::event::{PollFd, PollFlags};
use rustix::process::{Pid, Signal, WaitOptions};

/// The children of [`spawn`], which the reaper spares.
static SPARED: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

fn spared() -> MutexGuard<'static, BTreeSet<u32>> {
    SPARED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts a child whose status the reaper leaves to [`wait`].
pub(super) fn spawn(command: &mut Command) -> io::Result<Child> {
    // Held until the child is in the list: it may end at once.
    let mut spared = spared();
    let child = command.spawn()?;
    spared.insert(child.id());
    Ok(child)
}

/// Blocks until a child of [`spawn`] has ended.
pub(super) fn wait(child: &mut Child) -> io::Result<ExitStatus> {
    let status = child.wait();
    spared().remove(&child.id());
    status
}

/// Reaps ended children of this process.
#[derive(Debug)]
pub(super) struct Reaper {
    /// Readable after a child has ended.
    pipe: PipeReader,
    proc: Proc,
}

impl Reaper {
    /// `None` unless this process is process 1, or if SIGCHLD can't be caught.
    pub(super) fn of_process_1(tree: &Tree) -> Option<Self> {
        if std::process::id() != 1 {
            return None;
        }
        let start = || {
            let (pipe, writer) = io::pipe()?;
            rustix::io::ioctl_fionbio(&pipe, true)?;
            let signal = Signal::CHILD.as_raw();
            signal_hook::low_level::pipe::register(signal, OwnedFd::from(writer))?;
            Ok::<_, io::Error>(Self { pipe, proc: tree.proc.clone() })
        };
        let reaper =
            start().inspect_err(|error| log::warn!("adopted processes stay: {error}")).ok();
        // Those that ended before.
        reaper.inspect(Self::reap)
    }

    pub(super) fn poll_fd(&self) -> PollFd<'_> {
        PollFd::new(&self.pipe, PollFlags::IN)
    }

    /// Reaps the children that have ended. Does not wait.
    pub(super) fn reap(&self) {
        let mut bytes = [0; 512];
        while (&self.pipe).read(&mut bytes).is_ok_and(|read| read == bytes.len()) {}
        let me = std::process::id();
        let spared = spared();
        let children = self.proc.children_of_all_threads(me).unwrap_or_else(|| {
            let all = self.proc.processes().unwrap_or_default().into_iter();
            all.filter(|pid| self.proc.is_child(*pid, me)).collect()
        });
        for child in children.into_iter().filter(|pid| !spared.contains(pid)) {
            let pid = i32::try_from(child).ok().and_then(Pid::from_raw);
            let _ = rustix::process::waitpid(pid, WaitOptions::NOHANG);
        }
    }
}
