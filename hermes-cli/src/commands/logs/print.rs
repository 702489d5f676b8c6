//! How a line of a log is printed: as it is, escaped, or as an object.

use std::borrow::Cow;

use hermes_core::ProfileName;
use hermes_core::log::Removed;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::merge::Item;
use crate::app::App;
use crate::error::CliError;
use crate::escape::{escaped_json, escaped_line};
use crate::output::{self, Bulk};

/// The length of the stamp that s6-log's `T` puts before a line, and two spaces behind it.
pub(super) const STAMP: usize = "2026-01-02 03:04:05.123456789".len();

/// Prints the lines of some profiles.
pub(super) struct Printer {
    out: Bulk,
    form: Form,
    zone: TimeZone,
    logs: Vec<Log>,
}

/// ProfileLabel lines they are.
struct Log {
    name: ProfileName,
    prefix: String,
}

#[derive(Debug, Clone, Copy)]
enum Form {
    AsItIs,
    Escaped,
    Json,
}

impl Printer {
    /// A printer of the lines of `names`, told apart by a prefix if `apart`.
    pub(super) fn new(app: &App, names: Vec<ProfileName>, apart: bool, raw: bool) -> Self {
        let form = match app.json {
            true => Form::Json,
            false if raw || !output::is_on_terminal() => Form::AsItIs,
            false => Form::Escaped,
        };
        let width = names.iter().map(|name| name.as_str().len()).max().unwrap_or_default();
        let log = |(index, name): (usize, ProfileName)| {
            let prefix = apart.then(|| output::prefix(name.as_str(), width, index));
            Log { prefix: prefix.unwrap_or_default(), name }
        };
        let logs = names.into_iter().enumerate().map(log).collect();
        // s6-log stamps with the time of its zone, which is the machine's.
        Self { out: Bulk::new(), form, zone: TimeZone::system(), logs }
    }

    /// Prints what the log of this index tells; `false` if nobody reads it any more.
    pub(super) fn item(&mut self, log: usize, item: &Item) -> Result<bool, CliError> {
        let Log { name, prefix } = &self.logs[log];
        match item {
            Item::Line(line) => {
                let (prefix, line) = match self.form {
                    Form::AsItIs => (prefix.as_bytes(), Cow::Borrowed(line.as_slice())),
                    Form::Escaped => (prefix.as_bytes(), escaped_line(line).into_bytes().into()),
                    Form::Json => {
                        (b"".as_slice(), object(name, line, &self.zone).into_bytes().into())
                    }
                };
                self.out.line(&[prefix, &line])
            }
            Item::Removed(removed) => {
                // Where it is missing, as far as both go to the same place.
                let read = self.out.flush()?;
                output::warning(missing(name, *removed));
                Ok(read)
            }
        }
    }

    /// Lets go of what was held back; `false` if nobody reads it any more.
    pub(super) fn flush(&mut self) -> Result<bool, CliError> {
        self.out.flush()
    }
}

/// The stamp of a line and what was said; `None` if there is no stamp.
pub(super) fn stamped(line: &[u8]) -> Option<(&str, &[u8])> {
    let (stamp, said) = line.split_at_checked(STAMP)?;
    let said = said.strip_prefix(b"  ")?;
    let form = b"0000-00-00 00:00:00.000000000";
    let fits = |(byte, form): (&u8, &u8)| byte == form || (*form == b'0' && byte.is_ascii_digit());
    let stamp = stamp.iter().zip(form).all(fits).then(|| str::from_utf8(stamp).ok())??;
    Some((stamp, said))
}

/// A line as an object: profile, time, line.
pub(crate) fn object(name: &ProfileName, line: &[u8], zone: &TimeZone) -> String {
    let (time, said) = match stamped(line) {
        Some((stamp, said)) => match time(stamp, zone) {
            Some(time) => (Some(time), said),
            None => (None, line),
        },
        None => (None, line),
    };
    let said = String::from_utf8_lossy(said);
    let object = serde_json::json!({ "profile": name, "time": time, "line": said });
    escaped_json(&object.to_string())
}

/// What a stamp of the zone means. Of an hour that a clock went through twice it is the first.
fn time(stamp: &str, zone: &TimeZone) -> Option<Timestamp> {
    let time: DateTime = stamp.parse().ok()?;
    Some(time.to_zoned(zone.clone()).ok()?.timestamp())
}

/// What is told where lines are missing.
pub(crate) fn missing(name: &ProfileName, Removed { archives, exact }: Removed) -> String {
    let at_least = if exact { "" } else { "at least " };
    match archives {
        0 => format!(
            "lines of `{name}` may be missing here: archived files may have been removed before they \
             could be read, and nothing tells how many"
        ),
        1 => format!(
            "lines of `{name}` are missing here: {at_least}1 archived file was removed before it \
             could be read"
        ),
        _ => format!(
            "lines of `{name}` are missing here: {at_least}{archives} archived files were removed \
             before they could be read"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_stamp_is_one() {
        let line = b"2026-01-02 03:04:05.123456789  said  so";
        assert_eq!(stamped(line), Some(("2026-01-02 03:04:05.123456789", b"said  so".as_slice())));
        for line in
            ["", "said", "2026-01-02 03:04:05.123456789 x", "2026-01-02T03:04:05.123456789  x"]
        {
            assert_eq!(stamped(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn a_stamp_is_a_time_of_the_zone() {
        let time = |stamp, zone: &TimeZone| time(stamp, zone).map(|time| time.to_string());
        let stamp = "2026-01-02 03:04:05.123456789";
        assert_eq!(time(stamp, &TimeZone::UTC).unwrap(), "2026-01-02T03:04:05.123456789Z");
        let east = TimeZone::fixed(jiff::tz::offset(2));
        assert_eq!(time(stamp, &east).unwrap(), "2026-01-02T01:04:05.123456789Z");
        assert_eq!(time("2026-13-02 03:04:05.123456789", &TimeZone::UTC), None);
    }

    #[test]
    fn what_is_missing_is_told_as_far_as_it_is_known() {
        let coder = "coder".parse().unwrap();
        let told = |archives, exact| missing(&coder, Removed { archives, exact });
        let told = [told(1, true), told(2, false), told(0, false)];
        assert_eq!(
            told.map(|told| told.replace("before they could be read", "unread")),
            [
                "lines of `coder` are missing here: 1 archived file was removed before it could be read",
                "lines of `coder` are missing here: at least 2 archived files were removed unread",
                "lines of `coder` may be missing here: archived files may have been removed unread, \
                 and nothing tells how many",
            ]
        );
    }
}
