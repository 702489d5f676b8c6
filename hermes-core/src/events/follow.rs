//! Reads the journal, and the events to come, across rotations.

use std::collections::VecDeque;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::Duration;

use fs_err as fs;
use fs_err::os::unix::fs::OpenOptionsExt;
use rustix::fs::OFlags;

use super::journal::Journal;
use super::{Event, parse};
use crate::fsutil::attributes::regular;
use crate::fsutil::is_at;
use crate::log::Watch;
use crate::name::ProfileName;

/// A reader of the journal, which knows how far it has read. Each event comes once and in the order of the file.
#[derive(Debug)]
pub struct Follow {
    journal: Journal,
    watch: Watch,
    /// The file that is read now; `None` until there is a journal.
    file: Option<fs::File>,
    /// Where its first unread line begins.
    offset: u64,
    /// The profiles whose events are read; all, if there is none.
    profiles: Vec<ProfileName>,
    events: VecDeque<Event>,
}

impl Follow {
    /// A reader of the events of `profiles`, or of all if there is none, from the oldest event on. Reads nothing yet.
    pub fn new(journal: Journal, profiles: Vec<ProfileName>) -> Self {
        Self {
            journal,
            watch: Watch::new(),
            file: None,
            offset: 0,
            profiles,
            events: VecDeque::new(),
        }
    }

    /// The events that have happened before the call, at most the `last` ones. Does not block.
    pub fn former(&mut self, last: usize) -> io::Result<VecDeque<Event>> {
        let mut former = VecDeque::new();
        while let Some(event) = self.take()? {
            former.push_back(event);
            if former.len() > last {
                former.pop_front();
            }
        }
        Ok(former)
    }

    /// The next event; `None` until there may be more. Does not block.
    pub fn take(&mut self) -> io::Result<Option<Event>> {
        if self.events.is_empty() {
            self.watch()?;
            self.read()?;
        }
        Ok(self.events.pop_front())
    }

    /// A descriptor to wait for after a `None`: it is readable when there may be another event.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.watch.fd()
    }

    /// How long to wait for it at most; `None` for as long as it takes. Ask anew before each wait.
    pub fn max_wait(&mut self) -> Option<Duration> {
        self.watch.max_wait()
    }

    /// Watches the journal's directory, before the journal is read.
    fn watch(&mut self) -> io::Result<()> {
        self.watch.take_in()?;
        if let Some(directory) = self.journal.path().parent()
            && let Some(watch) = self.watch.log(directory)?
        {
            self.watch.appeared(watch);
        }
        Ok(())
    }

    /// Reads everything that the journal has now.
    fn read(&mut self) -> io::Result<()> {
        loop {
            let Some(file) = &mut self.file else {
                self.file = self.first()?;
                if self.file.is_some() {
                    continue;
                }
                return Ok(());
            };
            // Asked before the file is read: nobody appends to a file that was moved.
            let is_current = is_at(file, self.journal.path())?;
            // Somebody has emptied it.
            if file.metadata()?.len() < self.offset {
                self.offset = 0;
            }
            let mut bytes = Vec::new();
            file.seek(SeekFrom::Start(self.offset))?;
            file.read_to_end(&mut bytes)?;
            // Half a line may be taken back by its writer.
            let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            self.offset += end as u64;
            let events = bytes[..end].split(|byte| *byte == b'\n').filter_map(parse);
            let is_selected =
                |profile: &ProfileName| self.profiles.is_empty() || self.profiles.contains(profile);
            self.events.extend(events.filter(|event| is_selected(&event.profile)));
            if is_current {
                return Ok(());
            }
            let Some(next) = self.after()? else { return Ok(()) };
            (self.file, self.offset) = (Some(next), 0);
        }
    }

    /// The older of the two files.
    fn first(&self) -> io::Result<Option<fs::File>> {
        // In this order, so that one that is moved meanwhile is not missed.
        let current = open(self.journal.path())?;
        Ok(open(&self.journal.rotated())?.or(current))
    }

    /// The file after the present one, which was moved. If that was moved a second time, it is `.1`.
    fn after(&self) -> io::Result<Option<fs::File>> {
        // Opened before `.1` is looked at: if that is the present file, this is the one that follows it.
        let current = open(self.journal.path())?;
        let rotated = self.journal.rotated();
        let is_rotated = self.file.as_ref().map(|file| is_at(file, &rotated)).transpose()?;
        match is_rotated {
            Some(false) => Ok(open(&rotated)?.or(current)),
            _ => Ok(current),
        }
    }
}

/// Opens one of the two files. Follows no link, and refuses anything but a regular file, without blocking on a FIFO.
fn open(path: &Path) -> io::Result<Option<fs::File>> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    match fs::OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => regular(file).map(Some).map_err(|error| {
            io::Error::new(error.kind(), format!("`{}`: {error}", path.display()))
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
