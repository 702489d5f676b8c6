//! [`Quote`]: the line of a file that a [`ConfigError`] is about. Values that may be secrets are left out of it.

use std::ops::Range;
use std::path::PathBuf;

use super::secrets::{has_password, is_secret, looks_like_secret};
use super::{ConfigError, MAX_SIZE, Place};
use crate::fsutil;

/// In the place of a value that may be a secret.
const LEFT_OUT: &str = "…";

/// A line of a file, and the part of it that an error is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quote {
    /// The file.
    pub path: PathBuf,
    /// The number of the line, from 1.
    pub line: usize,
    /// The line without its end. A value that may be a secret is replaced by `…`.
    pub text: String,
    /// The bytes of `text` that the error is about.
    pub span: Range<usize>,
}

impl ConfigError {
    /// The lines that the error is about, as their files have them now; none for an error of a whole file.
    pub fn quotes(&self) -> Vec<Quote> {
        let quote = |place: &Place| quote_in(place, &read(place)?);
        self.places().into_iter().filter_map(quote).collect()
    }

    /// The same, if `text` were the content of the files.
    pub fn quotes_in(&self, text: &str) -> Vec<Quote> {
        self.places().into_iter().filter_map(|place| quote_in(place, text)).collect()
    }

    fn places(&self) -> Vec<&Place> {
        match self {
            Self::Yaml { place, .. } | Self::Invalid { place, .. } => vec![place],
            Self::Uneditable { place, .. } => vec![place],
            Self::Ports { places, .. } => places.iter().map(|named| &named.place).collect(),
            Self::Read { .. } | Self::TooLarge { .. } | Self::NotUtf8 { .. } => Vec::new(),
        }
    }
}

fn read(place: &Place) -> Option<String> {
    String::from_utf8(fsutil::read_up_to(&place.path, MAX_SIZE as u64).ok()?).ok()
}

fn quote_in(place: &Place, text: &str) -> Option<Quote> {
    let (line, column) = place.at?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    // As places are counted.
    let lines: Vec<_> = text.split('\n').map(|line| line.trim_end_matches('\r')).collect();
    let index = line.checked_sub(1)?;
    // An error at the end of the text is in no line of it.
    let text = shown(&lines, index).filter(|text| !text.trim().is_empty())?;
    let last = text.find(LEFT_OUT).unwrap_or(text.trim_end().len());
    let start = text.char_indices().nth(column.saturating_sub(1)).map_or(last, |(at, _)| at);
    let start = start.min(last);
    Some(Quote { path: place.path.clone(), line, span: start..start + word(&text[start..]), text })
}

/// The length of the value or key that `text` begins with.
fn word(text: &str) -> usize {
    let Some(first) = text.chars().next() else { return 0 };
    let quoted = |quote| text[1..].find(quote).map(|end| end + 2);
    let plain = || text.find(|c: char| c.is_whitespace() || matches!(c, ',' | ']' | '}' | ':'));
    let len = if matches!(first, '"' | '\'') { quoted(first) } else { plain() };
    len.unwrap_or(text.trim_end().len()).max(first.len_utf8())
}

/// The line without what may be a secret; `None` if nothing of it may be shown.
fn shown(lines: &[&str], index: usize) -> Option<String> {
    let line = *lines.get(index)?;
    if !may_be_secret(line) && !above(lines, index).any(hides_what_is_below) {
        return Some(line.to_owned());
    }
    let (key, _) = line.split_once(':')?;
    is_one_key(key).then(|| format!("{key}: {LEFT_OUT}"))
}

/// Whether a line may have a secret in it: it names one, or has variables, arguments or a password in it.
fn may_be_secret(line: &str) -> bool {
    let mut words = line.split(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | '-' | '.'));
    let has_values = |key: &str| {
        let value = line.split_once(key).map(|(_, value)| value.trim());
        value.is_some_and(|value| !value.is_empty() && !value.starts_with('#'))
    };
    words.any(is_secret)
        || looks_like_secret(line)
        || has_password(line)
        || has_values("env:")
        || has_values("command:")
}

/// Whether the lines below a line, further to the right, may have secrets in them.
fn hides_what_is_below(line: &str) -> bool {
    let key = line.split_once(':').map_or(line, |(key, _)| key);
    let key = key.trim_matches(|c: char| c.is_whitespace() || matches!(c, '-' | '"' | '\''));
    matches!(key, "env" | "command") || is_secret(key)
}

/// The lines that the one at `index` is below, the nearest first: each is further to the left than the one before. A list
/// may start at the column of its key.
fn above<'a>(lines: &'a [&'a str], index: usize) -> impl Iterator<Item = &'a str> {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let is_item = |line: &str| line.trim_start().starts_with('-');
    let mut last = lines[index];
    lines[..index].iter().rev().copied().filter(move |line| {
        let content = line.trim_start();
        let is_above = indent(line) < indent(last)
            || indent(line) == indent(last) && is_item(last) && !is_item(line);
        let counts = !content.is_empty() && !content.starts_with('#') && is_above;
        if counts {
            last = line;
        }
        counts
    })
}

fn is_one_key(text: &str) -> bool {
    let key = text.trim_start_matches(|c: char| c.is_whitespace() || c == '-');
    !key.is_empty()
        && !looks_like_secret(key)
        && key.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::parse;

    /// The quoted line, with the part that the error is about in brackets.
    fn quoted(text: &str) -> Option<String> {
        let error = parse(text, Path::new("config.yaml")).unwrap_err();
        let quotes = error.quotes_in(text);
        let Quote { line, text, span, .. } = quotes.first()?;
        let (start, end) = (span.start, span.end);
        Some(format!("{line}: {}[{}]{}", &text[..start], &text[start..end], &text[end..]))
    }

    #[test]
    fn the_line_and_the_part_are_quoted() {
        for (text, expected) in [
            ("gateway:\n  port: \"17\"  \n", "2:   port: [\"17\"]  "),
            ("gateway:\r\n  pört: 1\r\n  port: x\r\n", "3:   port: [x]"),
            ("\u{feff}gateway: {port: 0}", "1: gateway: {port: [0]}"),
            ("model:\n  token: abc\ngateway: 5\n", "3: gateway: [5]"),
            ("gateway:\n  env:\n    A: b\n  port: x\n", "4:   port: [x]"),
            ("gateway:\n  env:  # none\n  port: x\n", "3:   port: [x]"),
        ] {
            assert_eq!(quoted(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_may_be_a_secret_is_left_out() {
        for (text, expected) in [
            ("gateway:\n  env:\n    BOT: 5\n", Some("3:     BOT: […]")),
            ("gateway:\n  env: {BOT: 5}\n", Some("2:   env: […]")),
            ("gateway: {port: x, env: {BOT: a}}\n", Some("1: gateway: […]")),
            ("gateway:\n  command:\n  - curl\n  - 5\n", None),
            ("gateway:\n  command: [curl, 5]\n", Some("2:   command: […]")),
            ("gateway: {port: x, ready_url: 'http://u:w@h'}\n", Some("1: gateway: […]")),
            ("model:\n  api_key: \"a\n  b: c\ngateway: [", None),
            ("token:\n  - a: [sk\ngateway: 1\n", None),
            ("gateway:\n  port: sk-1234567890abcdef\n", Some("2:   port: […]")),
            ("- sk-1234567890abcdef\n", None),
            ("telegram: 12345678:sk1234567890abcdef: 3\n", None),
            ("gateway:\n\tport: sk-1234567890abcdef\n", None),
        ] {
            let quoted = quoted(text);
            if expected.is_some() {
                assert_eq!(quoted.as_deref(), expected, "{text}");
            }
            let shown = quoted.unwrap_or_default();
            assert!(!shown.contains("sk") && !shown.contains("b: c"), "{shown}");
        }
    }
}
