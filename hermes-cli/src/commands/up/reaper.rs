//! Reaps the processes that process 1 adopts, where `hermes up` is process 1 of a container.

use std::io::{self, PipeReader, Read};
use std::os::fd::OwnedFd;

use hermes_core::Proc;
use hermes_s6::Tree;
use rustix::event::{PollFd, PollFlags};
use rustix::process::{Pid, Signal, WaitOptions};

/// Reaps ended children of this process.
#[derive(Debug)]
pub(super) struct Reaper {
    /// Readable after a child has ended.
    pipe: PipeReader,
    proc: Proc,
    /// The child that another part of the program waits for.
    spared: u32,
}

impl Reaper {
    /// `None` unless this process is process 1, or if SIGCHLD can't be caught.
    pub(super) fn of_process_1(tree: &Tree, spared: u32) -> Option<Self> {
        if std::process::id() != 1 {
            return None;
        }
        let start = || {
            let (pipe, writer) = io::pipe()?;
            rustix::io::ioctl_fionbio(&pipe, true)?;
            let signal = Signal::CHILD.as_raw();
            signal_hook::low_level::pipe::register(signal, OwnedFd::from(writer))?;
            Ok::<_, io::Error>(Self { pipe, proc: tree.proc.clone(), spared })
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
        let children = self.proc.children_of_all_threads(me).unwrap_or_else(|| {
            let all = self.proc.processes().unwrap_or_default().into_iter();
            all.filter(|pid| self.proc.is_child(*pid, me)).collect()
        });
        for child in children.into_iter().filter(|pid| *pid != self.spared) {
            let pid = i32::try_from(child).ok().and_then(Pid::from_raw);
            let _ = rustix::process::waitpid(pid, WaitOptions::NOHANG);
        }
    }
}
