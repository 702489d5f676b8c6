//! `--follow`: prints lines as they come, until a signal, a closed reader, the time or the last profile
//! ends it. It waits without looking in vain.

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

/// How many lines come first, unless `--lines` is given.
const LAST: usize = 10;

/// Follows the logs of `names`. With `--all` these are all profiles that exist at the beginning.
pub(super) fn follow(
    app: &App,
    logs: &dyn Logs,
    names: Vec<ProfileName>,
    apart: bool,
    print: Print,
) -> Result<u8, CliError> {
    let signals = Signals::listen()?;
    let deadline = app.timeout.map(|timeout| (timeout, Instant::now() + timeout));
    let mut followed = logs.follow(&names, print.last.unwrap_or(LAST))?;
    for name in &names {
        if !logs.exists(name)? {
            output::message(nothing_yet(name));
        }
    }
    let mut printer = Printer::new(app, names.clone(), apart, print.raw);
    let mut left = names.len();
    loop {
        while let Some((place, event)) = followed.next()? {
            let is_read = match event {
                Event::Line(line) => printer.line(place, &line)?,
                Event::Removed(removed) => printer.removed(place, removed)?,
                Event::Ended => {
                    left -= 1;
                    let is_read = printer.flush()?;
                    if is_read {
                        report_end(&names, place, left)?;
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
        let rest = deadline.map(|(_, at)| at.saturating_duration_since(Instant::now()));
        if let Some((timeout, _)) = deadline
            && rest == Some(Duration::ZERO)
        {
            let error = format!("the log was followed for {} s", timeout.as_secs());
            return Err(CliError::new(error).with_code(exit::OUT_OF_TIME));
        }
        let pause = rest.into_iter().chain(followed.max_wait()).min();
        if !signals.await_change(followed.fds(), pause)? {
            return Ok(exit::SUCCESS);
        }
    }
}

/// Reports that the log at `place` has ended, and `left` have not: an error for the last one.
fn report_end(names: &[ProfileName], place: usize, left: usize) -> Result<(), CliError> {
    let name = &names[place];
    let ended = format!("the profile `{name}` was deleted or renamed, and its log ends here");
    if names.len() == 1 {
        return Err(CliError::new(ended).with_code(exit::NOT_FOUND));
    }
    output::warning(ended);
    if left == 0 {
        let error = CliError::new("none of the profiles is left whose logs were followed");
        return Err(error.with_code(exit::NOT_FOUND));
    }
    Ok(())
}

/// The signals that end a follower.
struct Signals {
    pipe: OwnedFd,
    came: Arc<AtomicBool>,
}

impl Signals {
    fn listen() -> Result<Self, CliError> {
        let failed =
            |error: io::Error| CliError::new("failed to listen for signals").because(error);
        let came = Arc::new(AtomicBool::new(false));
        for signal in FOREGROUND {
            // A second one ends it even while it waits for somebody to read what it prints.
            signal_hook::flag::register_conditional_default(signal, came.clone())
                .and_then(|_| signal_hook::flag::register(signal, came.clone()))
                .map_err(failed)?;
        }
        Ok(Self { pipe: end_signals::register(&FOREGROUND).map_err(failed)?, came })
    }

    fn came(&self) -> bool {
        self.came.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Blocks until one of `fds` is readable, or for `pause`; `false` after a signal or without a reader
    /// of stdout.
    fn await_change(
        &self,
        fds: Vec<BorrowedFd<'_>>,
        pause: Option<Duration>,
    ) -> Result<bool, CliError> {
        let stdout = io::stdout();
        // Without a request of its own, stdout reports one thing alone: that its reader is gone.
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
