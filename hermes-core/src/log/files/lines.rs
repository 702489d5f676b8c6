//! The lines that a log directory holds at one moment.

use std::collections::VecDeque;
use std::io;
use std::path::Path;

use jiff::tz::TimeZone;

use super::begin::begin;
use super::directory::Snapshot;
use super::reader::LineReader;
use super::tail::Rest;
use crate::log::line::Line;
use crate::log::selection::{Filter, Selection};

/// The selected lines that a log directory holds at one moment, from the oldest to the newest.
///
/// All files are open from the beginning, so that a slow reader misses none.
#[derive(Debug)]
pub(super) struct DirectoryLines {
    files: VecDeque<LineReader>,
    filter: Filter,
    zone: TimeZone,
}

impl DirectoryLines {
    /// The selected lines of the log directory at `path`. A directory that does not exist has none. `zone` is the
    /// zone of local stamps.
    pub(super) fn read(path: &Path, selection: &Selection, zone: &TimeZone) -> io::Result<Self> {
        let mut lines =
            Self { files: VecDeque::new(), filter: selection.filter(), zone: zone.clone() };
        let Some(now) = Snapshot::take(path)? else { return Ok(lines) };
        let (files, mut offset) = begin(path, &now, selection, zone, Rest::CompleteLine)?;
        for file in files {
            lines.files.push_back(LineReader::new(file, offset)?.until_here(offset)?);
            offset = 0;
        }
        Ok(lines)
    }

    /// The next selected line. Text after a file's last newline is a line too.
    pub(super) fn next_line(&mut self) -> io::Result<Option<Line>> {
        while let Some(file) = self.files.front_mut() {
            let Some(line) = file.line()?.or_else(|| file.rest()) else {
                self.files.pop_front();
                continue;
            };
            let line = Line::parse(line, &self.zone);
            if self.filter.selects(&line) {
                return Ok(Some(line));
            }
        }
        Ok(None)
    }
}
