//! The gateways' logs, which the journal keeps: read and followed with journalctl.
//!
//! Sources: journalctl(1), `--output=json`; systemd.journal-fields(7). A gateway's own lines are those
//! whose unit journald found out itself; systemd's lines about the unit have another.

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

/// How long a journalctl may take to read.
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
    /// The arguments that ask for the gateways' own lines.
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

    /// The entries of `profiles`, or the last of each, in the order of time, with the places of their
    /// profiles.
    fn stored(
        &self,
        profiles: &[ProfileName],
        last: Option<usize>,
    ) -> Result<Vec<(usize, Entry)>, ManagerError> {
        // Without a unit journalctl would print everybody's lines.
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
        let place = |entry: Entry| Some((place(&units, &entry)?, entry));
        Ok(entries.into_iter().filter_map(place).collect())
    }
}

fn place(units: &[String], entry: &Entry) -> Option<usize> {
    units.iter().position(|unit| *unit == entry.unit)
}

impl Logs for Systemd {
    /// Only reading the journal finds it out.
    fn exists(&self, _profile: &ProfileName) -> Result<bool, ManagerError> {
        Ok(true)
    }

    fn read(&self, profiles: &[ProfileName], last: Option<usize>) -> Result<Lines, ManagerError> {
        let entries = self.stored(profiles, last)?.into_iter();
        Ok(Box::new(entries.map(|(place, entry)| Ok((place, entry.line())))))
    }

    fn follow(
        &self,
        profiles: &[ProfileName],
        last: usize,
    ) -> Result<Box<dyn Follow>, ManagerError> {
        let begin = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let stored = self.stored(profiles, Some(last))?;
        // One journal was read after the other: lines written meanwhile are in these, or are not.
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

/// Where a gateway's new lines begin, among those that a journalctl prints from some time before on.
#[derive(Debug)]
struct Start {
    micros: i64,
    /// The last line that was read before. Lines that are written at once have one time.
    last: Option<String>,
    has_come: bool,
}

impl Start {
    fn at(micros: i64) -> Self {
        Self { micros, last: None, has_come: false }
    }

    fn after(entry: &Entry) -> Self {
        Self { last: Some(entry.cursor.clone()), ..Self::at(entry.micros) }
    }

    /// Whether an entry is new. To be asked of each in the order of the journal.
    fn is_new(&mut self, entry: &Entry) -> bool {
        if self.has_come {
            return true;
        }
        match &self.last {
            Some(last) if entry.micros == self.micros => {
                self.has_come = entry.cursor == *last;
                false
            }
            _ => {
                self.has_come = entry.micros >= self.micros;
                self.has_come
            }
        }
    }
}

/// The journal of some profiles, followed by a journalctl of its own.
#[derive(Debug)]
struct FollowedJournal {
    /// Lines to return, with the places of their profiles.
    lines: VecDeque<(usize, Vec<u8>)>,
    /// The beginning of a line whose end has not been read yet.
    rest: Vec<u8>,
    field: &'static str,
    /// By the places of their profiles; empty after the end of a log.
    units: Vec<String>,
    starts: Vec<Start>,
    profiles: Profiles,
    /// For changes of the profiles.
    watch: Watch,
    /// While the journal is read to its end: the profiles that were gone before that.
    ending: Option<VecDeque<usize>>,
    child: Child,
    pipe: ChildStdout,
}

impl FollowedJournal {
    /// Follows what `child` prints. Before that come the `stored` entries; the gateways that have none
    /// begin with the time `begin`.
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
        for (place, entry) in stored {
            followed.starts[place] = Start::after(&entry);
            followed.lines.push_back((place, entry.line()));
        }
        Ok(followed)
    }

    fn take(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
        let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') else { return };
        let rest = self.rest.split_off(end + 1);
        for line in std::mem::replace(&mut self.rest, rest).split(|byte| *byte == b'\n') {
            let Some(entry) = Entry::read(line, self.field) else { continue };
            let Some(place) = place(&self.units, &entry) else { continue };
            if self.starts[place].is_new(&entry) {
                self.lines.push_back((place, entry.line()));
            }
        }
    }

    /// The next line that journalctl has printed by now.
    fn next_line(&mut self) -> io::Result<Option<(usize, Vec<u8>)>> {
        let mut buffer = [0; 64 * 1024];
        while self.lines.is_empty() {
            match self.pipe.read(&mut buffer) {
                Ok(0) => {
                    let ended = io::Error::new(ErrorKind::BrokenPipe, "journalctl has ended");
                    return Err(ended);
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
        if let Some((place, line)) = self.next_line().during(FOLLOW)? {
            return Ok(Some((place, Event::Line(line))));
        }
        let Some(place) = self.ending.as_mut().and_then(VecDeque::pop_front) else {
            self.ending = None;
            return Ok(None);
        };
        self.units[place].clear();
        Ok(Some((place, Event::Ended)))
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
        // It is a child of this process, and has nothing to end in order.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Entry {
    /// Reads a line of `--output=json`; `None` for one that lacks a field.
    fn read(line: &[u8], field: &str) -> Option<Self> {
        let entry: Value = serde_json::from_slice(line).ok()?;
        let value = |name: &str| entry[name].as_str();
        let text = match &entry["MESSAGE"] {
            Value::String(text) => text.clone().into_bytes(),
            // Bytes that are not UTF-8 come as numbers.
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

    /// As a line of a log.
    fn line(&self) -> Vec<u8> {
        let time = Timestamp::from_microsecond(self.micros).unwrap_or_default();
        line::stamped(time, &TimeZone::system(), &self.text)
    }
}

#[cfg(test)]
mod tests;
