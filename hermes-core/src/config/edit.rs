//! Writes the port into a text and keeps every other byte: `gateway.port`, and each key of the agent's that names one.
//!
//! This does not handle every spelling of YAML. The places in the tree give a few candidates, each
//! one insertion or replacement, the most readable first. The first candidate is used whose text, read
//! again, differs from the old one in the port alone; if there is none, the user has to edit the file.

use std::ops::Range;
use std::path::Path;

use super::defaults::Defaults;
use super::draft::Draft;
use super::error::{ConfigError, Place};
use super::keys::{GATEWAY, agent};
use super::yaml::{self, Node, Scalar, Scope};

/// `text` with `gateway.port` set to `port`; `path` is only used in messages. The text of a missing
/// file is empty. Our other keys must be valid; the old port may be invalid.
pub fn with_port(text: &str, port: u16, path: &Path) -> Result<String, ConfigError> {
    yaml::read(text, Scope::Ours, path)?;
    let by_hand = || uneditable("gateway.port", text, port, path);
    // A part that only the agent reads may be invalid for our library.
    let root = yaml::read(text, Scope::Whole, path).map_err(|_| by_hand())?;
    let mut rest = root.clone();
    remove_port(&mut rest);
    Draft::new(&rest, text, path, &Defaults::default())?.finish()?;
    forget_places(&mut rest);
    let is_right = |new: &str| {
        let set = super::parse(new, path).is_ok_and(|new| new.gateway.port == Some(port));
        set && yaml::read(new, Scope::Whole, path).is_ok_and(|mut new| {
            remove_port(&mut new);
            forget_places(&mut new);
            new == rest
        })
    };
    let candidates = candidates(text, &root, port);
    let mut texts = candidates.iter().map(|edit| edit.apply(text));
    texts.find(|new| is_right(new)).ok_or_else(by_hand)
}

/// The keys of the agent's that may name its port.
const AGENTS: [&[&str]; 4] = [
    &[agent::PORT],
    &[agent::PLATFORMS, agent::API_SERVER, "extra", "port"],
    &[GATEWAY, agent::PLATFORMS, agent::API_SERVER, "extra", "port"],
    &[GATEWAY, "env", agent::PORT],
];

/// `text` with `port` in the place of every other port that a key of the agent's names. Adds no key.
pub(crate) fn with_agents_port(text: &str, port: u16, path: &Path) -> Result<String, ConfigError> {
    AGENTS.iter().try_fold(text.to_owned(), |text, keys| with_value(text, keys, port, path))
}

fn with_value(text: String, keys: &[&str], port: u16, path: &Path) -> Result<String, ConfigError> {
    let number = port.to_string();
    let whole = |text: &str| yaml::read(text, Scope::Whole, path).ok();
    // A text that our library can't read sets nothing.
    let Some(mut old) = whole(&text) else { return Ok(text) };
    let Some((key, value)) = entry_below(&old, keys) else { return Ok(text) };
    // A placeholder passes `gateway.port` on.
    let is_other =
        |it: &Scalar| it.text != number && it.kind != yaml::Kind::Null && !it.text.contains('{');
    if !matches!(value, Node::Scalar(scalar) if is_other(scalar)) {
        return Ok(text);
    }
    // The values of `gateway.env` are strings.
    let new = if keys.contains(&"env") { format!("'{number}'") } else { number.clone() };
    let source = Source { text: &text, line_end: "\n" };
    let edits = source.new_value(key, value, &new);
    let takes = |node: &mut Node| take_value(node, keys);
    takes(&mut old);
    forget_places(&mut old);
    let is_right = |text: &String| {
        whole(text).is_some_and(|mut new| {
            let taken = takes(&mut new);
            forget_places(&mut new);
            new == old && matches!(taken, Some(Node::Scalar(scalar)) if scalar.text == number)
        })
    };
    let new = edits.iter().map(|edit| edit.apply(&text)).find(is_right);
    new.ok_or_else(|| uneditable(&keys.join("."), &text, port, path))
}

/// The last entry with these keys.
fn entry_below<'a>(root: &'a Node, keys: &[&str]) -> Option<(&'a Node, &'a Node)> {
    let (last, above) = keys.split_last()?;
    let node = above.iter().try_fold(root, |node, key| entry(node, key).map(|(_, value)| value))?;
    entry(node, last)
}

/// Takes the value of the last entry with these keys.
fn take_value(root: &mut Node, keys: &[&str]) -> Option<Node> {
    let value = keys.iter().try_fold(root, |node, name| {
        let Node::Map(entries) = node else { return None };
        entries.iter_mut().rev().find(|(key, _)| is(key, name)).map(|(_, value)| value)
    })?;
    Some(std::mem::replace(value, Node::Skipped))
}

fn uneditable(key: &str, text: &str, port: u16, path: &Path) -> ConfigError {
    ConfigError::Uneditable { key: key.to_owned(), place: Place::new(path, text, None), port }
}

/// Replaces the bytes `at` by `insert`.
struct Edit {
    at: Range<usize>,
    insert: String,
}

impl Edit {
    fn apply(&self, text: &str) -> String {
        format!("{}{}{}", &text[..self.at.start], self.insert, &text[self.at.end..])
    }
}

/// The edits to try, in this order.
fn candidates(text: &str, root: &Node, port: u16) -> Vec<Edit> {
    let source = Source { text, line_end: if text.contains("\r\n") { "\r\n" } else { "\n" } };
    let Some((key, gateway)) = entry(root, GATEWAY) else {
        return source.new_gateway(root, port);
    };
    match entry(gateway, "port") {
        Some((key, value)) => source.new_value(key, value, &port.to_string()),
        None => source.new_port(key, gateway, port),
    }
}

struct Source<'a> {
    text: &'a str,
    line_end: &'static str,
}

impl Source<'_> {
    /// For a document without `gateway`.
    fn new_gateway(&self, root: &Node, port: u16) -> Vec<Edit> {
        let eol = self.line_end;
        let first = first_key(root).and_then(start);
        let indent = first.map_or("", |first| self.indent(first));
        let block = format!("{indent}{GATEWAY}:{eol}{indent}  port: {port}");
        let body = self.text.trim_start_matches('\u{feff}');
        // If the last line has no line end, the new last line has none either.
        let lines = if body.is_empty() || body.ends_with('\n') {
            format!("{block}{eol}")
        } else {
            format!("{eol}{block}")
        };
        let mut edits = vec![insertion(self.text.len(), lines)];
        if let Some(first) = first {
            let line = self.line_start(first);
            edits.push(insertion(line, format!("{block}{eol}")));
            edits.push(insertion(first, format!("{GATEWAY}: {{port: {port}}}, ")));
        } else if let Some(brace) = self.text.find('{') {
            edits.push(insertion(brace + 1, format!("{GATEWAY}: {{port: {port}}}")));
        }
        edits
    }

    /// For a `gateway` without `port`.
    fn new_port(&self, key: &Node, gateway: &Node, port: u16) -> Vec<Edit> {
        let mut edits = Vec::new();
        let Some(key_start) = start(key) else { return edits };
        let first = first_key(gateway).and_then(start);
        let indent = match first {
            Some(first) => self.indent(first).to_owned(),
            None => format!("{}  ", self.indent(key_start)),
        };
        let is_empty = matches!(gateway, Node::Scalar(scalar) if scalar.text.is_empty());
        if first.is_some() || is_empty {
            edits.push(self.new_line_after(key_start, &format!("{indent}port: {port}")));
        }
        if let Some(first) = first {
            let line = self.line_start(first);
            edits.push(insertion(line, format!("{indent}port: {port}{}", self.line_end)));
            edits.push(insertion(first, format!("port: {port}, ")));
        } else if let Some(value) = self.value_start(key) {
            if self.text[value..].starts_with('{') {
                edits.push(insertion(value + 1, format!("port: {port}")));
            }
            edits.extend(self.new_value(key, gateway, &format!("{{port: {port}}}")));
        }
        edits
    }

    /// For an existing `port`, or an empty `gateway`.
    fn new_value(&self, key: &Node, value: &Node, new: &str) -> Vec<Edit> {
        let mut edits = Vec::new();
        if let Node::Scalar(Scalar { span: Some(span), plain, .. }) = value
            // A missing value has no place of its own: it goes after the colon.
            && !(*plain && span.is_empty())
        {
            let quote = usize::from(!plain);
            let at = span.start - quote..span.end + quote;
            edits.push(Edit { at, insert: new.to_owned() });
        }
        let Some(value_start) = self.value_start(key) else { return edits };
        let after = &self.text[value_start..];
        if after.starts_with('*') {
            // The alias is replaced and not its anchor, which other keys may use.
            let ends = |c: char| c.is_whitespace() || matches!(c, ',' | ']' | '}');
            let end = value_start + after.find(ends).unwrap_or(after.len());
            edits.push(Edit { at: value_start..end, insert: new.to_owned() });
        }
        if let Some(colon) = self.colon_after(key) {
            edits.push(insertion(colon + 1, format!(" {new}")));
        }
        edits
    }

    /// A line of its own after the one that holds `offset`.
    fn new_line_after(&self, offset: usize, line: &str) -> Edit {
        match self.text[offset..].find('\n') {
            Some(at) => insertion(offset + at + 1, format!("{line}{}", self.line_end)),
            None => insertion(self.text.len(), format!("{}{line}", self.line_end)),
        }
    }

    /// The offset of the value of `key`, if on the same line.
    fn value_start(&self, key: &Node) -> Option<usize> {
        let after = self.colon_after(key)? + 1;
        Some(self.text.len() - self.text[after..].trim_start_matches([' ', '\t']).len())
    }

    fn colon_after(&self, key: &Node) -> Option<usize> {
        let Node::Scalar(Scalar { span: Some(span), plain, .. }) = key else { return None };
        let end = span.end + usize::from(!plain);
        let after = self.text[end..].trim_start_matches([' ', '\t']);
        after.starts_with(':').then_some(self.text.len() - after.len())
    }

    /// The blanks that the line of `offset` starts with.
    fn indent(&self, offset: usize) -> &str {
        let line = &self.text[self.line_start(offset)..offset];
        &line[..line.len() - line.trim_start_matches(' ').len()]
    }

    /// The start of the line of `offset`; in the first line, after a byte order mark.
    fn line_start(&self, offset: usize) -> usize {
        let before = &self.text[..offset];
        let mark = before.len() - before.trim_start_matches('\u{feff}').len();
        before.rfind('\n').map_or(mark, |at| at + 1)
    }
}

fn insertion(at: usize, insert: String) -> Edit {
    Edit { at: at..at, insert }
}

/// The last entry with the key `name`. A text with duplicates is refused later.
fn entry<'a>(node: &'a Node, name: &str) -> Option<(&'a Node, &'a Node)> {
    let Node::Map(entries) = node else { return None };
    entries.iter().rev().find(|(key, _)| is(key, name)).map(|(key, value)| (key, value))
}

fn is(key: &Node, name: &str) -> bool {
    matches!(key, Node::Scalar(scalar) if scalar.text == name)
}

fn first_key(node: &Node) -> Option<&Node> {
    let Node::Map(entries) = node else { return None };
    entries.first().map(|(key, _)| key)
}

/// The offset of a scalar, including its quote.
fn start(node: &Node) -> Option<usize> {
    let Node::Scalar(Scalar { span: Some(span), plain, .. }) = node else { return None };
    Some(span.start - usize::from(!plain))
}

/// Removes the port, then an empty `gateway`. An empty document becomes an empty mapping.
fn remove_port(root: &mut Node) {
    if is_null(root) {
        *root = Node::Map(Vec::new());
    }
    let Node::Map(entries) = root else { return };
    entries.retain_mut(|(key, gateway)| {
        if !is(key, GATEWAY) {
            return true;
        }
        if let Node::Map(inner) = gateway {
            inner.retain(|(key, _)| !is(key, "port"));
        }
        !(is_null(gateway) || matches!(gateway, Node::Map(inner) if inner.is_empty()))
    });
}

fn is_null(node: &Node) -> bool {
    matches!(node, Node::Scalar(scalar) if scalar.kind == yaml::Kind::Null)
}

/// Removes the places, to compare trees of different texts.
pub(super) fn forget_places(node: &mut Node) {
    match node {
        Node::Scalar(scalar) => scalar.span = None,
        Node::List(nodes) => nodes.iter_mut().for_each(forget_places),
        Node::Map(entries) => {
            for (key, value) in entries {
                forget_places(key);
                forget_places(value);
            }
        }
        Node::Tagged(_, node) => forget_places(node),
        Node::Skipped => {}
    }
}
