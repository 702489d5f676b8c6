//! The type that PyYAML's `safe_load` gives an unquoted scalar (its `resolver.py`, YAML 1.1).
//!
//! Only distinguishes strings from other types, which it names for messages. The functions are PyYAML's
//! regular expressions, written out by hand.

/// `None` for a string, else the name of the type.
pub(super) fn not_a_string(plain: &str) -> Option<&'static str> {
    match plain {
        "" | "~" | "null" | "Null" | "NULL" => return Some("nothing"),
        "yes" | "Yes" | "YES" | "no" | "No" | "NO" | "true" | "True" | "TRUE" | "false"
        | "False" | "FALSE" | "on" | "On" | "ON" | "off" | "Off" | "OFF" => {
            return Some("a boolean");
        }
        // Special keys of YAML 1.1; as values `safe_load` fails on both.
        "=" | "<<" => return Some("a special key"),
        _ => {}
    }
    if is_integer(plain) || is_float(plain) {
        Some("a number")
    } else if is_timestamp(plain) {
        Some("a date")
    } else {
        None
    }
}

fn is_integer(plain: &str) -> bool {
    let text = unsigned(plain);
    if let Some(digits) = text.strip_prefix("0b") {
        return all(digits, |c| matches!(c, '0' | '1' | '_'));
    }
    if let Some(digits) = text.strip_prefix("0x") {
        return all(digits, |c| c.is_ascii_hexdigit() || c == '_');
    }
    if let Some(digits) = text.strip_prefix('0') {
        return digits.is_empty() || all(digits, |c| matches!(c, '0'..='7' | '_'));
    }
    let (first, sexagesimal) = text.split_once(':').map_or((text, None), |(a, b)| (a, Some(b)));
    starts_with_digit(first)
        && all(first, digit_or_underscore)
        && sexagesimal.is_none_or(|rest| rest.split(':').all(is_below_60))
}

fn is_float(plain: &str) -> bool {
    if matches!(plain, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    let text = unsigned(plain);
    if matches!(text, ".inf" | ".Inf" | ".INF") {
        return true;
    }
    let Some((whole, fraction)) = text.split_once('.') else { return false };
    if let Some((first, rest)) = whole.split_once(':') {
        return starts_with_digit(first)
            && all(first, digit_or_underscore)
            && rest.split(':').all(is_below_60)
            && fraction.chars().all(digit_or_underscore);
    }
    let (digits, exponent) = match fraction.find(['e', 'E']) {
        Some(at) => (&fraction[..at], Some(&fraction[at + 1..])),
        None => (fraction, None),
    };
    let digits_fit = if whole.is_empty() {
        // Only the form that starts with a digit may have a sign.
        text == plain && starts_with_digit(digits)
    } else {
        starts_with_digit(whole) && all(whole, digit_or_underscore)
    };
    let signed = |exponent: &str| {
        exponent.strip_prefix(['+', '-']).is_some_and(|rest| all(rest, |c| c.is_ascii_digit()))
    };
    digits_fit && digits.chars().all(digit_or_underscore) && exponent.is_none_or(signed)
}

/// A date, or a date with a time after `T` or blanks. The month may be out of range: PyYAML accepts it
/// as a date, and then fails to load the file.
fn is_timestamp(plain: &str) -> bool {
    let mut rest = plain;
    let date = digits(&mut rest, 4, 4)
        .and_then(|_| skip(&mut rest, '-'))
        .and_then(|()| digits(&mut rest, 1, 2))
        .and_then(|month| skip(&mut rest, '-').map(|()| month))
        .and_then(|month| digits(&mut rest, 1, 2).map(|day| (month, day)));
    match date {
        None => false,
        Some((month, day)) if rest.is_empty() => month == 2 && day == 2,
        Some(_) => is_time(rest),
    }
}

fn is_time(text: &str) -> bool {
    let after_blanks = text.trim_start_matches([' ', '\t']);
    let mut rest = match text.strip_prefix(['T', 't']) {
        Some(rest) => rest,
        None if after_blanks.len() < text.len() => after_blanks,
        None => return false,
    };
    let clock = digits(&mut rest, 1, 2)
        .and_then(|_| skip(&mut rest, ':'))
        .and_then(|()| digits(&mut rest, 2, 2))
        .and_then(|_| skip(&mut rest, ':'))
        .and_then(|()| digits(&mut rest, 2, 2));
    if clock.is_none() {
        return false;
    }
    if let Some(fraction) = rest.strip_prefix('.') {
        rest = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
    }
    if rest.is_empty() {
        return true;
    }
    rest = rest.trim_start_matches([' ', '\t']);
    if rest == "Z" {
        return true;
    }
    let Some(mut zone) = rest.strip_prefix(['+', '-']) else { return false };
    let hours = digits(&mut zone, 1, 2);
    let minutes = |mut zone| {
        skip(&mut zone, ':').and_then(|()| digits(&mut zone, 2, 2)).is_some() && zone.is_empty()
    };
    hours.is_some() && (zone.is_empty() || minutes(zone))
}

fn unsigned(text: &str) -> &str {
    text.strip_prefix(['+', '-']).unwrap_or(text)
}

fn all(text: &str, allowed: impl Fn(char) -> bool) -> bool {
    !text.is_empty() && text.chars().all(allowed)
}

fn starts_with_digit(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit())
}

fn digit_or_underscore(c: char) -> bool {
    c.is_ascii_digit() || c == '_'
}

/// `[0-5]?[0-9]`
fn is_below_60(text: &str) -> bool {
    matches!(text.as_bytes(), [b'0'..=b'9'] | [b'0'..=b'5', b'0'..=b'9'])
}

/// Skips at most `max` digits and returns how many; `None` if fewer than `min`.
fn digits(rest: &mut &str, min: usize, max: usize) -> Option<usize> {
    let count = rest.bytes().take(max).take_while(u8::is_ascii_digit).count();
    *rest = &rest[count..];
    (count >= min).then_some(count)
}

fn skip(rest: &mut &str, character: char) -> Option<()> {
    *rest = rest.strip_prefix(character)?;
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checked by hand against PyYAML 6.0.3.
    #[test]
    fn types_are_those_of_pyyaml() {
        let table = [
            ("nothing", " ~ null Null NULL"),
            ("a boolean", "yes Yes NO on Off TRUE false"),
            ("a special key", "= <<"),
            ("a number", "0 8642 +1 -1 8_642 017 0_ 0b1 0x21c2 0x_ 1:30 1:5:59 190:20:30"),
            ("a number", "1. 1.5 -1.5 1_0.5 1.5e+3 .5 .5e-3 1:30.5 .inf -.Inf .nan"),
            ("a date", "2001-12-14 2001-1-2T3:04:05 2001-12-14t21:59:43.10-05:00"),
            ("a date", "2001-12-14T21:59:43Z 2001-12-14T21:59:43+5"),
        ];
        for (kind, words) in table {
            for word in words.split(' ') {
                assert_eq!(not_a_string(word), Some(kind), "{word:?}");
            }
        }
        assert_eq!(not_a_string("2001-12-14 21:59:43 Z"), Some("a date"));

        let strings = "a 127.0.0.1 ::1 y n YeS tRue 08 0o17 1:60 8080:80 0:30 1e3 1.5e3 -.5 +.5 \
            -.nan . - + 0b 0x 1a 1- _1 :30 2001-1-2 2001-12-14T 2001-12-14T1:2:3 2001-12 ._ .e+1 \
            2001-12-14T21:59:43+5:0 2001-12-14T21:59:43z none Infinity";
        for word in strings.split_whitespace() {
            assert_eq!(not_a_string(word), None, "{word:?}");
        }
    }
}
