//! Reads and follows the gateways' logs in the journal, with journalctl.
//!
//! Sources: journalctl(1), `--output=json`; systemd.journal-fields(7). The fields with a leading underscore,
//! which journald sets, select a gateway's own lines; systemd's lines about the unit have other values.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::process::{Child, ChildStdout};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hermes_core::ProfileName;
use hermes_core::log::{Event, Follow, Lines, Logs, Profiles, Watch, line};
use hermes_core::manager::{During, ManagerError};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::Systemd;

const READ: &str = "read the journal";
const FOLLOW: &str = "follow the journal";

/// The timeout for reading stored entries.
const TIMEOUT: Duration = Duration::from_secs(300);

/// An entry of the journal.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    unit: String,
    micros: i64,
    cursor: String,
    text: Vec<u8>,
}

impl Systemd {
    /// The arguments of journalctl for the gateways' own lines.
    fn journal_args(&self, more: &[&str], profiles: &[ProfileName]) -> Vec<String> {
        let field = self.scope.journal_field();
        let fields = format!("--output-fields=MESSAGE,{field}");
        let fixed =
            [self.scope.option(), "--no-pager", "--quiet", "--all", "--output=json", &fields];
        let unit = |profile| format!("{field}={}", self.names.unit(profile));
        let fixed = fixed.iter().chain(more).map(|argument| (*argument).to_owned());
        fixed.chain(profiles.iter().map(unit)).collect()
    }

    fn entries(&self, more: &[&str], profiles: &[ProfileName]) -> Result<Vec<Entry>, ManagerError> {
        let args = self.journal_args(more, profiles);
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        let text = self.journalctl.data(&args, TIMEOUT).during(READ)?;
        let field = self.scope.journal_field();
        Ok(text.lines().filter_map(|line| Entry::read(line.as_bytes(), field)).collect())
    }

    /// The stored entries of `profiles`, or the `last` ones of each, ordered by time, each with the index of
    /// its profile.
    fn stored(
        &self,
        profiles: &[ProfileName],
        last: Option<usize>,
    ) -> Result<Vec<(usize, Entry)>, ManagerError> {
        // Without a unit journalctl would print the lines of all units.
        if profiles.is_empty() {
            return Ok(Vec::new());
        }
        let mut entries = Vec::new();
        match last {
            None => entries = self.entries(&[], profiles)?,
            Some(last) => {
                let lines = format!("--lines={last}");
                for profile in profiles {
                    entries.extend(self.entries(&[&lines], std::slice::from_ref(profile))?);
                }
                entries.sort_by_key(|entry| entry.micros);
            }
        }
        let units: Vec<_> = profiles.iter().map(|profile| self.names.unit(profile)).collect();
        let indexed = |entry: Entry| Some((index_of(&units, &entry)?, entry));
        Ok(entries.into_iter().filter_map(indexed).collect())
    }
}

fn index_of(units: &[String], entry: &Entry) -> Option<usize> {
    units.iter().position(|unit| *unit == entry.unit)
}

impl Logs for Systemd {
    /// Always true: only reading the journal would show it.
    fn exists(&self, _profile: &ProfileName) -> Result<bool, ManagerError> {
        Ok(true)
    }

    fn read(&self, profiles: &[ProfileName], last: Option<usize>) -> Result<Lines, ManagerError> {
        let entries = self.stored(profiles, last)?.into_iter();
        Ok(Box::new(entries.map(|(index, entry)| Ok((index, entry.line())))))
    }

    fn follow(
        &self,
        profiles: &[ProfileName],
        last: usize,
    ) -> Result<Box<dyn Follow>, ManagerError> {
        let begin = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let stored = self.stored(profiles, Some(last))?;
        // The logs were read one after the other, so lines written meanwhile may be stored or not.
        let since = format!("--since=@{}", begin.as_secs());
        let more = ["--follow", "--lines=all", &since];
        let args = self.journal_args(&more, profiles);
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        let child = self.journalctl.start(&args).during(FOLLOW)?;
        let begin = i64::try_from(begin.as_micros()).unwrap_or(i64::MAX);
        let followed = FollowedJournal::new(self, profiles, begin, stored, child);
        Ok(Box::new(followed.during(FOLLOW)?))
    }
}

/// Where a gateway's new entries begin in the output of `journalctl --follow`, which starts earlier.
#[derive(Debug)]
struct Start {
    micros: i64,
    /// The cursor of the last stored entry, as several entries may have the same time.
    last: Option<String>,
    reached: bool,
}

impl Start {
    fn at(micros: i64) -> Self {
        Self { micros, last: None, reached: false }
    }

    fn after(entry: &Entry) -> Self {
        Self { last: Some(entry.cursor.clone()), ..Self::at(entry.micros) }
    }

    /// Whether an entry is new. Must be called for every entry, in the journal's order.
    fn is_new(&mut self, entry: &Entry) -> bool {
        if self.reached {
            return true;
        }
        match &self.last {
            Some(last) if entry.micros == self.micros => {
                self.reached = entry.cursor == *last;
                false
            }
            _ => {
                self.reached = entry.micros >= self.micros;
                self.reached
            }
        }
    }
}

/// Follows the journal of some profiles, with a child process `journalctl --follow`.
#[derive(Debug)]
struct FollowedJournal {
    /// Lines to return, with the indexes of their profiles.
    lines: VecDeque<(usize, Vec<u8>)>,
    /// An incomplete line.
    rest: Vec<u8>,
    field: &'static str,
    /// By profile index; an empty string after the end of a log.
    units: Vec<String>,
    starts: Vec<Start>,
    profiles: Profiles,
    /// Reports changes of the profiles.
    watch: Watch,
    /// Profiles that were deleted, whose logs end once the output so far has been read.
    ending: Option<VecDeque<usize>>,
    child: Child,
    pipe: ChildStdout,
}

impl FollowedJournal {
    /// Returns the `stored` entries, then those that `child` prints. The logs of gateways without a stored
    /// entry start at the time `begin`.
    fn new(
        systemd: &Systemd,
        profiles: &[ProfileName],
        begin: i64,
        stored: Vec<(usize, Entry)>,
        mut child: Child,
    ) -> io::Result<Self> {
        let pipe = child.stdout.take().ok_or(ErrorKind::BrokenPipe)?;
        let mut followed = Self {
            lines: VecDeque::new(),
            rest: Vec::new(),
            field: systemd.scope.journal_field(),
            units: profiles.iter().map(|profile| systemd.names.unit(profile)).collect(),
            starts: profiles.iter().map(|_| Start::at(begin)).collect(),
            profiles: Profiles::new(systemd.store.clone(), profiles),
            watch: Watch::new(),
            ending: None,
            child,
            pipe,
        };
        rustix::io::ioctl_fionbio(&followed.pipe, true)?;
        for (index, entry) in stored {
            followed.starts[index] = Start::after(&entry);
            followed.lines.push_back((index, entry.line()));
        }
        Ok(followed)
    }

    fn take(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
        let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') else { return };
        let rest = self.rest.split_off(end + 1);
        for line in std::mem::replace(&mut self.rest, rest).split(|byte| *byte == b'\n') {
            let Some(entry) = Entry::read(line, self.field) else { continue };
            let Some(index) = index_of(&self.units, &entry) else { continue };
            if self.starts[index].is_new(&entry) {
                self.lines.push_back((index, entry.line()));
            }
        }
    }

    /// The next line that journalctl has already printed.
    fn next_line(&mut self) -> io::Result<Option<(usize, Vec<u8>)>> {
        let mut buffer = [0; 64 * 1024];
        while self.lines.is_empty() {
            match self.pipe.read(&mut buffer) {
                Ok(0) => {
                    return Err(io::Error::new(ErrorKind::BrokenPipe, "journalctl has ended"));
                }
                Ok(read) => self.take(&buffer[..read]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(self.lines.pop_front())
    }
}

impl Follow for FollowedJournal {
    fn next(&mut self) -> Result<Option<(usize, Event)>, ManagerError> {
        if self.ending.is_none() {
            self.ending = Some(self.profiles.gone(&mut self.watch)?);
        }
        if let Some((index, line)) = self.next_line().during(FOLLOW)? {
            return Ok(Some((index, Event::Line(line))));
        }
        let Some(index) = self.ending.as_mut().and_then(VecDeque::pop_front) else {
            self.ending = None;
            return Ok(None);
        };
        self.units[index].clear();
        Ok(Some((index, Event::Ended)))
    }

    fn fds(&self) -> Vec<BorrowedFd<'_>> {
        self.watch.fd().into_iter().chain([self.pipe.as_fd()]).collect()
    }

    fn max_wait(&mut self) -> Option<Duration> {
        self.watch.max_wait()
    }
}

impl Drop for FollowedJournal {
    fn drop(&mut self) {
        // journalctl has nothing to clean up.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Entry {
    /// Parses a line of `--output=json`; `None` if it lacks a field.
    fn read(line: &[u8], field: &str) -> Option<Self> {
        let entry: Value = serde_json::from_slice(line).ok()?;
        let value = |name: &str| entry[name].as_str();
        let text = match &entry["MESSAGE"] {
            Value::String(text) => text.clone().into_bytes(),
            // journalctl prints text that is not UTF-8 as an array of numbers.
            Value::Array(bytes) => {
                let byte = |value: &Value| value.as_u64().and_then(|byte| u8::try_from(byte).ok());
                bytes.iter().map(byte).collect::<Option<_>>()?
            }
            _ => return None,
        };
        Some(Self {
            unit: value(field)?.to_owned(),
            micros: value("__REALTIME_TIMESTAMP")?.parse().ok()?,
            cursor: value("__CURSOR")?.to_owned(),
            text,
        })
    }

    /// The entry as a line of a log.
    fn line(&self) -> Vec<u8> {
        let time = Timestamp::from_microsecond(self.micros).unwrap_or_default();
        line::stamped(time, &TimeZone::system(), &self.text)
    }
}

#[cfg(test)]
mod tests;
