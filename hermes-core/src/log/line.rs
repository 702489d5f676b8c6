//! A line of a log: the time stamp that it begins with, and the line as JSON.
//!
//! The stamp is s6-log's `T` (`s6-log.html`): the machine's local time and two spaces. Sources that keep
//! the time apart from the text write the same form, so that lines look alike wherever they come from.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use crate::name::ProfileName;

/// The mark at the end of a line that a gateway left without a newline when it ended. Otherwise the first line of its
/// next life would be joined to it.
pub const NO_NEWLINE: &str = " -- no newline at the end";

const FORM: &[u8; 29] = b"0000-00-00 00:00:00.000000000";

/// A time stamp as it is written. Stamps of one zone sort by time, and the default sorts first.
pub(super) type Stamp = [u8; FORM.len()];

/// `text` behind the stamp of `time` in `zone`.
pub fn stamped(time: Timestamp, zone: &TimeZone, text: &[u8]) -> Vec<u8> {
    let time = time.to_zoned(zone.clone());
    let mut line = time.strftime("%Y-%m-%d %H:%M:%S.%9f  ").to_string().into_bytes();
    line.extend_from_slice(text);
    line
}

/// The object that stands for a line in JSON: `profile`, `time` (null without a stamp) and `line`.
/// `zone` is the zone of the stamp.
pub fn to_json(profile: &ProfileName, line: &[u8], zone: &TimeZone) -> Value {
    let (time, text) = parted(line, zone);
    json!({ "profile": profile, "time": time, "line": String::from_utf8_lossy(text) })
}

/// The time of a line, if it has a stamp, and its text. `zone` is the zone of the stamp.
pub(crate) fn parted<'a>(line: &'a [u8], zone: &TimeZone) -> (Option<Timestamp>, &'a [u8]) {
    let parts = split(line).and_then(|(stamp, text)| Some((Some(time(&stamp, zone)?), text)));
    parts.unwrap_or((None, line))
}

/// The stamp of a line, if it has one.
pub(super) fn stamp(line: &[u8]) -> Option<Stamp> {
    split(line).map(|(stamp, _)| stamp)
}

fn split(line: &[u8]) -> Option<(Stamp, &[u8])> {
    let (stamp, rest) = line.split_first_chunk()?;
    let text = rest.strip_prefix(b"  ")?;
    let fits = |(byte, form): (&u8, &u8)| byte == form || (*form == b'0' && byte.is_ascii_digit());
    stamp.iter().zip(FORM).all(fits).then_some((*stamp, text))
}

/// The time that a stamp of the zone means: the first of the two where a clock was set back.
fn time(stamp: &Stamp, zone: &TimeZone) -> Option<Timestamp> {
    let time: DateTime = str::from_utf8(stamp).ok()?.parse().ok()?;
    Some(time.to_zoned(zone.clone()).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: &Stamp = b"2026-01-02 03:04:05.123456789";

    #[test]
    fn only_a_whole_stamp_is_one() {
        let line = b"2026-01-02 03:04:05.123456789  said  so";
        assert_eq!(split(line), Some((*STAMP, b"said  so".as_slice())));
        for line in
            ["", "said", "2026-01-02 03:04:05.123456789 x", "2026-01-02T03:04:05.123456789  x"]
        {
            assert_eq!(stamp(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn a_stamp_is_a_time_of_the_zone() {
        let time = |stamp, zone: &TimeZone| time(stamp, zone).map(|time| time.to_string());
        assert_eq!(time(STAMP, &TimeZone::UTC).unwrap(), "2026-01-02T03:04:05.123456789Z");
        let east = TimeZone::fixed(jiff::tz::offset(2));
        assert_eq!(time(STAMP, &east).unwrap(), "2026-01-02T01:04:05.123456789Z");
        assert_eq!(time(b"2026-13-02 03:04:05.123456789", &TimeZone::UTC), None);
    }

    #[test]
    fn a_stamped_line_reads_back() {
        let (time, zone) = ("2026-01-02T01:04:05.123456Z", TimeZone::fixed(jiff::tz::offset(2)));
        let line = stamped(time.parse().unwrap(), &zone, b"said  so");
        assert_eq!(line, b"2026-01-02 03:04:05.123456000  said  so");
        let expected = json!({ "profile": "coder", "time": time, "line": "said  so" });
        assert_eq!(to_json(&"coder".parse().unwrap(), &line, &zone), expected);
    }
}
