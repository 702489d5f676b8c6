//! Text that can do nothing to a terminal but be read, in the order in which it stands.
//!
//! Shown and not sent: control characters (C0, DEL, C1), whatever turns the direction of what
//! follows, breaks lines in places where none ends, or takes no room; and bytes that are no UTF-8.
//! A backslash stays one, so what was escaped is for people, and not for programs to undo.

use std::fmt::Write;

/// `text` with everything shown that is no plain character, tabs included.
pub(crate) fn escaped(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    push(&mut shown, text, |c| c.is_control() || is_treacherous(c));
    shown
}

/// The same of a line of a log, in which tabs are plain and bytes may be no UTF-8.
pub(crate) fn escaped_line(line: &[u8]) -> String {
    let mut shown = String::with_capacity(line.len());
    for chunk in line.utf8_chunks() {
        push(&mut shown, chunk.valid(), |c| c != '\t' && (c.is_control() || is_treacherous(c)));
        for byte in chunk.invalid() {
            // Writing to a string does not fail.
            let _ = write!(shown, "\\x{byte:02x}");
        }
    }
    shown
}

/// JSON that means the same, all of it as plain characters.
pub(crate) fn escaped_json(json: &str) -> String {
    let mut plain = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_control() || is_treacherous(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(plain, "\\u{unit:04x}");
            }
        } else {
            plain.push(c);
        }
    }
    plain
}

fn push(shown: &mut String, text: &str, is_shown: impl Fn(char) -> bool) {
    for c in text.chars() {
        match c {
            c if !is_shown(c) => shown.push(c),
            '\t' | '\r' | '\n' => shown.extend(c.escape_default()),
            c => shown.extend(c.escape_unicode()),
        }
    }
}

/// Marks and overrides of direction, line and paragraph separators, and what has no width: from the
/// soft hyphen to the tags, all of Unicode's format characters and its invisible fillers.
fn is_treacherous(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff9}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown_and_not_sent() {
        assert_eq!(escaped("a\u{1b}[31mb\nc\t é"), r"a\u{1b}[31mb\nc\t é");
    }

    #[test]
    fn of_a_line_each_class_is_shown_and_tabs_stay() {
        for (line, shown) in [
            ("a\tb é 日本 🦀\\n", "a\tb é 日本 🦀\\n"),
            ("\u{1b}]0;x\u{7}", r"\u{1b}]0;x\u{7}"),
            ("\r\0\u{8}\u{7f}", r"\r\u{0}\u{8}\u{7f}"),
            ("\u{85}\u{9b}31m", r"\u{85}\u{9b}31m"),
            ("\u{202a}\u{202e}\u{2066}\u{2069}", r"\u{202a}\u{202e}\u{2066}\u{2069}"),
            ("\u{200b}\u{200f}\u{feff}\u{ad}", r"\u{200b}\u{200f}\u{feff}\u{ad}"),
            ("\u{2028}\u{2029}\u{61c}", r"\u{2028}\u{2029}\u{61c}"),
            ("\u{e0041}", r"\u{e0041}"),
        ] {
            assert_eq!(escaped_line(line.as_bytes()), shown);
        }
        assert_eq!(escaped_line(b"a\xffb\xe2\x80c\x9b"), r"a\xffb\xe2\x80c\x9b");
    }

    #[test]
    fn json_means_the_same() {
        let text = "a\u{1b}\u{7f}\u{9b}\u{202e}\u{e0041}\"\\é";
        let json = escaped_json(&serde_json::to_string(text).unwrap());
        assert!(json.chars().all(|c| !c.is_control() && !is_treacherous(c)), "{json}");
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
    }
}
