//! Tables without borders, which fit the terminal: a row is one line, whatever the width.
//!
//! If a table is too wide, its least important columns are left out, one after the other; if that is not enough, the
//! widest column is cut. In a pipe and in a file nothing is left out or cut.

use std::io::{self, Write};

use anstyle::Style;
use rustix::termios::tcgetwinsize;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::{has_reader, is_on_terminal};
use crate::error::CliError;
use crate::escape::escaped;

/// The space between two columns.
const GAP: usize = 2;
/// No column is cut to less than this.
const NARROWEST: usize = 8;

/// A column.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    title: &'static str,
    /// The columns with the highest rank are left out first; those with 0 never.
    rank: u8,
}

impl Column {
    /// A column that is never left out.
    pub(crate) const fn new(title: &'static str) -> Self {
        Self { title, rank: 0 }
    }

    /// A column that is left out before those with a lower rank.
    pub(crate) const fn optional(title: &'static str, rank: u8) -> Self {
        Self { title, rank }
    }
}

/// A cell.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// A cell in this style, if stdout has styles.
    pub(crate) fn styled(text: impl Into<String>, style: Style) -> Self {
        Self { text: text.into(), style }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::styled(text, Style::new())
    }
}

/// Prints a table; `false` if stdout has no reader any more.
pub(crate) fn table<C: Into<Cell>>(
    columns: &[Column],
    rows: impl IntoIterator<Item = Vec<C>>,
) -> Result<bool, CliError> {
    let rows = rows.into_iter().map(|row| row.into_iter().map(Into::into).collect()).collect();
    let width = size().map(|(width, _)| width);
    print(lines(columns, rows, width).into_iter().map(|line| line + "\n").collect())
}

/// Prints a heading and a table in place of what the terminal shows, as many lines as fit; `false` if it is gone.
pub(crate) fn picture(
    heading: &str,
    columns: &[Column],
    rows: Vec<Vec<Cell>>,
) -> Result<bool, CliError> {
    let (width, height) = size().unwrap_or((80, 24));
    let table = lines(columns, rows, Some(width));
    let left_out = (table.len() + 2).saturating_sub(height);
    let more = (left_out > 0).then(|| format!("… {} more", left_out + 1));
    let shown = table.len() - if left_out > 0 { left_out + 1 } else { 0 };
    let lines = [cut(heading, width), String::new()].into_iter();
    let lines: Vec<_> = lines.chain(table.into_iter().take(shown)).chain(more).collect();
    // Each line is erased behind its text, and the screen behind the last one, so that nothing flickers.
    print(format!("\x1b[H{}\x1b[K\x1b[J", lines.join("\x1b[K\r\n")))
}

fn print(text: String) -> Result<bool, CliError> {
    let mut stdout = anstream::stdout();
    has_reader(stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()))
}

/// The width and the height of the terminal that stdout is; `None` if it is none.
fn size() -> Option<(usize, usize)> {
    let size = is_on_terminal().then(|| tcgetwinsize(io::stdout()).ok()).flatten()?;
    let known = size.ws_col > 0 && size.ws_row > 0;
    known.then(|| (size.ws_col.into(), size.ws_row.into()))
}

/// The table's lines, none wider than `limit`.
pub(crate) fn lines(
    columns: &[Column],
    mut rows: Vec<Vec<Cell>>,
    limit: Option<usize>,
) -> Vec<String> {
    for cell in rows.iter_mut().flatten() {
        cell.text = escaped(&cell.text);
    }
    let widest = |(place, column): (usize, &Column)| {
        let cells = rows.iter().filter_map(|row| row.get(place));
        cells.map(|cell| cell.text.width()).max().unwrap_or(0).max(column.title.width())
    };
    let mut widths: Vec<_> = columns.iter().enumerate().map(widest).collect();
    let mut shown: Vec<_> = (0..columns.len()).collect();
    if let Some(limit) = limit {
        fit(columns, &mut shown, &mut widths, limit);
    }
    let header: Vec<_> = columns.iter().map(|column| Cell::from(column.title)).collect();
    let rows = std::iter::once(&header).chain(&rows);
    rows.map(|row| line(shown.iter().map(|place| (&row[*place], widths[*place])))).collect()
}

/// Leaves columns out of `shown`, then makes `widths` smaller, until the table is not wider than `limit`.
fn fit(columns: &[Column], shown: &mut Vec<usize>, widths: &mut [usize], limit: usize) {
    let total = |shown: &[usize], widths: &[usize]| {
        shown.iter().map(|place| widths[*place] + GAP).sum::<usize>().saturating_sub(GAP)
    };
    while total(shown, widths) > limit {
        let rank = |place: &&usize| columns[**place].rank;
        let Some(last) = shown.iter().filter(|place| rank(place) > 0).max_by_key(rank) else {
            break;
        };
        let last = *last;
        shown.retain(|place| *place != last);
    }
    while let over @ 1.. = total(shown, widths).saturating_sub(limit) {
        let Some(widest) = shown.iter().copied().max_by_key(|place| widths[*place]) else { break };
        if widths[widest] <= NARROWEST {
            break;
        }
        widths[widest] = widths[widest].saturating_sub(over).max(NARROWEST);
    }
}

/// One line of cells with their widths.
fn line<'a>(cells: impl Iterator<Item = (&'a Cell, usize)>) -> String {
    let (mut line, mut pending) = (String::new(), 0);
    for (Cell { text, style }, width) in cells {
        let text = cut(text, width);
        if !text.is_empty() {
            line.extend(std::iter::repeat_n(' ', pending));
            line += &format!("{style}{text}{style:#}");
            pending = 0;
        }
        // No blanks at the end of the line.
        pending += width - text.width() + GAP;
    }
    line
}

/// `text`, not wider than `width`: its end is replaced by an ellipsis.
pub(super) fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut room = width.saturating_sub(1);
    let fits = |char: &char| {
        let left = room.checked_sub(char.width().unwrap_or(0));
        room = left.unwrap_or(0);
        left.is_some()
    };
    text.chars().take_while(fits).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 4] = [
        Column::new("PROFILE"),
        Column::new("STATE"),
        Column::optional("PORT", 1),
        Column::optional("LAST EXIT", 2),
    ];

    fn shown(limit: Option<usize>) -> String {
        let rows = [
            ["coder", "up", "8643", "-"],
            ["a-name-that-is-rather-long", "backoff", "-", "SIGKILL"],
            ["日本語の名前", "down", "8644", "exit 1\u{1b}[31m"],
        ];
        let rows = rows.map(|row| row.map(Cell::from).to_vec());
        lines(&COLUMNS, rows.to_vec(), limit).join("\n")
    }

    #[test]
    fn columns_are_left_out_and_then_cut() {
        let expected = |lines: &[&str]| lines.join("\n");
        assert_eq!(
            shown(None),
            expected(&[
                "PROFILE                     STATE    PORT  LAST EXIT",
                "coder                       up       8643  -",
                "a-name-that-is-rather-long  backoff  -     SIGKILL",
                "日本語の名前                down     8644  exit 1\\u{1b}[31m",
            ])
        );
        assert_eq!(
            shown(Some(50)),
            expected(&[
                "PROFILE                     STATE    PORT",
                "coder                       up       8643",
                "a-name-that-is-rather-long  backoff  -",
                "日本語の名前                down     8644",
            ])
        );
        assert_eq!(
            shown(Some(24)),
            expected(&[
                "PROFILE          STATE",
                "coder            up",
                "a-name-that-is…  backoff",
                "日本語の名前     down",
            ])
        );
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for limit in 17..80 {
            for line in shown(Some(limit)).lines() {
                assert!(line.width() <= limit, "{limit}: {line}");
            }
        }
    }

    #[test]
    fn a_style_takes_no_width_and_colours_its_text_alone() {
        let red = anstyle::AnsiColor::Red.on_default();
        let row = vec![Cell::styled("a", red), Cell::from("up"), "1".into(), "-".into()];
        let lines = lines(&COLUMNS, vec![row], None);
        assert_eq!(lines[1], "\u{1b}[31ma\u{1b}[0m        up     1     -");
    }
}
