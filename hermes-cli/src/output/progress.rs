//! One line on stderr that shows what the command waits for, as long as it waits. Only on a terminal.

use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hermes_core::waiting::{Batch, Goal, Observer, Wait, Waits};
use rustix::termios::tcgetwinsize;
use unicode_width::UnicodeWidthStr;

use super::table::cut;
use crate::escape::escaped;

/// How long a wait lasts before it is shown.
const UNSHOWN: Duration = Duration::from_secs(1);
/// Erases the line that the cursor is in, and puts the cursor at its beginning.
const ERASE: &str = "\r\x1b[K";
/// The width of a terminal that does not know its own.
const WIDTH: usize = 80;

/// The line that stderr shows; empty for none.
static SHOWN: Mutex<String> = Mutex::new(String::new());

/// What shows the waits of a command, if stderr is a terminal that can redraw a line. It shows nothing with `json`.
pub(crate) fn observer(json: bool) -> Box<dyn Observer> {
    let redraws = hermes::variable("TERM").is_none_or(|term| term != "dumb");
    Box::new(Drawer { draws: !json && redraws && io::stderr().is_terminal() })
}

/// Calls `write`, which writes lines to stderr, in place of the line that shows a wait.
pub(super) fn write_above(write: impl FnOnce()) {
    let mut shown = SHOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if !shown.is_empty() {
        shown.clear();
        let _ = io::stderr().write_all(ERASE.as_bytes());
    }
    write();
}

struct Drawer {
    draws: bool,
}

impl Observer for Drawer {
    fn show(&self, waits: &Waits) {
        if !self.draws {
            return;
        }
        let text = text(waits, Instant::now());
        let text = text.map_or_else(String::new, |(text, left)| fitting(&text, &left, width()));
        let mut shown = SHOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if *shown != text {
            // In one write: other processes may write to the terminal, too.
            let _ = io::stderr().write_all(format!("{ERASE}{text}").as_bytes());
            *shown = text;
        }
    }
}

/// The columns of the terminal that stderr is.
fn width() -> usize {
    let size = tcgetwinsize(io::stderr()).ok().filter(|size| size.ws_col > 0);
    size.map_or(WIDTH, |size| size.ws_col.into())
}

/// `text` and how long is `left` in one line, of which the text is cut. Leaves three columns free: for the `^C` that the
/// terminal adds, and the last one, where some terminals wrap.
fn fitting(text: &str, left: &str, columns: usize) -> String {
    let limit = columns.saturating_sub(3);
    let text = cut(&escaped(text), limit.saturating_sub(left.width()));
    cut(&format!("{text}{left}"), limit)
}

/// The line for the waits at the time `now`, and how long is left; `None` if there is none for long enough.
fn text(waits: &Waits, now: Instant) -> Option<(String, String)> {
    let is_long = |since: Instant| now.saturating_duration_since(since) >= UNSHOWN;
    let latest = waits.waits.iter().map(|wait| wait.deadline).max();
    let text = match &waits.batch {
        Some(batch) if is_long(batch.since) => of_batch(batch, &waits.waits),
        Some(_) => return None,
        None => of_wait(waits.waits.iter().rfind(|wait| is_long(wait.since))?),
    };
    let left = latest.map_or_else(String::new, |deadline| {
        let left = deadline.saturating_duration_since(now).as_millis().div_ceil(1000);
        format!(" ({left} s left)")
    });
    Some((text, left))
}

/// `waiting for coder to be ready: running, not ready: …`.
fn of_wait(wait: &Wait) -> String {
    match wait.last_seen.as_str() {
        "" => format!("waiting for {}", wait.goal),
        last_seen => format!("waiting for {}: {last_seen}", wait.goal),
    }
}

/// `stopping 150 gateways: 37 still run`.
fn of_batch(batch: &Batch, waits: &[Wait]) -> String {
    let Batch { verb, total, done, .. } = batch;
    let count = |is: fn(&Goal) -> bool| waits.iter().filter(|wait| is(&wait.goal)).count();
    let ending = count(|goal| matches!(goal, Goal::End(_)));
    let starting = count(|goal| matches!(goal, Goal::Ready(_)));
    let mut parts = Vec::new();
    if *done > 0 {
        parts.push(format!("{done} done"));
    }
    if ending > 0 {
        parts.push(format!("{ending} still run"));
    }
    if starting > 0 {
        parts.push(format!("{starting} not ready yet"));
    }
    match parts.is_empty() {
        true => format!("{verb} {total} gateways"),
        false => format!("{verb} {total} gateways: {}", parts.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_fits_the_terminal() {
        let fitting = |text, columns| fitting(text, " (7 s left)", columns);
        assert_eq!(fitting("waiting for coder", 31), "waiting for coder (7 s left)");
        assert_eq!(fitting("waiting for coder", 30), "waiting for cod… (7 s left)");
        assert_eq!(fitting("waiting\nfor", 80).lines().count(), 1);
        assert_eq!(fitting("waiting", 7), "… (…");
    }
}
