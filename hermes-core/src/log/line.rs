//! A line of a log: when it was written, its text, and whether it was cut.
//!
//! s6-log stamps lines (`s6-log.html`): `t` is `@`, a TAI64N label and a space, `T` the logger's local time and two
//! spaces. Hermes's own loggers write `t`, which means the same in every time zone; the Python agent's write `T`.
//! launchd writes no stamps.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use crate::name::ProfileName;
use crate::tai64n;

/// The mark at the end of a line that a gateway left without a newline when it ended. Otherwise the first line of its
/// next life would be joined to it.
pub const NO_NEWLINE: &str = " -- no newline at the end";

/// The bytes after which s6-log cuts a line (its option `-l`, by default). The rest is the next line, with a stamp of
/// its own. A text of this length was always cut: the newline no longer fit.
const LIMIT: usize = 8192;

const FORM: &[u8; 29] = b"0000-00-00 00:00:00.000000000";

/// A line of a gateway's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// When it was written; `None` if the source does not know.
    pub time: Option<Timestamp>,
    /// What the gateway wrote, without the newline.
    pub text: Vec<u8>,
    /// Whether the gateway's line goes on after this one, or ended without a newline.
    pub cut: bool,
}

impl Line {
    /// The line that a file has as `bytes`, with its newline if it has one. `zone` is the zone of local stamps.
    pub(super) fn parse(mut bytes: Vec<u8>, zone: &TimeZone) -> Self {
        let mut cut = bytes.pop_if(|last| *last == b'\n').is_none();
        let stamp = stamp(&bytes, zone);
        let time = stamp.map(|(time, len)| {
            bytes.drain(..len);
            time
        });
        cut |= bytes.ends_with(NO_NEWLINE.as_bytes()) || time.is_some() && bytes.len() == LIMIT;
        Self { time, text: bytes, cut }
    }

    /// The object that stands for a line in JSON: `profile`, `time` in UTC (null if it is unknown), `line`, and `cut`
    /// if the line was cut.
    pub fn to_json(&self, profile: &ProfileName) -> Value {
        let text = String::from_utf8_lossy(&self.text);
        let mut object = json!({ "profile": profile, "time": self.time, "line": text });
        if self.cut {
            object["cut"] = true.into();
        }
        object
    }
}

/// The time of the stamp that `line` begins with, and the length of the stamp with the spaces after it.
fn stamp(line: &[u8], zone: &TimeZone) -> Option<(Timestamp, usize)> {
    if let Some(label) = line.strip_prefix(b"@") {
        let (label, rest) = label.split_first_chunk()?;
        let time = tai64n::from_hex(label).filter(|_| rest.first() == Some(&b' '))?;
        return Some((time, 1 + label.len() + 1));
    }
    let (stamp, rest) = line.split_first_chunk::<{ FORM.len() }>()?;
    let fits = |(byte, form): (&u8, &u8)| byte == form || (*form == b'0' && byte.is_ascii_digit());
    if !rest.starts_with(b"  ") || !stamp.iter().zip(FORM).all(fits) {
        return None;
    }
    // The first of the two times that it means where a clock was set back.
    let time: DateTime = str::from_utf8(stamp).ok()?.parse().ok()?;
    Some((time.to_zoned(zone.clone()).ok()?.timestamp(), stamp.len() + 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &[u8]) -> Line {
        Line::parse(line.to_vec(), &TimeZone::fixed(jiff::tz::offset(2)))
    }

    #[test]
    fn only_a_whole_stamp_is_one() {
        for (line, time) in [
            ("2026-01-02 03:04:05.123456789  said  so\n", "2026-01-02T01:04:05.123456789Z"),
            ("@400000006b0bd69a144f75e5 said  so\n", "2026-11-29T07:38:29.340751845Z"),
        ] {
            let expected = Line { time: time.parse().ok(), text: b"said  so".to_vec(), cut: false };
            assert_eq!(parse(line.as_bytes()), expected);
        }
        for line in [
            "",
            "said",
            "2026-01-02 03:04:05.123456789 x",
            "2026-01-02T03:04:05.123456789  x",
            "2026-13-02 03:04:05.123456789  x",
            "@400000006b0bd69a144f75e5",
            "@400000006b0bd69a144f75e x",
            "@400000006b0bd69a144f75e5x",
        ] {
            let expected = Line { time: None, text: line.into(), cut: false };
            assert_eq!(parse(format!("{line}\n").as_bytes()), expected);
        }
    }

    #[test]
    fn a_line_is_cut_where_the_logger_or_the_file_ends_it() {
        let cut = |stamp: &str, text: &str| parse(format!("{stamp}{text}").as_bytes()).cut;
        let stamp = "@400000006b0bd69a144f75e5 ";
        for (len, expected) in [(8191, false), (8192, true), (8193, false)] {
            assert_eq!(cut(stamp, &format!("{}\n", "x".repeat(len))), expected, "{len}");
        }
        // Without a stamp it is no line of s6-log's.
        assert!(!cut("", &format!("{}\n", "x".repeat(8192))));
        assert!(cut(stamp, "half") && cut("", "half"));
        assert!(cut(stamp, &format!("half{NO_NEWLINE}\n")));
    }

    #[test]
    fn only_a_cut_line_is_cut_in_json() {
        let coder = "coder".parse().unwrap();
        let expected = json!({ "profile": "coder", "time": null, "line": "half", "cut": true });
        assert_eq!(parse(b"half").to_json(&coder), expected);
        let expected = json!({ "profile": "coder", "time": null, "line": "whole" });
        assert_eq!(parse(b"whole\n").to_json(&coder), expected);
    }
}
