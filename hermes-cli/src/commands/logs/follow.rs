//! `--follow`: prints lines as they come, until a signal arrives, the reader of stdout closes it, the timeout
//! passes, or the last profile is gone. It waits for events and polls only where a log has none.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use hermes_core::ProfileName;
use hermes_core::end_signals::{self, FOREGROUND};
use hermes_core::log::{Event, Logs};
use rustix::event::{PollFd, PollFlags, Timespec};

use super::print::Printer;
use super::{Print, nothing_yet};
use crate::app::App;
use crate::error::{CliError, exit};
use crate::output;

/// How many existing lines are printed first, unless `--lines` is given.
pub(in crate::commands) const LAST: usize = 10;

/// Follows the logs of `names`. With `--all` these are the profiles that exist at the start.
pub(super) fn follow(
    app: &App,
    logs: &dyn Logs,
    names: Vec<ProfileName>,
    apart: bool,
    print: Print,
) -> Result<u8, CliError> {
    let signals = Signals::listen()?;
    let limit = TimeLimit::of(app, "the log");
    let mut followed = logs.follow(&names, print.last.unwrap_or(LAST))?;
    for name in &names {
        if !logs.exists(name)? {
            output::message(nothing_yet(name));
        }
    }
    let mut printer = Printer::new(app, names.clone(), apart, print.raw);
    let mut remaining = names.len();
    loop {
        while let Some((place, event)) = followed.next()? {
            let is_read = match event {
                Event::Line(line) => printer.line(place, &line)?,
                Event::Removed(removed) => printer.removed(place, removed)?,
                Event::Ended => {
                    remaining -= 1;
                    let is_read = printer.flush()?;
                    if is_read {
                        report_end(&names, place, remaining)?;
                    }
                    is_read
                }
            };
            if !is_read || signals.came() {
                return Ok(exit::SUCCESS);
            }
        }
        if !printer.flush()? {
            return Ok(exit::SUCCESS);
        }
        let pause = limit.left()?.into_iter().chain(followed.max_wait()).min();
        if !signals.await_change(followed.fds(), pause)? {
            return Ok(exit::SUCCESS);
        }
    }
}

/// Reports that the log at `place` has ended and `remaining` have not: an error for the last one.
fn report_end(names: &[ProfileName], place: usize, remaining: usize) -> Result<(), CliError> {
    let name = &names[place];
    let ended = format!("the profile `{name}` was deleted or renamed, and its log ends here");
    if names.len() == 1 {
        return Err(CliError::new(ended).with_code(exit::NOT_FOUND));
    }
    output::warning(ended);
    if remaining == 0 {
        let error = CliError::new("all followed profiles were deleted or renamed");
        return Err(error.with_code(exit::NOT_FOUND));
    }
    Ok(())
}

/// The limit that `--timeout` sets on a follower, if any.
pub(in crate::commands) struct TimeLimit {
    what: &'static str,
    /// How long, and until when.
    limit: Option<(Duration, Instant)>,
}

impl TimeLimit {
    /// The limit from now on, on following `what`.
    pub(in crate::commands) fn of(app: &App, what: &'static str) -> Self {
        Self { what, limit: app.timeout.map(|timeout| (timeout, Instant::now() + timeout)) }
    }

    /// How much time is left; `None` without a limit. No time is an error.
    pub(in crate::commands) fn left(&self) -> Result<Option<Duration>, CliError> {
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
pub(in crate::commands) struct Signals {
    pipe: OwnedFd,
    came: Arc<AtomicBool>,
}

impl Signals {
    pub(in crate::commands) fn listen() -> Result<Self, CliError> {
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

    pub(in crate::commands) fn came(&self) -> bool {
        self.came.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Blocks until one of `fds` is readable, or for `pause`. `false` after a signal, or if stdout has no
    /// reader any more.
    pub(in crate::commands) fn await_change(
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
