//! Text to bindings, statement by statement, like python-dotenv's `parser.py`.
//!
//! Implements the regular expressions of version 1.2.4 by hand.

/// A name and its value, without quotes and escapes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// The name.
    pub name: String,
    /// The value; `None` without a `=`.
    pub value: Option<String>,
    /// The line of the name, from 1.
    pub line: usize,
    /// The last line of the statement; a quoted value may have several.
    pub last_line: usize,
}

/// The result of [`parse`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parsed {
    /// In the order of the text; a name may occur more than once.
    pub bindings: Vec<Binding>,
    /// The lines of invalid statements. Parsing continues on the next line.
    pub bad_lines: Vec<usize>,
}

/// Parses `text`. Accepts the line ends of all systems, like Python's `open`, and skips a byte order mark.
pub fn parse(text: &str) -> Parsed {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut reader = Reader { rest: &text };
    let mut parsed = Parsed::default();
    let (mut line, mut counted) = (1, text.as_str());
    loop {
        reader.skip(is_space);
        line += lines_between(counted, reader.rest);
        counted = reader.rest;
        if reader.rest.is_empty() {
            return parsed;
        }
        match reader.statement() {
            Some((Some(name), value)) => {
                let last_line = line + lines_between(counted, reader.rest);
                parsed.bindings.push(Binding { name, value, line, last_line });
            }
            // A comment.
            Some((None, _)) => {}
            None => {
                parsed.bad_lines.push(line);
                reader.skip(|c| c != '\n');
            }
        }
    }
}

/// The number of line ends in `text` before its suffix `rest`.
fn lines_between(text: &str, rest: &str) -> usize {
    text[..text.len() - rest.len()].matches('\n').count()
}

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    /// The name and value of a statement, both `None` for a comment. `None` for an invalid statement.
    fn statement(&mut self) -> Option<(Option<String>, Option<String>)> {
        if let Some(rest) = self.rest.strip_prefix("export")
            && rest.starts_with(is_blank)
        {
            self.rest = rest.trim_start_matches(is_blank);
        }
        let name = if self.rest.starts_with('#') { None } else { Some(self.name()?) };
        self.skip(is_blank);
        let value = if self.eat('=') {
            let blanks = self.skip(is_blank);
            // In `KEY= # comment` the value is empty; without the blank, `#` begins the value.
            let comment = !blanks.is_empty() && self.rest.starts_with('#');
            Some(if comment { String::new() } else { self.value()? })
        } else {
            None
        };
        self.skip(is_blank);
        if self.rest.starts_with('#') {
            self.skip(|c| c != '\n');
        }
        // `parse` skips the line end.
        (self.rest.is_empty() || self.rest.starts_with('\n')).then_some((name, value))
    }

    fn name(&mut self) -> Option<String> {
        let name = match self.rest.strip_prefix('\'') {
            Some(quoted) => {
                let (name, rest) = quoted.split_once('\'')?;
                self.rest = rest;
                name
            }
            None => self.skip(|c| !matches!(c, '=' | '#') && !is_space(c)),
        };
        (!name.is_empty()).then(|| name.to_owned())
    }

    fn value(&mut self) -> Option<String> {
        match self.rest.chars().next() {
            Some('\'') => self.quoted('\'').map(|text| unescape(text, single_escape)),
            Some('"') => self.quoted('"').map(|text| unescape(text, double_escape)),
            _ => Some(unquoted(self.skip(|c| c != '\n')).to_owned()),
        }
    }

    /// The text up to the next quote. A backslash escapes the character after it, also another backslash.
    fn quoted(&mut self, quote: char) -> Option<&'a str> {
        let inner = &self.rest[1..];
        let mut escaped = false;
        let end = inner.find(|c| {
            let ends = c == quote && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        })?;
        self.rest = &inner[end + 1..];
        Some(&inner[..end])
    }

    /// Skips and returns the leading characters that match.
    fn skip(&mut self, matches: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest.trim_start_matches(matches);
        let skipped = &self.rest[..self.rest.len() - rest.len()];
        self.rest = rest;
        skipped
    }

    fn eat(&mut self, c: char) -> bool {
        let rest = self.rest.strip_prefix(c);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }
}

/// An unquoted value: the text up to the first `#` after a blank.
fn unquoted(line: &str) -> &str {
    let is_comment = |at: &usize| line[..*at].ends_with(is_space);
    let comment = line.match_indices('#').map(|(at, _)| at).find(is_comment);
    line[..comment.unwrap_or(line.len())].trim_end_matches(is_space)
}

fn unescape(text: &str, escape: fn(char) -> Option<char>) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        plain.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        match rest.chars().next().and_then(|c| Some((c, escape(c)?))) {
            Some((c, unescaped)) => {
                plain.push(unescaped);
                rest = &rest[c.len_utf8()..];
            }
            None => plain.push('\\'),
        }
    }
    plain.push_str(rest);
    plain
}

fn single_escape(c: char) -> Option<char> {
    matches!(c, '\\' | '\'').then_some(c)
}

fn double_escape(c: char) -> Option<char> {
    Some(match c {
        '\\' | '\'' | '"' => c,
        'a' => '\x07',
        'b' => '\x08',
        'f' => '\x0c',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\x0b',
        _ => return None,
    })
}

/// Whether Python's `\s` matches: Unicode white space and four ASCII separators.
fn is_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\x1c'..='\x1f')
}

/// White space within a line.
fn is_blank(c: char) -> bool {
    is_space(c) && c != '\n'
}
