//! The processes of a Pod: the gateway, and those that lost their parents.
//!
//! The main process of a Pod is the parent of every process whose own parent has ended. So it waits for any child, and what
//! still runs below it after the gateway's end was the gateway's.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io::{self, PipeReader, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use hermes_core::process::Process;
use hermes_core::settings::Surroundings;
use hermes_core::status::Exit;
use hermes_core::wait::{self, Poll};
use hermes_core::{Proc, ProfileName};
use rustix::process::{Signal, WaitOptions};

/// How long the kernel may take to end a process that was killed.
const AFTER_KILL: Duration = Duration::from_secs(10);

/// The gateway's process.
#[derive(Debug)]
pub(super) struct Child {
    pid: u32,
    /// Until the gateway has said that it is ready.
    readiness: Option<PipeReader>,
    /// When a gateway that never says so counts as ready.
    settles_at: Option<Instant>,
}

impl Child {
    /// Starts the gateway of the profile `name` in these surroundings. With `settles_at` it never reports readiness.
    pub(super) fn start(
        name: &ProfileName,
        surroundings: &Surroundings,
        settles_at: Option<Instant>,
    ) -> io::Result<Self> {
        let (readiness, notification) = match settles_at {
            Some(_) => (None, Stdio::null()),
            None => {
                let (reader, writer) = io::pipe()?;
                (Some(reader), Stdio::from(writer))
            }
        };
        let mut command = Command::new(hermes_core::program::path()?);
        command.args(["gateway", "start", "--foreground", name.as_str()]).stdin(notification);
        let Surroundings { host, defaults } = surroundings;
        if let Some(host) = host {
            command.args(["--default-host", host]);
        }
        if let Some(file) = defaults {
            command.arg("--defaults").arg(file);
        }
        // It is waited for with all other children.
        let pid = command.spawn()?.id();
        Ok(Self { pid, readiness, settles_at })
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    pub(super) fn settles_at(&self) -> Option<Instant> {
        self.settles_at
    }

    /// Readable once the gateway is ready.
    pub(super) fn readiness(&self) -> Option<BorrowedFd<'_>> {
        self.readiness.as_ref().map(AsFd::as_fd)
    }

    /// Whether it is ready, after an event of [`readiness`](Self::readiness) or [`settles_at`](Self::settles_at). The end of
    /// the pipe says that it will never be, as when it has died.
    pub(super) fn has_settled(&mut self) -> bool {
        self.settles_at = None;
        let said = self.readiness.take().map(|mut pipe| pipe.read(&mut [0]));
        said.is_none_or(|said| said.is_ok_and(|bytes| bytes > 0))
    }

    /// Asks it to end, and blocks until it has, at most until `deadline`.
    pub(super) fn end(self, deadline: Instant) -> io::Result<()> {
        signal(self.pid, Signal::TERM);
        let has_ended = || {
            let ended = reap().contains_key(&self.pid);
            Ok::<_, io::Error>(if ended { Poll::Done(()) } else { Poll::Wait })
        };
        if wait::until(deadline, has_ended)?.is_none() {
            log::warn!("the gateway is killed: it has not ended in its stop budget");
        }
        Ok(())
    }
}

/// Makes this process the parent of those that lose theirs, as process 1 is anyway.
#[cfg(target_os = "linux")]
pub(super) fn adopt_orphans() -> io::Result<()> {
    Ok(rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?)
}

/// Other systems have no Pods.
#[cfg(not(target_os = "linux"))]
pub(super) fn adopt_orphans() -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Waits for the children that have ended, without blocking: how each did.
pub(super) fn reap() -> BTreeMap<u32, Exit> {
    let mut ended = BTreeMap::new();
    while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
        let exit = match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => Exit::Code(code),
            (None, Some(signal)) => Exit::Signal(signal),
            (None, None) => continue,
        };
        ended.insert(pid.as_raw_nonzero().get().unsigned_abs(), exit);
    }
    ended
}

/// Ends every process below this one. Asks them to until `deadline`, then kills those that still run, and blocks until none
/// is left.
pub(super) fn end_rest(deadline: Instant) {
    let sent = |send: Signal, until: Instant| {
        wait::until(until, || {
            reap();
            let rest = Proc::default().descendants(vec![std::process::id()], |_| false);
            // Those that have just lost their parents get it, too.
            rest.keys().for_each(|pid| signal(*pid, send));
            Ok::<_, Infallible>(if rest.is_empty() { Poll::Done(()) } else { Poll::Wait })
        })
    };
    if sent(Signal::TERM, deadline) == Ok(None)
        && sent(Signal::KILL, Instant::now() + AFTER_KILL) == Ok(None)
    {
        log::error!("processes of the gateway still run, although they were killed");
    }
}

fn signal(pid: u32, signal: Signal) {
    let sent = match Process::open(pid) {
        Ok(Some(process)) => process.signal(signal),
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    };
    if let Err(error) = sent {
        log::warn!("failed to signal process {pid}: {error}");
    }
}
