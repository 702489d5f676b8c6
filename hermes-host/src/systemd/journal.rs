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
use hermes_core::log::{Event, Follow, Line, Lines, Logs, Profiles, Selection, Watch};
use hermes_core::manager::{During, ManagerError};
use jiff::Timestamp;
use serde_json::Value;

use super::{Scope, Systemd};

const READ: &str = "read the journal";
const FOLLOW: &str = "follow the journal";

/// The field with the identifier of a unit's lines (systemd.exec(5), `SyslogIdentifier=`).
const IDENTIFIER: &str = "SYSLOG_IDENTIFIER";

/// The field that says how a line ended, if not with a newline (systemd.journal-fields(7)).
const LINE_BREAK: &str = "_LINE_BREAK";

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
    cut: bool,
}

impl Systemd {
    /// The arguments of journalctl for the gateways' own lines.
    fn journal_args(&self, more: &[String], profiles: &[ProfileName]) -> Vec<String> {
        let field = self.scope.journal_field();
        let fields = format!("--output-fields=MESSAGE,{field},{IDENTIFIER},{LINE_BREAK}");
        let fixed =
            [self.scope.option(), "--no-pager", "--quiet", "--all", "--output=json", &fields];
        let names = |field: &str| {
            let match_of = |profile| format!("{field}={}", self.names.unit(profile));
            profiles.iter().map(match_of).collect::<Vec<_>>()
        };
        let mut args: Vec<_> = fixed.map(str::to_owned).into_iter().chain(more.to_vec()).collect();
        args.extend(names(field));
        if self.scope == Scope::User {
            args.extend(["+".to_owned(), format!("_UID={}", self.setup.account.uid)]);
            args.extend(names(IDENTIFIER));
        }
        args
    }

    fn entries(
        &self,
        more: &[String],
        profiles: &[ProfileName],
    ) -> Result<Vec<Entry>, ManagerError> {
        let args = self.journal_args(more, profiles);
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        let text = self.journalctl.data(&args, TIMEOUT).during(READ)?;
        let field = self.scope.journal_field();
        Ok(text.lines().filter_map(|line| Entry::read(line.as_bytes(), field)).collect())
    }

    /// The last `last` selected entries of each profile up to the cursor `end`, merged by time, each with the index of
    /// its profile.
    fn last_entries(
        &self,
        profiles: &[ProfileName],
        last: usize,
        selection: &Selection,
        end: Option<&str>,
    ) -> Result<Vec<(usize, Entry)>, ManagerError> {
        // journalctl refuses a cursor together with --since.
        let mut more = vec![format!("--lines={last}"), "--reverse".to_owned()];
        more.extend(
            end.map_or_else(|| selection.since.map(since), |at| Some(format!("--cursor={at}"))),
        );
        more.extend(selection.until.map(until));
        more.extend(matching(selection));
        let of = |profile| {
            let mut entries = self.entries(&more, std::slice::from_ref(profile))?;
            entries.retain(|entry| selection.includes(entry.time()));
            Ok(entries.into_iter().rev().collect())
        };
        Ok(merged(profiles.iter().map(of).collect::<Result<_, ManagerError>>()?))
    }

    /// The cursor of the last stored entry of any of `profiles`.
    fn last_cursor(&self, profiles: &[ProfileName]) -> Result<Option<String>, ManagerError> {
        Ok(self.entries(&["--lines=1".to_owned()], profiles)?.pop().map(|entry| entry.cursor))
    }
}

/// The option for entries from `time` on.
fn since(time: Timestamp) -> String {
    format!("--since={}", at(time))
}

/// The option for entries up to `time`.
fn until(time: Timestamp) -> String {
    format!("--until={}", at(time))
}

/// A time as systemd.time(7) has it, to the microsecond: it has none before 1970.
fn at(time: Timestamp) -> String {
    let microseconds = time.as_microsecond().max(0);
    format!("@{}.{:06}", microseconds / 1_000_000, microseconds % 1_000_000)
}

/// The options for entries whose text matches. A pattern in lower case would match capital letters, too.
fn matching(selection: &Selection) -> Vec<String> {
    let options = |pattern| [format!("--grep={pattern}"), "--case-sensitive=yes".to_owned()];
    selection.pattern.iter().flat_map(options).collect()
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

    fn read(&self, profiles: &[ProfileName], selection: &Selection) -> Result<Lines, ManagerError> {
        let entries = match selection.last {
            // Without a unit journalctl would print the lines of all units.
            _ if profiles.is_empty() => Vec::new(),
            Some(last) => self.last_entries(profiles, last, selection, None)?,
            None => {
                let units: Vec<_> = profiles.iter().map(|name| self.names.unit(name)).collect();
                let indexed = |entry: Entry| Some((index_of(&units, &entry)?, entry));
                let bounds =
                    selection.since.map(since).into_iter().chain(selection.until.map(until));
                let more: Vec<_> = bounds.chain(matching(selection)).collect();
                self.entries(&more, profiles)?.into_iter().filter_map(indexed).collect()
            }
        };
        Ok(Box::new(entries.into_iter().map(|(index, entry)| Ok((index, entry.line())))))
    }

    fn follow(
        &self,
        profiles: &[ProfileName],
        selection: &Selection,
    ) -> Result<Box<dyn Follow>, ManagerError> {
        let mut stored = Vec::new();
        let begin = match selection.last {
            // Stored entries up to this one are read at once, and all later ones are followed.
            Some(last) => self.last_cursor(profiles)?.map(|begin| {
                stored = self.last_entries(profiles, last, selection, Some(&begin))?;
                Ok::<_, ManagerError>(format!("--after-cursor={begin}"))
            }),
            None => selection.since.map(|time| Ok(since(time))),
        };
        let more = ["--follow", "--lines=all"].map(str::to_owned).into_iter();
        let more: Vec<_> = more.chain(begin.transpose()?).chain(matching(selection)).collect();
        let args = self.journal_args(&more, profiles);
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        let child = self.journalctl.start(&args).during(FOLLOW)?;
        let followed = FollowedJournal::new(self, profiles, selection, stored, child);
        Ok(Box::new(followed.during(FOLLOW)?))
    }
}

/// Follows the journal of some profiles, with a child process `journalctl --follow`.
#[derive(Debug)]
struct FollowedJournal {
    /// Lines to return, with the indexes of their profiles.
    lines: VecDeque<(usize, Line)>,
    /// An incomplete line.
    rest: Vec<u8>,
    selection: Selection,
    field: &'static str,
    /// By profile index; an empty string after the end of a log.
    units: Vec<String>,
    profiles: Profiles,
    /// Reports changes of the profiles.
    watch: Watch,
    child: Child,
    pipe: ChildStdout,
}

impl FollowedJournal {
    /// Returns the `stored` entries, then those that `child` prints.
    fn new(
        systemd: &Systemd,
        profiles: &[ProfileName],
        selection: &Selection,
        stored: Vec<(usize, Entry)>,
        mut child: Child,
    ) -> io::Result<Self> {
        let pipe = child.stdout.take().ok_or(ErrorKind::BrokenPipe)?;
        let stored = stored.into_iter().map(|(index, entry)| (index, entry.line()));
        let followed = Self {
            lines: stored.collect(),
            rest: Vec::new(),
            selection: selection.clone(),
            field: systemd.scope.journal_field(),
            units: profiles.iter().map(|profile| systemd.names.unit(profile)).collect(),
            profiles: Profiles::new(systemd.store.clone(), profiles),
            watch: Watch::new(),
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
            if self.selection.includes(entry.time()) {
                self.lines.push_back((index, entry.line()));
            }
        }
    }

    /// The next line that journalctl has already printed.
    fn next_line(&mut self) -> io::Result<Option<(usize, Line)>> {
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
        self.profiles.look(&mut self.watch)?;
        if let Some((index, line)) = self.next_line().during(FOLLOW)? {
            return Ok(Some((index, Event::Line(line))));
        }
        let Some(index) = self.profiles.next_ended() else { return Ok(None) };
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
            cut: value(LINE_BREAK).is_some_and(|end| end != "nul"),
        })
    }

    /// Whether the entry was written before `other`, by journald's own rule: the wall clock decides between boots alone.
    fn is_before(&self, other: &Self) -> bool {
        match self.boot == other.boot {
            true => self.since_boot < other.since_boot,
            false => self.time < other.time,
        }
    }

    fn time(&self) -> Timestamp {
        Timestamp::from_microsecond(self.time).unwrap_or_default()
    }

    /// The entry as a line of a log.
    fn line(self) -> Line {
        Line { time: Some(self.time()), text: self.text, cut: self.cut }
    }
}

#[cfg(test)]
mod tests;
