//! Where the reading of a log directory begins: which files can have selected lines, and where the last of those begin.
//!
//! A file was finished at the time in its name. s6-log counts that on from its own start, whereas lines and the file's
//! modification have the wall clock's time, which may have been set meanwhile; and a copy of a log may have another
//! modification time. So the end of a file is known as a range, and a file is left out only if neither end of the
//! range lets it have selected lines.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::directory::{Snapshot, open};
use super::reader::LineReader;
use super::tail::{self, Rest};
use crate::log::line::Line;
use crate::log::selection::Selection;
use crate::tai64n;

/// The files to read, the oldest first, and the offset in the first of them. An archive that was removed since the
/// listing is left out. With [`Rest::Incomplete`] the newest file is always among them.
pub(super) fn begin(
    path: &Path,
    now: &Snapshot,
    selection: &Selection,
    zone: &TimeZone,
    rest: Rest,
) -> io::Result<(Vec<File>, u64)> {
    let mut files = files(path, now, selection, rest)?;
    let Some(last) = selection.last else { return Ok((files, 0)) };
    let is_tail = selection.pattern.is_none() && selection.until.is_none();
    let matching = match is_tail || last == 0 {
        true => None,
        false => start_of_selected(&files, last, selection, zone, rest)?,
    };
    let (skipped, offset) = match matching {
        Some(place) => place,
        None => tail::start(&files, if is_tail { last } else { 0 }, rest)?,
    };
    files.drain(..skipped.min(files.len()));
    Ok((files, offset))
}

/// The archives that still exist, the oldest first. s6-log removes the oldest first meanwhile, so that they are opened from
/// the newest on: none is missing between two others.
fn archives<'a>(path: &Path, now: &'a Snapshot) -> io::Result<Vec<(&'a OsStr, File)>> {
    let mut archives = Vec::new();
    for name in now.archives.iter().rev() {
        let Some(file) = open(&path.join(name))? else { break };
        archives.push((name.as_os_str(), file));
    }
    archives.reverse();
    Ok(archives)
}

/// The files that can have lines of the selected time.
fn files(path: &Path, now: &Snapshot, selection: &Selection, rest: Rest) -> io::Result<Vec<File>> {
    let mut files = Vec::new();
    // When the file before was finished at the earliest.
    let mut begun = Timestamp::MIN;
    for (name, file) in archives(path, now)? {
        let written = modified(&file)?;
        let named = time_in(name).unwrap_or(written);
        let is_early = selection.since.is_some_and(|since| named.max(written) < since);
        let is_late = selection.until.is_some_and(|until| until < begun);
        begun = named.min(written);
        if !is_early && !is_late {
            files.push(file);
        }
    }
    for file in [&now.previous, &now.current].into_iter().flatten() {
        // A follower waits for lines to come.
        if rest == Rest::Incomplete || selection.until.is_none_or(|until| begun <= until) {
            files.push(file.try_clone()?);
        }
    }
    Ok(files)
}

/// Where the last `last` selected lines begin: the index of the file, and the offset. `None` if no line is selected.
fn start_of_selected(
    files: &[File],
    last: usize,
    selection: &Selection,
    zone: &TimeZone,
    rest: Rest,
) -> io::Result<Option<(usize, u64)>> {
    let mut filter = selection.filter();
    let mut places = VecDeque::new();
    for (index, file) in files.iter().enumerate() {
        let mut reader = LineReader::new(file.try_clone()?, 0)?;
        let mut offset = 0;
        loop {
            let line = match reader.line()? {
                None if rest == Rest::CompleteLine || index + 1 < files.len() => reader.rest(),
                line => line,
            };
            let Some(line) = line else { break };
            let len = line.len() as u64;
            if filter.selects(&Line::parse(line, zone)) {
                if places.len() == last {
                    places.pop_front();
                }
                places.push_back((index, offset));
            }
            offset += len;
        }
    }
    Ok(places.pop_front())
}

fn modified(file: &File) -> io::Result<Timestamp> {
    Timestamp::try_from(file.metadata()?.modified()?).map_err(io::Error::other)
}

/// The time in an archive's name.
fn time_in(name: &OsStr) -> Option<Timestamp> {
    tai64n::from_hex(name.as_bytes().get(1..)?.first_chunk()?)
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::time::{Duration, SystemTime};

    use regex_lite::Regex;

    use super::*;

    fn time(second: i64) -> Timestamp {
        Timestamp::new(second, 0).unwrap()
    }

    /// Archives that were finished at the times 10, 20 and 30, and `current`; each has a line from five seconds before
    /// its end.
    fn directory() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for end in [10, 20, 30, 40] {
            let name = match end {
                40 => "current".to_owned(),
                _ => format!("@{}.s", tai64n::to_hex(time(end))),
            };
            let line = |at| format!("@{} {at}\n", tai64n::to_hex(time(at)));
            std::fs::write(dir.path().join(&name), line(end - 5) + &line(end)).unwrap();
            set_modified(&dir.path().join(name), end);
        }
        dir
    }

    fn set_modified(path: &Path, second: i64) {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(second.cast_unsigned());
        File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
    }

    /// The texts of the lines in the files that are read, from the offset on.
    fn read(dir: &tempfile::TempDir, selection: &Selection, rest: Rest) -> String {
        let now = Snapshot::take(dir.path()).unwrap().unwrap();
        let (files, offset) = begin(dir.path(), &now, selection, &TimeZone::UTC, rest).unwrap();
        let mut text = String::new();
        files.into_iter().for_each(|mut file| {
            // A place in a file that was searched is at its end.
            io::Seek::rewind(&mut file).unwrap();
            file.read_to_string(&mut text).unwrap();
        });
        let lines = text[usize::try_from(offset).unwrap()..].lines();
        lines.filter_map(|line| line.split_once(' ')).map(|(_, text)| format!("{text} ")).collect()
    }

    #[test]
    fn only_files_that_can_have_lines_of_the_time_are_read() {
        let dir = directory();
        let read = |since: Option<i64>, until: Option<i64>, rest| {
            let selection = Selection {
                since: since.map(time),
                until: until.map(time),
                ..Selection::default()
            };
            read(&dir, &selection, rest)
        };
        assert_eq!(read(None, None, Rest::CompleteLine), "5 10 15 20 25 30 35 40 ");
        assert_eq!(read(Some(20), None, Rest::CompleteLine), "15 20 25 30 35 40 ");
        assert_eq!(read(Some(21), None, Rest::CompleteLine), "25 30 35 40 ");
        assert_eq!(read(None, Some(9), Rest::CompleteLine), "5 10 ");
        assert_eq!(read(Some(11), Some(19), Rest::CompleteLine), "15 20 ");
        assert_eq!(read(Some(11), Some(19), Rest::Incomplete), "15 20 35 40 ");
        // The clock was set forward after the logger's start, so that its names lag behind.
        set_modified(&dir.path().join(format!("@{}.s", tai64n::to_hex(time(10)))), 1000);
        assert_eq!(read(Some(21), None, Rest::CompleteLine), "5 10 25 30 35 40 ");
        assert_eq!(read(None, Some(15), Rest::CompleteLine), "5 10 15 20 ");
    }

    #[test]
    fn no_archive_is_missing_between_two_others() {
        let dir = directory();
        let now = Snapshot::take(dir.path()).unwrap().unwrap();
        let ends = || {
            let archives = archives(dir.path(), &now).unwrap();
            archives.into_iter().map(|(name, _)| time_in(name).unwrap().as_second()).collect()
        };
        let all: Vec<_> = ends();
        assert_eq!(all, [10, 20, 30]);
        // As if the oldest ones had been removed while they were opened one after the other.
        std::fs::remove_file(dir.path().join(format!("@{}.s", tai64n::to_hex(time(20))))).unwrap();
        let rest: Vec<_> = ends();
        assert_eq!(rest, [30]);
    }

    #[test]
    fn the_last_lines_are_counted_among_the_selected_ones() {
        let dir = directory();
        let select = |pattern: &str, until: i64, last| Selection {
            until: Some(time(until)),
            pattern: Regex::new(pattern).ok(),
            last: Some(last),
            since: None,
        };
        assert_eq!(read(&dir, &select("0$", 100, 3), Rest::CompleteLine), "20 25 30 35 40 ");
        assert_eq!(read(&dir, &select("5$", 26, 2), Rest::CompleteLine), "15 20 25 30 ");
        assert_eq!(
            read(&dir, &select("5$", 100, 9), Rest::CompleteLine),
            "5 10 15 20 25 30 35 40 "
        );
        assert_eq!(read(&dir, &select("none", 100, 3), Rest::CompleteLine), "");
        assert_eq!(read(&dir, &select("5$", 100, 0), Rest::CompleteLine), "");
    }
}
