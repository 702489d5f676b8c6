//! What gateways said, by way of the journal.
//!
//! Sources: journalctl(1), `--output=json`; systemd.journal-fields(7). A gateway's own lines are those
//! whose unit journald found out itself; what systemd says about the unit is another's.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::process::{Child, ChildStdout};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hermes_core::ProfileName;
use hermes_core::backend::{Following, Journal};
use hermes_core::failure::failed;
use hermes_core::manager::ManagerError;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::Systemd;

/// How long reading what is there may take.
const READ: Duration = Duration::from_secs(300);

/// An entry of the journal.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    unit: String,
    micros: i64,
    cursor: String,
    said: Vec<u8>,
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
        let text = self.journalctl.data("read the journal", &args, READ)?;
        let field = self.scope.journal_field();
        Ok(text.lines().filter_map(|line| Entry::read(line.as_bytes(), field)).collect())
    }

    /// The last lines of each, or all, in the order of time.
    fn said(
        &self,
        profiles: &[ProfileName],
        last: Option<usize>,
    ) -> Result<Vec<Entry>, ManagerError> {
        let Some(last) = last else { return self.entries(&[], profiles) };
        let mut said = Vec::new();
        for profile in profiles {
            let lines = format!("--lines={last}");
            said.extend(self.entries(&[&lines], std::slice::from_ref(profile))?);
        }
        said.sort_by_key(|entry| entry.micros);
        Ok(said)
    }

    fn place(&self, profiles: &[ProfileName], entry: &Entry) -> Option<usize> {
        let name = self.names.profile(&entry.unit)?;
        profiles.iter().position(|profile| *profile == name)
    }
}

impl Journal for Systemd {
    fn read(
        &self,
        profiles: &[ProfileName],
        last: Option<usize>,
        tell: &mut dyn FnMut(usize, Vec<u8>) -> bool,
    ) -> Result<(), ManagerError> {
        for entry in self.said(profiles, last)? {
            if let Some(place) = self.place(profiles, &entry)
                && !tell(place, entry.line())
            {
                break;
            }
        }
        Ok(())
    }

    fn follow(
        &self,
        profiles: &[ProfileName],
        last: usize,
    ) -> Result<Box<dyn Following>, ManagerError> {
        let begin = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let said = self.said(profiles, Some(last))?;
        // One after the other was read, and what they said meanwhile is there twice, or once.
        let since = format!("--since=@{}", begin.as_secs());
        let more = ["--follow", "--lines=all", &since];
        let args = self.journal_args(&more, profiles);
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        let operation = "follow the journal";
        let mut child = self.journalctl.start(operation, &args)?;
        let Some(pipe) = child.stdout.take() else {
            return Err(failed(operation, io::Error::from(ErrorKind::BrokenPipe)));
        };
        rustix::io::ioctl_fionbio(&pipe, true)
            .map_err(|errno| failed(operation, io::Error::from(errno)))?;
        let begin = i64::try_from(begin.as_micros()).unwrap_or(i64::MAX);
        let mut followed = Followed {
            lines: VecDeque::new(),
            field: self.scope.journal_field(),
            rest: Vec::new(),
            units: profiles.iter().map(|profile| self.names.unit(profile)).collect(),
            starts: profiles.iter().map(|_| Start::at(begin)).collect(),
            child,
            pipe,
        };
        for entry in &said {
            if let Some(place) = self.place(profiles, entry) {
                followed.starts[place] = Start::after(entry);
                followed.lines.push_back((place, entry.line()));
            }
        }
        Ok(Box::new(followed))
    }
}

/// From where on a gateway's lines are told, of those that a journalctl follows from some time before.
struct Start {
    micros: i64,
    /// What was told already, last of all lines of that time: lines that are said at once have one time.
    told: Option<String>,
    has_come: bool,
}

impl Start {
    fn at(micros: i64) -> Self {
        Self { micros, told: None, has_come: false }
    }

    fn after(entry: &Entry) -> Self {
        Self { told: Some(entry.cursor.clone()), ..Self::at(entry.micros) }
    }

    /// Whether an entry is told, which is the next in the order of the journal.
    fn lets(&mut self, entry: &Entry) -> bool {
        if self.has_come {
            return true;
        }
        match &self.told {
            Some(told) if entry.micros == self.micros => {
                self.has_come = entry.cursor == *told;
                false
            }
            _ => {
                self.has_come = entry.micros >= self.micros;
                self.has_come
            }
        }
    }
}

/// A journal that is followed by a journalctl of its own.
struct Followed {
    /// What was said and not taken yet.
    lines: VecDeque<(usize, Vec<u8>)>,
    /// The beginning of a line whose end has not been read yet.
    rest: Vec<u8>,
    field: &'static str,
    units: Vec<String>,
    /// From where on each is told.
    starts: Vec<Start>,
    child: Child,
    pipe: ChildStdout,
}

impl Followed {
    fn take(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
        let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') else { return };
        let rest = self.rest.split_off(end + 1);
        for line in std::mem::replace(&mut self.rest, rest).split(|byte| *byte == b'\n') {
            let Some(entry) = Entry::read(line, self.field) else { continue };
            let Some(place) = self.units.iter().position(|unit| *unit == entry.unit) else {
                continue;
            };
            if self.starts[place].lets(&entry) {
                self.lines.push_back((place, entry.line()));
            }
        }
    }
}

impl Following for Followed {
    fn fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }

    fn next(&mut self) -> io::Result<Option<(usize, Vec<u8>)>> {
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

impl Drop for Followed {
    fn drop(&mut self) {
        // It is ours, and has nothing to end in order.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Entry {
    /// Reads a line of `--output=json`; `None` for one without what is needed.
    fn read(line: &[u8], field: &str) -> Option<Self> {
        let entry: Value = serde_json::from_slice(line).ok()?;
        let text = |name: &str| entry[name].as_str();
        let said = match &entry["MESSAGE"] {
            Value::String(said) => said.clone().into_bytes(),
            // What is no UTF-8 comes as numbers.
            Value::Array(bytes) => {
                let byte = |value: &Value| value.as_u64().and_then(|byte| u8::try_from(byte).ok());
                bytes.iter().map(byte).collect::<Option<_>>()?
            }
            _ => return None,
        };
        Some(Self {
            unit: text(field)?.to_owned(),
            micros: text("__REALTIME_TIMESTAMP")?.parse().ok()?,
            cursor: text("__CURSOR")?.to_owned(),
            said,
        })
    }

    /// As a line of a log file.
    fn line(&self) -> Vec<u8> {
        let time = Timestamp::from_microsecond(self.micros).unwrap_or_default();
        let time = time.to_zoned(TimeZone::system());
        let mut line = time.strftime("%Y-%m-%d %H:%M:%S.%9f  ").to_string().into_bytes();
        line.extend_from_slice(&self.said);
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_told_is_not_told_again_though_lines_have_one_time() {
        let entry = |micros, cursor: &str| Entry {
            unit: String::new(),
            micros,
            cursor: cursor.to_owned(),
            said: Vec::new(),
        };
        let journal = [(1, "a"), (5, "b"), (5, "c"), (5, "d"), (7, "e"), (6, "f")];
        let told = |mut start: Start| -> String {
            let mut lets = |(micros, cursor): &(i64, &str)| start.lets(&entry(*micros, cursor));
            journal.iter().filter(|one| lets(one)).map(|(_, cursor)| *cursor).collect()
        };
        // A clock that is set back holds up nothing.
        assert_eq!(told(Start::after(&entry(5, "c"))), "def");
        assert_eq!(told(Start::after(&entry(5, "d"))), "ef");
        assert_eq!(told(Start::after(&entry(7, "e"))), "f");
        assert_eq!(told(Start::at(5)), "bcdef");
        // It was told long before that time.
        assert_eq!(told(Start::after(&entry(0, "z"))), "abcdef");
    }

    #[test]
    fn entries_are_read_whatever_their_bytes() {
        let entry = |message: &str| {
            let line = format!(
                r#"{{"__CURSOR":"s=1","__REALTIME_TIMESTAMP":"1795535042123456","_U":"a@x.service","MESSAGE":{message}}}"#
            );
            Entry::read(line.as_bytes(), "_U")
        };
        let said = entry(r#""said  so""#).unwrap();
        assert_eq!((said.unit.as_str(), said.cursor.as_str()), ("a@x.service", "s=1"));
        let line = String::from_utf8(said.line()).unwrap();
        assert!(line.ends_with(":02.123456000  said  so"), "{line}");
        assert_eq!(entry("[255,10,7]").unwrap().said, [255, 10, 7]);
        assert_eq!(entry("null"), None);
        assert_eq!(Entry::read(b"no JSON", "_U"), None);
    }
}
