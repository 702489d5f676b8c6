//! What every `--follow` has: the signals that end it, its limit, and how many lines come first.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use hermes_core::end_signals::{self, FOREGROUND};
use rustix::event::{PollFd, PollFlags, Timespec};

use crate::app::App;
use crate::error::{CliError, exit};

/// How many existing lines are printed first, unless `--lines` is given.
pub(super) const LAST: usize = 10;

/// The limit that `--timeout` sets on a follower, if any.
pub(super) struct TimeLimit {
    what: &'static str,
    /// How long, and until when.
    limit: Option<(Duration, Instant)>,
}

impl TimeLimit {
    /// The limit from now on, on following `what`.
    pub(super) fn of(app: &App, what: &'static str) -> Self {
        Self { what, limit: app.timeout.map(|timeout| (timeout, Instant::now() + timeout)) }
    }

    /// How much time is left; `None` without a limit. No time is an error.
    pub(super) fn left(&self) -> Result<Option<Duration>, CliError> {
        let Some((timeout, at)) = self.limit else { return Ok(None) };
        let left = at.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let error = format!("stopped following {} after {} s", self.what, timeout.as_secs());
            return Err(CliError::new(error).with_code(exit::OUT_OF_TIME));
        }
        Ok(Some(left))
    }
}

/// The signals that end a follower.
pub(super) struct Signals {
    pipe: OwnedFd,
    came: Arc<AtomicBool>,
}

impl Signals {
    pub(super) fn listen() -> Result<Self, CliError> {
        let failed =
            |error: io::Error| CliError::new("failed to listen for signals").because(error);
        let came = Arc::new(AtomicBool::new(false));
        for signal in FOREGROUND {
            // The second signal ends the process even while a write to stdout blocks.
            signal_hook::flag::register_conditional_default(signal, came.clone())
                .and_then(|_| signal_hook::flag::register(signal, came.clone()))
                .map_err(failed)?;
        }
        Ok(Self { pipe: end_signals::register(&FOREGROUND).map_err(failed)?, came })
    }

    pub(super) fn came(&self) -> bool {
        self.came.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Blocks until one of `fds` is readable, or for `pause`. `false` after a signal, or if stdout has no
    /// reader any more.
    pub(super) fn await_change(
        &self,
        fds: Vec<BorrowedFd<'_>>,
        pause: Option<Duration>,
    ) -> Result<bool, CliError> {
        let stdout = io::stdout();
        // With no requested events, poll(2) reports on stdout only that its reader has closed it.
        let mut polled = vec![
            PollFd::new(&self.pipe, PollFlags::IN),
            PollFd::from_borrowed_fd(stdout.as_fd(), PollFlags::empty()),
        ];
        polled.extend(fds.into_iter().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        let pause = pause.map(|pause| Timespec::try_from(pause).unwrap_or_default());
        match rustix::event::poll(&mut polled, pause.as_ref()) {
            Ok(_) => Ok(polled[..2].iter().all(|fd| fd.revents().is_empty())),
            Err(rustix::io::Errno::INTR) => Ok(!self.came()),
            Err(errno) => {
                let error = io::Error::from(errno);
                Err(CliError::new("failed to wait for the next line").because(error))
            }
        }
    }
}
