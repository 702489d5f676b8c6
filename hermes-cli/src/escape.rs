//! Escapes text for a terminal, so that it can neither control the terminal nor hide or reorder text.
//!
//! Escaped are control characters (C0, DEL, C1), characters that change the text direction, separate lines or
//! have no width, and bytes that are not valid UTF-8. Backslashes are not escaped, so the result is for
//! people: programs can't undo it.

use std::fmt::Write;

/// Escapes all unsafe characters of `text`, including tabs and line breaks.
pub(crate) fn escaped(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    push(&mut shown, text, |c| c.is_control() || is_treacherous(c));
    shown
}

/// The same for a line of a log: tabs stay, and invalid UTF-8 is escaped byte by byte.
pub(crate) fn escaped_line(line: &[u8]) -> String {
    let mut shown = String::with_capacity(line.len());
    for chunk in line.utf8_chunks() {
        push(&mut shown, chunk.valid(), |c| c != '\t' && (c.is_control() || is_treacherous(c)));
        for byte in chunk.invalid() {
            // Writing to a String can't fail.
            let _ = write!(shown, "\\x{byte:02x}");
        }
    }
    shown
}

/// Equivalent JSON without unsafe characters.
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

fn push(shown: &mut String, text: &str, is_unsafe: impl Fn(char) -> bool) {
    for c in text.chars() {
        match c {
            c if !is_unsafe(c) => shown.push(c),
            '\t' | '\r' | '\n' => shown.extend(c.escape_default()),
            c => shown.extend(c.escape_unicode()),
        }
    }
}

/// Whether `c` changes the text direction, separates lines or paragraphs, or has no width: all of Unicode's
/// format characters and invisible fillers.
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
