//! Following a log directory across rotations.
//!
//! A follower reads the file that was `current` until `current` is another file, then to its end, since
//! s6-log no longer writes to it; then every new archive in order; then the new `current`. It opens all of
//! them at once, so that no removal can interrupt the reading. It recognizes files that it has read by
//! name, or by inode while s6-log has not named them.
//!
//! If an announced archive can't be opened any more, its lines are missing, unless it was the followed
//! file. The follower counts these archives.

use std::collections::{BTreeSet, VecDeque};
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;

use super::begin::begin;
use super::directory::{Identity, Snapshot, is_archive, open};
use super::reader::LineReader;
use super::tail::Rest;
use crate::log::line::Line;
use crate::log::logs::{Event, Removed};
use crate::log::selection::{Filter, Selection};
use crate::log::watch::Watch;

/// Follows one log directory, which need not exist yet.
#[derive(Debug)]
pub(super) struct Follower {
    path: PathBuf,
    /// The files to read, in order. s6-log may still write to the last one.
    files: VecDeque<LineReader>,
    /// Files that are, or were, being read and had no archive's name when they were met.
    unnamed: Vec<File>,
    /// The archives that were there when `current` was last met: all are older than it.
    older: BTreeSet<OsString>,
    /// The archives that were announced since, in the order in which they were made. That of their names is the wall
    /// clock's, which may have been set back.
    announced: Vec<OsString>,
    filter: Filter,
    zone: TimeZone,
    watch: Option<i32>,
    overflows: Option<u64>,
    removed: Option<Removed>,
}

impl Follower {
    /// Follows the log directory at `path`, beginning with the selected lines that are in it. `zone` is the zone of local
    /// stamps.
    pub(super) fn begin(
        path: &Path,
        selection: &Selection,
        zone: &TimeZone,
        watch: &mut Watch,
    ) -> io::Result<Self> {
        let mut follower = Self {
            path: path.to_owned(),
            files: VecDeque::new(),
            unnamed: Vec::new(),
            older: BTreeSet::new(),
            announced: Vec::new(),
            filter: selection.filter(),
            zone: zone.clone(),
            watch: None,
            overflows: watch.overflows(),
            removed: None,
        };
        follower.listen(watch)?;
        let Some(now) = Snapshot::take(path)? else { return Ok(follower) };
        let (files, mut offset) = begin(path, &now, selection, zone, Rest::Incomplete)?;
        follower.unnamed.extend([now.previous, now.current].into_iter().flatten());
        for file in files {
            follower.files.push_back(LineReader::new(file, offset)?);
            offset = 0;
        }
        follower.older = now.archives;
        Ok(follower)
    }

    /// The next selected line, or that lines are missing; `None` until something changes in the directory,
    /// which [`Watch::max_wait`] may know already. Does not block.
    pub(super) fn next(&mut self, watch: &mut Watch) -> io::Result<Option<Event>> {
        loop {
            match self.next_of_all(watch)? {
                Some(Event::Line(line)) if !self.filter.selects(&line) => {}
                event => return Ok(event),
            }
        }
    }

    /// The same, selected or not.
    fn next_of_all(&mut self, watch: &mut Watch) -> io::Result<Option<Event>> {
        loop {
            if let Some(removed) = self.removed.take() {
                return Ok(Some(Event::Removed(removed)));
            }
            let Some(file) = self.files.front_mut() else {
                match self.advance(watch)? {
                    true => continue,
                    false => return Ok(None),
                }
            };
            if let Some(line) = file.line()? {
                return Ok(Some(self.line(line)));
            }
            if self.files.len() == 1 {
                if !self.has_moved_on(watch)? {
                    return Ok(None);
                }
                // s6-log no longer writes to the file, so its end is final now.
                if let Some(line) = self.files[0].line()? {
                    return Ok(Some(self.line(line)));
                }
                if !self.advance(watch)? {
                    return Ok(None);
                }
            }
            // A logger that was killed may have left half a line.
            let rest = self.files.pop_front().and_then(|mut file| file.rest());
            if let Some(rest) = rest {
                return Ok(Some(self.line(rest)));
            }
        }
    }

    fn line(&self, bytes: Vec<u8>) -> Event {
        Event::Line(Line::parse(bytes, &self.zone))
    }

    /// The files that went unread with a directory that is gone, as far as they were announced.
    ///
    /// Ask after the last line. If `current` was rotated since then, its successors went with the
    /// directory: archives, and a last `current` that nothing is known of.
    pub(super) fn end(&mut self, watch: &mut Watch) -> io::Result<Option<Removed>> {
        self.listen(watch)?;
        let unmet = self.announced.iter().filter(|name| !self.older.contains(*name)).count();
        let met = self.unnamed.len();
        let rotated = unmet > 0 && unmet >= met;
        Ok(rotated.then(|| Removed { archives: unmet - met, exact: false }))
    }

    /// Whether `current` is another file than the one that was met last.
    fn has_moved_on(&mut self, watch: &mut Watch) -> io::Result<bool> {
        self.listen(watch)?;
        let now = Identity::at(&self.path.join("current"))?;
        let met = self.unnamed.last().map(Identity::of).transpose()?;
        Ok(now.is_some() && now != met)
    }

    /// Appends to `files` all that is newer than what was met last, and `current`; `false` while
    /// there is no `current`.
    fn advance(&mut self, watch: &mut Watch) -> io::Result<bool> {
        self.listen(watch)?;
        let Some(Snapshot { archives, previous, current: Some(current) }) =
            Snapshot::take(&self.path)?
        else {
            return Ok(false);
        };
        let met: Vec<_> = self.unnamed.iter().map(Identity::of).collect::<io::Result<_>>()?;
        let mut found = 0;
        let mut missing = 0;
        let announced = std::mem::take(&mut self.announced);
        // An archive that is not announced yet is newer.
        let newer = archives.iter().filter(|name| !announced.contains(name));
        for name in announced.iter().chain(newer).filter(|name| !self.older.contains(*name)) {
            match open(&self.path.join(name))? {
                None => missing += 1,
                Some(file) if met.contains(&Identity::of(&file)?) => found += 1,
                Some(file) => self.files.push_back(LineReader::new(file, 0)?),
            }
        }
        let was_met = |file: &File| Identity::of(file).map(|identity| met.contains(&identity));
        let previous_was_met = previous.as_ref().map(was_met).transpose()?.unwrap_or_default();
        found += usize::from(previous_was_met);
        self.removed = self.removed_since(met.len().saturating_sub(found), missing, watch)?;
        self.unnamed.clear();
        if let Some(file) = previous {
            // New or not, s6-log is going to name it.
            self.unnamed.push(file.try_clone()?);
            if !previous_was_met {
                self.files.push_back(LineReader::new(file, 0)?);
            }
        }
        self.unnamed.push(current.try_clone()?);
        self.files.push_back(LineReader::new(current, 0)?);
        self.older = archives;
        Ok(true)
    }

    /// What to report if `missing` archives could not be opened, and `gone` of the files that were read
    /// to their end do not exist any more.
    fn removed_since(
        &mut self,
        gone: usize,
        missing: usize,
        watch: &Watch,
    ) -> io::Result<Option<Removed>> {
        let overflows = watch.overflows();
        let all_known = overflows.is_some() && overflows == self.overflows;
        self.overflows = overflows;
        let mut empty = false;
        for file in &self.unnamed {
            // Later versions of s6-log unlink an empty file and make no archive of it.
            empty |= file.metadata()?.len() == 0;
        }
        let archives = missing.saturating_sub(gone);
        let exact = all_known && (gone == 0 || !empty);
        let unknown = gone > 0 && !all_known;
        Ok((archives > 0 || unknown).then_some(Removed { archives, exact }))
    }

    /// Takes the announced archives, and watches the directory for the next ones.
    fn listen(&mut self, watch: &mut Watch) -> io::Result<()> {
        let now = watch.log(&self.path)?;
        watch.take_in()?;
        for directory in [self.watch, now].into_iter().flatten() {
            for name in watch.appeared(directory) {
                if is_archive(&name) && !self.announced.contains(&name) {
                    self.announced.push(name);
                }
            }
        }
        self.watch = now.or(self.watch);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
