//! Reads and follows the gateways' logs in the journal, with journalctl.
//!
//! Sources: journalctl(1), `--output=json`; systemd.journal-fields(7). The fields with a leading underscore,
//! which journald sets, select a gateway's own lines; systemd's lines about the unit have other values.
//!
//! journald reads the unit of a line from the cgroup of the process. If the process has ended by then, a line
//! of a user's unit has no unit (systemd#2913), which hides the last words of a gateway that ends at once. The
//! units therefore set their name as identifier too, and a line of this account with that identifier and
//! without a unit counts as the gateway's.
//!
//! The wall clock may be set back. So a place in the journal is a cursor (`--cursor`, `--after-cursor`) and not a
//! time, and lines keep the journal's order.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::process::{Child, ChildStdout};
use std::time::Duration;

use hermes_core::ProfileName;
use hermes_core::log::{Event, Follow, Lines, Logs, Profiles, Watch, line};
use hermes_core::manager::{During, ManagerError};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::{Scope, Systemd};

const READ: &str = "read the journal";
const FOLLOW: &str = "follow the journal";

/// The field with the identifier of a unit's lines (systemd.exec(5), `SyslogIdentifier=`).
const IDENTIFIER: &str = "SYSLOG_IDENTIFIER";

/// The timeout for reading stored entries.
const TIMEOUT: Duration = Duration::from_secs(300);

/// An entry of the journal.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    unit: String,
    /// By the wall clock, in microseconds since 1970.
    time: i64,
    /// By the clock that counts from the boot, which is nobody's to set.
    boot: String,
    since_boot: u64,
    cursor: String,
    text: Vec<u8>,
}

impl Systemd {
    /// The arguments of journalctl for the gateways' own lines.
    fn journal_args(&self, more: &[&str], profiles: &[ProfileName]) -> Vec<String> {
        let field = self.scope.journal_field();
        let fields = format!("--output-fields=MESSAGE,{field},{IDENTIFIER}");
        let fixed =
            [self.scope.option(), "--no-pager", "--quiet", "--all", "--output=json", &fields];
        let names = |field: &str| {
            let match_of = |profile| format!("{field}={}", self.names.unit(profile));
            profiles.iter().map(match_of).collect::<Vec<_>>()
        };
        let mut args: Vec<_> =
            fixed.iter().chain(more).map(|argument| (*argument).to_owned()).collect();
        args.extend(names(field));
        if self.scope == Scope::User {
            args.extend(["+".to_owned(), format!("_UID={}", self.setup.account.uid)]);
            args.extend(names(IDENTIFIER));
        }
        args
    }

    fn entries(&self, more: &[&str], profiles: &[ProfileName]) -> Result<Vec<Entry>, ManagerError> {
        let args = self.journal_args(more, profiles);
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        let text = self.journalctl.data(&args, TIMEOUT).during(READ)?;
        let field = self.scope.journal_field();
        Ok(text.lines().filter_map(|line| Entry::read(line.as_bytes(), field)).collect())
    }

    /// The last `last` stored entries of each profile up to the cursor `end`, merged by time, each with the index of
    /// its profile.
    fn last_entries(
        &self,
        profiles: &[ProfileName],
        last: usize,
        end: Option<&str>,
    ) -> Result<Vec<(usize, Entry)>, ManagerError> {
        let lines = format!("--lines={last}");
        let end = end.map(|cursor| format!("--cursor={cursor}"));
        let more: Vec<_> =
            end.iter().chain([&lines]).map(String::as_str).chain(["--reverse"]).collect();
        let of = |profile| {
            let entries = self.entries(&more, std::slice::from_ref(profile))?;
            Ok(entries.into_iter().rev().collect())
        };
        Ok(merged(profiles.iter().map(of).collect::<Result<_, ManagerError>>()?))
    }

    /// The cursor of the last stored entry of any of `profiles`.
    fn last_cursor(&self, profiles: &[ProfileName]) -> Result<Option<String>, ManagerError> {
        Ok(self.entries(&["--lines=1"], profiles)?.pop().map(|entry| entry.cursor))
    }
}

/// Merges the entries of several profiles, each with the index of its profile. Those of each profile keep their order.
fn merged(mut logs: Vec<VecDeque<Entry>>) -> Vec<(usize, Entry)> {
    let mut entries = Vec::new();
    loop {
        let heads = logs.iter().enumerate().filter_map(|(index, log)| Some((index, log.front()?)));
        let first =
            heads.reduce(|first, head| if head.1.is_before(first.1) { head } else { first });
        let Some((index, _)) = first else { return entries };
        entries.extend(logs[index].pop_front().map(|entry| (index, entry)));
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
        let entries = match last {
            // Without a unit journalctl would print the lines of all units.
            _ if profiles.is_empty() => Vec::new(),
            Some(last) => self.last_entries(profiles, last, None)?,
            None => {
                let units: Vec<_> = profiles.iter().map(|name| self.names.unit(name)).collect();
                let indexed = |entry: Entry| Some((index_of(&units, &entry)?, entry));
                self.entries(&[], profiles)?.into_iter().filter_map(indexed).collect()
            }
        };
        Ok(Box::new(entries.into_iter().map(|(index, entry)| Ok((index, entry.line())))))
    }

    fn follow(
        &self,
        profiles: &[ProfileName],
        last: usize,
    ) -> Result<Box<dyn Follow>, ManagerError> {
        // Stored entries up to this one are read at once, and all later ones are followed.
        let begin = self.last_cursor(profiles)?;
        let stored = match &begin {
            Some(begin) => self.last_entries(profiles, last, Some(begin))?,
            None => Vec::new(),
        };
        let after = begin.map(|cursor| format!("--after-cursor={cursor}"));
        let more: Vec<_> =
            ["--follow", "--lines=all"].into_iter().chain(after.as_deref()).collect();
        let args = self.journal_args(&more, profiles);
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        let child = self.journalctl.start(&args).during(FOLLOW)?;
        let followed = FollowedJournal::new(self, profiles, stored, child);
        Ok(Box::new(followed.during(FOLLOW)?))
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
    profiles: Profiles,
    /// Reports changes of the profiles.
    watch: Watch,
    /// Profiles that were deleted, whose logs end once the output so far has been read.
    ending: Option<VecDeque<usize>>,
    child: Child,
    pipe: ChildStdout,
}

impl FollowedJournal {
    /// Returns the `stored` entries, then those that `child` prints.
    fn new(
        systemd: &Systemd,
        profiles: &[ProfileName],
        stored: Vec<(usize, Entry)>,
        mut child: Child,
    ) -> io::Result<Self> {
        let pipe = child.stdout.take().ok_or(ErrorKind::BrokenPipe)?;
        let stored = stored.into_iter().map(|(index, entry)| (index, entry.line()));
        let followed = Self {
            lines: stored.collect(),
            rest: Vec::new(),
            field: systemd.scope.journal_field(),
            units: profiles.iter().map(|profile| systemd.names.unit(profile)).collect(),
            profiles: Profiles::new(systemd.store.clone(), profiles),
            watch: Watch::new(),
            ending: None,
            child,
            pipe,
        };
        rustix::io::ioctl_fionbio(&followed.pipe, true)?;
        Ok(followed)
    }

    fn take(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
        let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') else { return };
        let rest = self.rest.split_off(end + 1);
        for line in std::mem::replace(&mut self.rest, rest).split(|byte| *byte == b'\n') {
            let Some(entry) = Entry::read(line, self.field) else { continue };
            let Some(index) = index_of(&self.units, &entry) else { continue };
            self.lines.push_back((index, entry.line()));
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
    /// Parses a line of `--output=json`, whose unit is in `field`; `None` if it lacks a field.
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
            unit: value(field).or_else(|| value(IDENTIFIER))?.to_owned(),
            time: value("__REALTIME_TIMESTAMP")?.parse().ok()?,
            boot: value("_BOOT_ID")?.to_owned(),
            since_boot: value("__MONOTONIC_TIMESTAMP")?.parse().ok()?,
            cursor: value("__CURSOR")?.to_owned(),
            text,
        })
    }

    /// Whether the entry was written before `other`, by journald's own rule: the wall clock decides between boots alone.
    fn is_before(&self, other: &Self) -> bool {
        match self.boot == other.boot {
            true => self.since_boot < other.since_boot,
            false => self.time < other.time,
        }
    }

    /// The entry as a line of a log.
    fn line(&self) -> Vec<u8> {
        let time = Timestamp::from_microsecond(self.time).unwrap_or_default();
        line::stamped(time, &TimeZone::system(), &self.text)
    }
}

#[cfg(test)]
mod tests;
