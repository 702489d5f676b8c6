//! `--follow`: waits for what is said next, without a pause and without looking in vain.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use hermes_core::ProfileName;
use hermes_core::end_signals::{self, FOREGROUND};
use hermes_core::log::{Follower, Next, Watch};
use hermes_core::store::StoreError;
use rustix::event::{PollFd, PollFlags, Timespec};

use super::merge::{self, Item};
use super::print::Printer;
use super::{Print, failed, nothing_yet};
use crate::app::App;
use crate::error::{CliError, exit};
use crate::output;

/// How many lines come first, where nothing is said about it.
pub(super) const LAST: usize = 10;

/// A log that is followed.
struct Followed {
    name: ProfileName,
    follower: Follower,
    /// Its profile is not there any more: what there is now is all there will be.
    ends: bool,
    over: bool,
}

/// Prints what is there and what comes, until a signal, a closed reader or the time ends it, or until
/// no profile is left to be followed. With `--all` that is all profiles that there are at the beginning.
pub(super) fn follow(
    app: &App,
    names: Vec<ProfileName>,
    apart: bool,
    print: Print,
) -> Result<u8, CliError> {
    let ends = Ends::listen()?;
    let deadline = app.timeout.map(|timeout| (timeout, Instant::now() + timeout));
    let mut watch = Watch::new();
    let mut logs = Vec::new();
    for name in &names {
        let path = app.root().gateway_logs(name);
        let follower = Follower::begin(&path, print.last.unwrap_or(LAST), &mut watch)
            .map_err(|error| failed(name, error))?;
        if !follower.has_begun() {
            output::message(nothing_yet(name));
        }
        logs.push(Followed { name: name.clone(), follower, ends: false, over: false });
    }
    let mut printer = Printer::new(app, names, apart, print.raw);
    loop {
        look_for_profiles(app, &mut logs, &mut watch)?;
        let wanted = merge::in_time_order(
            &mut logs,
            |log| log.next(&mut watch),
            |log, item| Ok(printer.item(log, &item)? && !ends.asked()),
        )?;
        if !wanted || !printer.flush()? {
            return Ok(exit::SUCCESS);
        }
        tell_ends(&mut logs, &mut watch, &mut printer)?;
        let left =
            deadline.map(|(timeout, at)| (timeout, at.saturating_duration_since(Instant::now())));
        if let Some((timeout, left)) = left
            && left.is_zero()
        {
            return Err(out_of_time(timeout));
        }
        let pause = match watch.was_told() {
            true => Some(Timespec::default()),
            false => left
                .map(|(_, left)| left)
                .into_iter()
                .chain(watch.timeout())
                .min()
                .map(|pause| Timespec::try_from(pause).unwrap_or_default()),
        };
        if !ends.await_change(watch.fd(), pause.as_ref())? {
            return Ok(exit::SUCCESS);
        }
    }
}

/// That `--timeout` is over.
pub(super) fn out_of_time(timeout: Duration) -> CliError {
    let error = CliError::new(format!("the log was followed for {} s", timeout.as_secs()));
    error.with_code(exit::OUT_OF_TIME)
}

impl Followed {
    fn next(&mut self, watch: &mut Watch) -> Result<Option<Item>, CliError> {
        if self.over {
            return Ok(None);
        }
        let next = self.follower.next(watch).map_err(|error| failed(&self.name, error))?;
        Ok(match next {
            Next::Line(line) => Some(Item::Line(line)),
            Next::Removed(removed) => Some(Item::Removed(removed)),
            Next::Wait => None,
        })
    }
}

/// Marks the logs whose profiles are gone. That is seen before they are read a last time: a profile
/// says nothing any more once its home is not there.
fn look_for_profiles(app: &App, logs: &mut [Followed], watch: &mut Watch) -> Result<(), CliError> {
    let failed = |error: io::Error| CliError::new("failed to watch the profiles").because(error);
    watch.names(&app.root().profiles()).map_err(failed)?;
    for log in logs.iter_mut().filter(|log| !log.over) {
        log.ends = matches!(app.store.get(&log.name), Err(StoreError::Absent { .. }));
    }
    Ok(())
}

/// Tells which logs are over. When all are, so is the work.
fn tell_ends(
    logs: &mut [Followed],
    watch: &mut Watch,
    printer: &mut Printer,
) -> Result<(), CliError> {
    let single = logs.len() == 1;
    for (index, log) in logs.iter_mut().enumerate().filter(|(_, log)| log.ends && !log.over) {
        let removed = log.follower.end(watch).map_err(|error| failed(&log.name, error))?;
        if let Some(removed) = removed {
            printer.item(index, &Item::Removed(removed))?;
        }
        log.over = true;
        let told =
            format!("the profile `{}` was deleted or renamed, and its log ends here", log.name);
        if single {
            return Err(CliError::new(told).with_code(exit::NOT_FOUND));
        }
        output::warning(told);
    }
    if logs.iter().all(|log| log.over) {
        let error = CliError::new("none of the profiles is left whose logs were followed");
        return Err(error.with_code(exit::NOT_FOUND));
    }
    Ok(())
}

/// What ends a follower from outside.
pub(super) struct Ends {
    signals: OwnedFd,
    asked: Arc<AtomicBool>,
}

impl Ends {
    pub(super) fn listen() -> Result<Self, CliError> {
        let failed =
            |error: io::Error| CliError::new("failed to listen for signals").because(error);
        let asked = Arc::new(AtomicBool::new(false));
        for signal in FOREGROUND {
            // A second one ends it even while it waits for somebody to read what it prints.
            signal_hook::flag::register_conditional_default(signal, asked.clone())
                .and_then(|_| signal_hook::flag::register(signal, asked.clone()))
                .map_err(failed)?;
        }
        Ok(Self { signals: end_signals::register(&FOREGROUND).map_err(failed)?, asked })
    }

    pub(super) fn asked(&self) -> bool {
        self.asked.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Blocks until one of `told` is, or `pause` is over; `false` if it is all over.
    pub(super) fn await_change<'a>(
        &self,
        told: impl IntoIterator<Item = BorrowedFd<'a>>,
        pause: Option<&Timespec>,
    ) -> Result<bool, CliError> {
        let stdout = io::stdout();
        // Of stdout nothing is asked, and so it tells one thing alone: that its reader is gone.
        let mut fds = vec![
            PollFd::new(&self.signals, PollFlags::IN),
            PollFd::from_borrowed_fd(stdout.as_fd(), PollFlags::empty()),
        ];
        fds.extend(told.into_iter().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        match rustix::event::poll(&mut fds, pause) {
            Ok(_) => Ok(fds[..2].iter().all(|fd| fd.revents().is_empty())),
            Err(rustix::io::Errno::INTR) => Ok(!self.asked()),
            Err(errno) => {
                let error = io::Error::from(errno);
                Err(CliError::new("failed to wait for what is said next").because(error))
            }
        }
    }
}
