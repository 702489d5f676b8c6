//! Logs that the service manager keeps, and not files below the home.

use std::time::Instant;

use hermes_core::ProfileName;
use hermes_core::backend::Journal;
use hermes_core::log::Watch;
use hermes_core::store::StoreError;
use rustix::event::Timespec;

use super::follow::{Ends, LAST, out_of_time};
use super::merge::Item;
use super::print::Printer;
use super::{Print, failed, nothing, nothing_yet};
use crate::app::App;
use crate::error::{CliError, exit};
use crate::output;

/// Prints what is there.
pub(super) fn read(
    app: &App,
    journal: &dyn Journal,
    names: Vec<ProfileName>,
    apart: bool,
    print: Print,
) -> Result<u8, CliError> {
    let mut printer = Printer::new(app, names.clone(), apart, print.raw);
    let mut said = vec![print.last == Some(0); names.len()];
    let mut wrong = None;
    journal.read(&names, print.last, &mut |place, line| {
        said[place] = true;
        match printer.item(place, &Item::Line(line)) {
            Ok(more) => more,
            Err(error) => {
                wrong = Some(error);
                false
            }
        }
    })?;
    if let Some(error) = wrong {
        return Err(error);
    }
    let read = printer.flush()?;
    for (name, _) in names.iter().zip(said).filter(|(_, said)| read && !said) {
        match apart {
            false => return Err(nothing(name)),
            true => output::message(nothing_yet(name)),
        }
    }
    Ok(exit::SUCCESS)
}

/// Prints what is there and what comes, until a signal, a closed reader or the time ends it, or a profile
/// is gone whose log alone is followed.
pub(super) fn follow(
    app: &App,
    journal: &dyn Journal,
    names: Vec<ProfileName>,
    apart: bool,
    print: Print,
) -> Result<u8, CliError> {
    let ends = Ends::listen()?;
    let deadline = app.timeout.map(|timeout| (timeout, Instant::now() + timeout));
    let mut followed = journal.follow(&names, print.last.unwrap_or(LAST))?;
    let mut printer = Printer::new(app, names.clone(), apart, print.raw);
    let mut watch = Watch::new();
    let mut left = names.clone();
    loop {
        let io = |error| failed(&names[0], error);
        watch.names(&app.root().profiles()).map_err(io)?;
        // Seen before the journal is read a last time.
        let is_gone =
            |name: &ProfileName| matches!(app.store.get(name), Err(StoreError::Absent { .. }));
        let gone: Vec<_> = left.extract_if(.., |name| is_gone(name)).collect();
        while let Some((place, line)) = followed.next().map_err(io)? {
            if !printer.item(place, &Item::Line(line))? || ends.asked() {
                return Ok(exit::SUCCESS);
            }
        }
        if !printer.flush()? {
            return Ok(exit::SUCCESS);
        }
        for name in gone {
            let told =
                format!("the profile `{name}` was deleted or renamed, and its log ends here");
            if left.is_empty() {
                return Err(CliError::new(told).with_code(exit::NOT_FOUND));
            }
            output::warning(told);
        }
        let rest = match deadline {
            Some((timeout, at)) => {
                let rest = at.saturating_duration_since(Instant::now());
                if rest.is_zero() {
                    return Err(out_of_time(timeout));
                }
                Some(rest)
            }
            None => None,
        };
        let pause = rest.into_iter().chain(watch.timeout()).min();
        let pause = pause.map(|pause| Timespec::try_from(pause).unwrap_or_default());
        let fds = [Some(followed.fd()), watch.fd()];
        if !ends.await_change(fds.into_iter().flatten(), pause.as_ref())? {
            return Ok(exit::SUCCESS);
        }
        watch.take_in().map_err(io)?;
    }
}
