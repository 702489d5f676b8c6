//! Reads the YAML that most configurations consist of: block mappings of one-line scalars, and lists of them. The library
//! takes ten times as long, and a command may read thousands of files.
//!
//! Whatever is not surely read alike by the library is left to it: [`read`] then returns `None`. So every line is checked,
//! also those outside of the [`Scope`](super::Scope), and no error is reported here.

use super::{Classify, Kind, MAX_OPEN, Node, Scalar};

/// The greatest depth of mappings and lists in each other.
const MAX_DEPTH: usize = 16;
/// The longest key; the library allows 1,024 characters.
const MAX_KEY: usize = 200;

/// Reads one document that is not empty; `None` if it may have anything but the forms that are known here.
pub(super) fn read(text: &str, root: Classify<'_>) -> Option<Node> {
    let is_plain = |byte: u8| byte == b'\n' || (b' '..=b'~').contains(&byte);
    if !text.bytes().all(is_plain) {
        return None;
    }
    if text.bytes().filter(|byte| matches!(byte, b'[' | b'{')).count() > MAX_OPEN {
        return None;
    }
    let mut lines = Lines { text, at: 0, next: None };
    lines.advance();
    lines.next.filter(|line| line.indent == 0)?;
    let node = mapping(&mut lines, 0, Some(root), 0)?;
    lines.next.is_none().then_some(node)
}

/// A line that is neither blank nor a comment.
#[derive(Debug, Clone, Copy)]
struct Line<'t> {
    indent: usize,
    /// Where the text after the indentation starts.
    start: usize,
    text: &'t str,
}

impl Line<'_> {
    fn is_item(&self) -> bool {
        self.text.starts_with("- ")
    }
}

struct Lines<'t> {
    text: &'t str,
    at: usize,
    next: Option<Line<'t>>,
}

impl<'t> Lines<'t> {
    /// Goes to the next line.
    fn advance(&mut self) {
        self.next = None;
        while self.next.is_none() && self.at < self.text.len() {
            let rest = &self.text[self.at..];
            let line = rest.split('\n').next().unwrap_or_default();
            let text = line.trim_start_matches(' ');
            let indent = line.len() - text.len();
            if !text.is_empty() && !text.starts_with('#') {
                self.next = Some(Line { indent, start: self.at + indent, text });
            }
            self.at += line.len() + 1;
        }
    }

    /// The line, if it is one of a block with this indentation; the outer `None` if it has no place in any.
    fn in_block(&self, indent: usize) -> Option<Option<Line<'t>>> {
        match self.next {
            Some(line) if line.indent > indent => None,
            line => Some(line.filter(|line| line.indent == indent)),
        }
    }
}

/// The mapping whose keys have this indentation. Without a scope, the node is not the one that the library returns.
fn mapping(
    lines: &mut Lines<'_>,
    indent: usize,
    scope: Option<Classify<'_>>,
    depth: usize,
) -> Option<Node> {
    if depth > MAX_DEPTH {
        return None;
    }
    let mut entries = Vec::new();
    while let Some(line) = lines.in_block(indent)? {
        let name = key(line.text)?;
        let rest = &line.text[name.len() + 1..];
        let key = scope.map(|_| scalar(Kind::String, name, line.start, true));
        let below = key.as_ref().and_then(|key| scope?.below(key));
        let value = rest.trim_start_matches(' ');
        let start = line.start + line.text.len() - value.len();
        lines.advance();
        let value = match value.is_empty() || value.starts_with('#') {
            false => one_line(value, start)?,
            true => match lines.next {
                Some(next) if next.is_item() && next.indent >= indent => {
                    list(lines, next.indent, depth + 1)?
                }
                Some(next) if next.indent > indent => {
                    mapping(lines, next.indent, below, depth + 1)?
                }
                // Where the library sees the missing value depends on what follows.
                _ if below.is_some() => return None,
                _ => Node::Skipped,
            },
        };
        if let Some(key) = key {
            entries.push((key, if below.is_some() { value } else { Node::Skipped }));
        }
    }
    Some(Node::Map(entries))
}

/// The list whose items have this indentation.
fn list(lines: &mut Lines<'_>, indent: usize, depth: usize) -> Option<Node> {
    if depth > MAX_DEPTH {
        return None;
    }
    let mut items = Vec::new();
    while let Some(line) = lines.in_block(indent)?.filter(Line::is_item) {
        let item = line.text[1..].trim_start_matches(' ');
        let start = line.start + line.text.len() - item.len();
        lines.advance();
        items.push(one_line(item, start)?);
    }
    Some(Node::List(items))
}

/// The key at the beginning of a line, which a colon and a blank or the end of the line follow.
fn key(line: &str) -> Option<&str> {
    let (name, rest) = line.split_once(':')?;
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./".contains(&byte);
    let is_known = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(is_word)
        && name.len() <= MAX_KEY
        && kind(name) == Some(Kind::String);
    (is_known && (rest.is_empty() || rest.starts_with(' '))).then_some(name)
}

/// A value on one line, with a comment or not: a scalar, or a list in brackets.
fn one_line(text: &str, start: usize) -> Option<Node> {
    match text.as_bytes().first()? {
        b'[' => {
            let (items, rest) = text[1..].split_once(']')?;
            is_end(rest).then_some(())?;
            let mut at = start + 1;
            let item = |item: &str| {
                let start = at + item.len() - item.trim_start_matches(' ').len();
                at += item.len() + 1;
                let item = item.trim_matches(' ');
                let is_alone = !item.contains(['[', '{', '}', ':', '#']);
                one_word_or_more(item, start).filter(|_| is_alone)
            };
            items.split(',').map(item).collect::<Option<_>>().map(Node::List)
        }
        b'"' | b'\'' => one_word_or_more(text, start),
        _ => {
            let end = text.find(" #").unwrap_or(text.len());
            one_word_or_more(text[..end].trim_end_matches(' '), start)
        }
    }
}

/// A scalar, quoted or not.
fn one_word_or_more(text: &str, start: usize) -> Option<Node> {
    let first = *text.as_bytes().first()?;
    if matches!(first, b'"' | b'\'') {
        let (inner, rest) = text[1..].split_once(char::from(first))?;
        // Two single quotes are one within the text.
        let is_whole = is_end(rest) && !(first == b'"' && inner.contains('\\'));
        return is_whole.then(|| scalar(Kind::String, inner, start + 1, false));
    }
    let starts_scalar = first.is_ascii_alphanumeric()
        || matches!(first, b'_' | b'/' | b'.')
        || first == b'-' && text[1..].starts_with(|c: char| c.is_ascii_alphabetic() || c == '-');
    if !starts_scalar || text.contains(": ") || text.ends_with(':') || text.contains(" #") {
        return None;
    }
    // It would end the document.
    if text.starts_with("...") || text.starts_with("---") {
        return None;
    }
    kind(text).map(|kind| scalar(kind, text, start, true))
}

/// The library's type of an unquoted scalar, where it is plain to see.
fn kind(text: &str) -> Option<Kind> {
    match text {
        "null" | "Null" | "NULL" => return Some(Kind::Null),
        "true" | "True" | "TRUE" | "false" | "False" | "FALSE" => return Some(Kind::Boolean),
        "0" => return Some(Kind::Integer),
        _ => {}
    }
    let first = *text.as_bytes().first()?;
    match first {
        b'0'..=b'9' => kind_of_number(text),
        // `.5`, `.inf`, `.nan`
        b'.' => text.starts_with("./").then_some(Kind::String),
        _ => Some(Kind::String),
    }
}

/// The same, of one that starts with a digit.
fn kind_of_number(text: &str) -> Option<Kind> {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let dots = text.bytes().filter(|byte| *byte == b'.').count();
    let is_numeric = digits + dots == text.len() && text.len() < 19;
    match (is_numeric, dots) {
        (true, 0) => (!text.starts_with('0')).then_some(Kind::Integer),
        (true, 1) => (!text.ends_with('.')).then_some(Kind::Float),
        // An address, or what no number has.
        (true, _) => Some(Kind::String),
        (false, _) => {
            let is_of_numbers = |byte: u8| byte.is_ascii_digit() || b".eE+-_".contains(&byte);
            let is_text = !text.starts_with('0') && !text.bytes().all(is_of_numbers);
            is_text.then_some(Kind::String)
        }
    }
}

fn scalar(kind: Kind, text: &str, start: usize, plain: bool) -> Node {
    let span = Some(start..start + text.len());
    Node::Scalar(Scalar { kind, text: text.to_owned(), span, plain })
}

/// Whether nothing follows on the line but a comment.
fn is_end(rest: &str) -> bool {
    let after = rest.trim_start_matches(' ');
    after.is_empty() || after.starts_with('#') && after.len() < rest.len()
}

#[cfg(test)]
mod tests;
