//! The lines of an open file.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Take};

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
    pub(super) fn until_here(mut self, offset: u64) -> io::Result<Self> {
        let take = self.file.get_mut();
        let len = take.get_ref().metadata()?.len();
        take.set_limit(len.saturating_sub(offset));
        Ok(self)
    }

    /// The next whole line with its newline; `None` at the end, to which more may be added.
    pub(super) fn line(&mut self) -> io::Result<Option<Vec<u8>>> {
        self.file.read_until(b'\n', &mut self.begun)?;
        let is_whole = self.begun.last() == Some(&b'\n');
        Ok(is_whole.then(|| std::mem::take(&mut self.begun)))
    }

    /// The text after the last newline, if any.
    pub(super) fn rest(&mut self) -> Option<Vec<u8>> {
        Some(std::mem::take(&mut self.begun)).filter(|rest| !rest.is_empty())
    }
}
