//! `hermes top`: the states of gateways and what they use, printed again and again.
//!
//! On a terminal each picture replaces the one before, on the alternate screen; elsewhere they follow one another.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hermes::view::StatusView;
use hermes_core::ProfileName;
use hermes_core::status::Status;
use signal_hook::consts::SIGWINCH;

use super::columns::memory;
use super::{chosen, views_of};
use crate::app::App;
use crate::args::Top;
use crate::commands::following::{Signals, TimeLimit};
use crate::error::{CliError, exit};
use crate::output::{self, Cell, Column};
use crate::states;

const COLUMNS: [Column; 8] = [
    Column::new("PROFILE"),
    Column::new("STATE"),
    Column::optional("CPU", 1),
    Column::optional("MEMORY", 2),
    Column::optional("DEATHS", 3),
    Column::optional("SINCE", 4),
    Column::optional("PID", 6),
    Column::optional("PORT", 5),
];

/// The alternate screen without a cursor, and back.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

/// Prints the pictures until a signal comes, stdout has no reader any more, or as many as the arguments say.
pub(crate) fn top(app: &App, args: Top) -> Result<u8, CliError> {
    let Top { which, interval, count } = args;
    let interval = Duration::from_secs(interval);
    for name in &which {
        app.store().get(name)?;
    }
    let signals = Signals::listen()?;
    let limit = TimeLimit::of(app, "the gateways");
    let on_screen = output::is_on_terminal() && count.is_none();
    let screen = on_screen.then(Screen::enter).transpose()?;
    let mut former = BTreeMap::new();
    let mut printed = 0;
    loop {
        let views = look(app, &which)?;
        let rows: Vec<_> = views.iter().map(|view| row(view, &mut former)).collect();
        let is_read = match (on_screen, app.json) {
            (true, _) => output::picture(&heading(&views), &COLUMNS, rows)?,
            (false, true) => output::json(&views).map(|()| true)?,
            (false, false) => {
                if printed > 0 {
                    output::line("")?;
                }
                output::table(&COLUMNS, rows)?
            }
        };
        printed += 1;
        if !is_read || count == Some(printed) {
            return Ok(exit::SUCCESS);
        }
        let was_resized = screen.as_ref().is_some_and(Screen::was_resized);
        let interval = if was_resized { Duration::ZERO } else { interval };
        let pause = limit.left()?.into_iter().chain([interval]).min();
        if !signals.await_change(Vec::new(), pause)? {
            return Ok(exit::SUCCESS);
        }
    }
}

/// The gateways as they are now. One whose status can't be read is left out.
fn look(app: &App, which: &[ProfileName]) -> Result<Vec<StatusView>, CliError> {
    let services = app.reachable()?;
    let names = match chosen(app, which.to_vec()) {
        Some(names) => names,
        None => app.store().possible_names()?,
    };
    let mut views: Vec<_> = views_of(&services, &names, false)?.into_iter().flatten().collect();
    StatusView::measure(&services, views.iter_mut());
    Ok(views)
}

/// What a gateway had used when it was last looked at.
#[derive(Debug, Clone, Copy)]
struct Former {
    pid: Option<u32>,
    cpu: Duration,
    at: Instant,
}

fn row(view: &StatusView, former: &mut BTreeMap<ProfileName, Former>) -> Vec<Cell> {
    let Status { profile, pid, since, deaths, port, .. } = &view.status;
    let now = view.usage.map(|usage| Former { pid: *pid, cpu: usage.cpu, at: Instant::now() });
    let before = match now {
        Some(now) => former.insert(profile.clone(), now),
        None => former.remove(profile),
    };
    let share = now.zip(before).and_then(|(now, before)| share(before, now));
    vec![
        profile.to_string().into(),
        Cell::styled(view.status.word(), states::style(&view.status)),
        share.map_or_else(|| "-".to_owned(), |share| format!("{share:.1} %")).into(),
        output::or_dash(view.usage.as_ref().map(memory)).into(),
        deaths.to_string().into(),
        since.map_or_else(|| "-".to_owned(), output::age).into(),
        output::or_dash(*pid).into(),
        output::or_dash(*port).into(),
    ]
}

/// The share of one processor that the same process has used since, in percent.
fn share(before: Former, now: Former) -> Option<f64> {
    let elapsed = now.at.duration_since(before.at).as_secs_f64();
    let used = now.cpu.checked_sub(before.cpu).filter(|_| now.pid == before.pid)?;
    (elapsed > 0.0).then(|| 100.0 * used.as_secs_f64() / elapsed)
}

fn heading(views: &[StatusView]) -> String {
    let count = |fits: fn(&Status) -> bool| views.iter().filter(|view| fits(&view.status)).count();
    let (up, attention) =
        (count(|status| status.state.is_running()), count(Status::needs_attention));
    let all = views.len();
    format!("{all} gateways, {up} running, {attention} need attention; Ctrl-C ends")
}

/// The alternate screen, until it is dropped. A change of its size interrupts the wait for the next picture.
struct Screen {
    resized: Arc<AtomicBool>,
}

impl Screen {
    fn enter() -> Result<Self, CliError> {
        let resized = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(SIGWINCH, Arc::clone(&resized))
            .map_err(|error| CliError::new("failed to listen for signals").because(error))?;
        output::raw(ENTER.as_bytes())?;
        Ok(Self { resized })
    }

    /// Whether its size has changed since the last call.
    fn was_resized(&self) -> bool {
        self.resized.swap(false, Ordering::Relaxed)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // The terminal may be gone.
        let _ = output::raw(LEAVE.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_that_of_one_process() {
        let at = Instant::now();
        let before = Former { pid: Some(1), cpu: Duration::from_secs(1), at };
        let now = |pid, cpu| Former {
            pid,
            cpu: Duration::from_millis(cpu),
            at: at + Duration::from_secs(2),
        };
        assert_eq!(share(before, now(Some(1), 2000)), Some(50.0));
        assert_eq!(share(before, now(Some(2), 2000)), None);
        assert_eq!(share(before, now(Some(1), 500)), None, "a descendant has ended");
        assert_eq!(share(before, before), None);
    }
}
