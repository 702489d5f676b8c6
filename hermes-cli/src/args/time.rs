//! The parser of times: absolute ones in this machine's zone, and ones before now.

use jiff::civil::{DateTime, Time};
use jiff::{Span, Timestamp, ToSpan, Zoned};

/// Parses a time, as `logs --since` takes it.
pub(super) fn time(text: &str) -> Result<Timestamp, String> {
    parse(text, &Timestamp::now().to_zoned(hermes::local_zone())).ok_or_else(|| {
        "not a time like `2026-11-29 14:00`, `14:00`, `10m`, `2h ago`, `today` or `yesterday`"
            .to_owned()
    })
}

fn parse(text: &str, now: &Zoned) -> Option<Timestamp> {
    let text = text.trim();
    let local = match text {
        "now" => Some(now.clone()),
        "today" => now.start_of_day().ok(),
        "yesterday" => now.checked_sub(1.day()).ok()?.start_of_day().ok(),
        _ => None,
    };
    let local = local.or_else(|| clock(text, now)).or_else(|| ago(text, now));
    local.map(|time| time.timestamp()).or_else(|| absolute(text, now))
}

/// `14:00`, `14:00:05`: of today.
fn clock(text: &str, now: &Zoned) -> Option<Zoned> {
    let time: Time = text.parse().ok().filter(|_| text.contains(':') && is_of(text, ":."))?;
    now.date().to_datetime(time).to_zoned(now.time_zone().clone()).ok()
}

/// `10m`, `2h 30m`, `3d ago`.
fn ago(text: &str, now: &Zoned) -> Option<Zoned> {
    // Without a unit it could be anything.
    let span: Span =
        text.parse().ok().filter(|_| text.starts_with(|c: char| c.is_ascii_digit()))?;
    now.checked_sub(span.abs()).ok()
}

/// `2026-11-29`, `2026-11-29 14:00`, and both with the zone's offset, as Hermes prints it and as RFC 3339 has it.
fn absolute(text: &str, now: &Zoned) -> Option<Timestamp> {
    let offset = text.rsplit_once(' ').filter(|(_, offset)| offset.starts_with(['+', '-']));
    let text = offset.map_or_else(|| text.to_owned(), |(time, offset)| format!("{time}{offset}"));
    if let Ok(time) = text.parse() {
        return Some(time);
    }
    // A date with an offset and without a time would be parsed, too, and its offset ignored.
    let time: DateTime = text.parse().ok().filter(|_| is_of(&text, "-:.T "))?;
    Some(time.to_zoned(now.time_zone().clone()).ok()?.timestamp())
}

/// Whether `text` has digits and these characters alone.
fn is_of(text: &str, others: &str) -> bool {
    text.chars().all(|c| c.is_ascii_digit() || others.contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Option<String> {
        let now: Zoned = "2026-11-29T15:30:10.5+01:00[Europe/Berlin]".parse().unwrap();
        parse(text, &now).map(|time| time.to_string())
    }

    #[test]
    fn times_are_of_the_zone_and_before_now() {
        for (text, expected) in [
            ("2026-11-29", "2026-11-28T23:00:00Z"),
            ("2026-11-29 14:00", "2026-11-29T13:00:00Z"),
            ("2026-11-29 14:00:05", "2026-11-29T13:00:05Z"),
            ("2026-11-29T14:00:05.25", "2026-11-29T13:00:05.25Z"),
            // In summer.
            ("2026-07-01 14:00", "2026-07-01T12:00:00Z"),
            ("2026-11-29T14:00:05Z", "2026-11-29T14:00:05Z"),
            ("2026-11-29T14:00:05-08:00", "2026-11-29T22:00:05Z"),
            ("2026-11-29 14:00:05.123 +01:00", "2026-11-29T13:00:05.123Z"),
            ("14:00", "2026-11-29T13:00:00Z"),
            ("14:00:05", "2026-11-29T13:00:05Z"),
            ("10m", "2026-11-29T14:20:10.5Z"),
            ("10m ago", "2026-11-29T14:20:10.5Z"),
            ("2h", "2026-11-29T12:30:10.5Z"),
            ("1h 30m", "2026-11-29T13:00:10.5Z"),
            ("90s", "2026-11-29T14:28:40.5Z"),
            ("3d", "2026-11-26T14:30:10.5Z"),
            ("3 days ago", "2026-11-26T14:30:10.5Z"),
            ("1w", "2026-11-22T14:30:10.5Z"),
            ("now", "2026-11-29T14:30:10.5Z"),
            ("today", "2026-11-28T23:00:00Z"),
            (" yesterday ", "2026-11-27T23:00:00Z"),
        ] {
            assert_eq!(parsed(text).as_deref(), Some(expected), "{text}");
        }
        let tomorrow = "2026-03-30T15:30+02:00[Europe/Berlin]".parse().unwrap();
        // The day before, the clock was set forward.
        assert_eq!(parse("1d", &tomorrow).unwrap().to_string(), "2026-03-29T13:30:00Z");
    }

    #[test]
    fn anything_else_is_no_time() {
        for text in [
            "",
            "x",
            "10",
            "1400",
            "25:00",
            "14:00 ago",
            "2026-13-01",
            "2026-11-29 25:00",
            "10 x",
            "ago",
            "tomorrow",
            "-",
            "+01:00",
            "2026-11",
            "2026-11-29 +01:00",
            "99999999999d",
        ] {
            assert_eq!(parsed(text), None, "{text}");
        }
    }
}
