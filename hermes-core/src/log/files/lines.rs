//! The lines of an open file, and the lines that a log directory holds at one moment.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Take};
use std::path::Path;

use super::directory::{Snapshot, open};
use super::tail;

/// Reads one file that may still grow, line by line.
#[derive(Debug)]
pub(super) struct LineReader {
    file: BufReader<Take<File>>,
    begun: Vec<u8>,
}

impl LineReader {
    /// Reads `file` from `offset` to its end, even if it grows.
    pub(super) fn new(mut file: File, offset: u64) -> io::Result<Self> {
        file.seek(SeekFrom::Start(offset))?;
        Ok(Self { file: BufReader::new(file.take(u64::MAX)), begun: Vec::new() })
    }

    /// Stops where the file ends now.
    fn until_here(mut self, offset: u64) -> io::Result<Self> {
        let take = self.file.get_mut();
        let len = take.get_ref().metadata()?.len();
        take.set_limit(len.saturating_sub(offset));
        Ok(self)
    }

    /// The next whole line without its newline; `None` at the end, to which more may be added.
    pub(super) fn line(&mut self) -> io::Result<Option<Vec<u8>>> {
        self.file.read_until(b'\n', &mut self.begun)?;
        if self.begun.last() != Some(&b'\n') {
            return Ok(None);
        }
        self.begun.pop();
        Ok(Some(std::mem::take(&mut self.begun)))
    }

    /// The text after the last newline, if any.
    pub(super) fn rest(&mut self) -> Option<Vec<u8>> {
        Some(std::mem::take(&mut self.begun)).filter(|rest| !rest.is_empty())
    }
}

/// The lines that a log directory holds at one moment, from the oldest to the newest.
///
/// All files are open from the beginning, so that a slow reader misses none.
#[derive(Debug)]
pub(super) struct DirectoryLines {
    files: VecDeque<LineReader>,
}

impl DirectoryLines {
    /// The lines of the log directory at `path`, or the last `last` of them. A directory that does not
    /// exist has none.
    pub(super) fn read(path: &Path, last: Option<usize>) -> io::Result<Self> {
        let Some(now) = Snapshot::take(path)? else { return Ok(Self { files: VecDeque::new() }) };
        let mut files = Vec::new();
        for name in &now.archives {
            files.extend(open(&path.join(name))?);
        }
        files.extend(now.previous);
        files.extend(now.current);
        let (skipped, mut offset) = match last {
            Some(last) => tail::start(&files, last, tail::Rest::CompleteLine)?,
            None => (0, 0),
        };
        let mut readers = VecDeque::new();
        for file in files.into_iter().skip(skipped) {
            readers.push_back(LineReader::new(file, offset)?.until_here(offset)?);
            offset = 0;
        }
        Ok(Self { files: readers })
    }

    /// The next line without its newline. Text after a file's last newline is a line too.
    pub(super) fn next_line(&mut self) -> io::Result<Option<Vec<u8>>> {
        while let Some(file) = self.files.front_mut() {
            if let Some(line) = file.line()?.or_else(|| file.rest()) {
                return Ok(Some(line));
            }
            self.files.pop_front();
        }
        Ok(None)
    }
}
