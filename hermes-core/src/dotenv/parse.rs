//! From text to bindings, statement by statement as python-dotenv's `parser.py` does it.
//!
//! Its regular expressions are spelt out here. Where one of them would look back (a quoted value
//! whose end is nowhere but behind a backslash), the function that stands for it says so.

/// A name with what stands behind its `=`, quotes and escapes undone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// The name.
    pub name: String,
    /// The value; `None` where there is no `=`.
    pub value: Option<String>,
    /// The line that the name stands in, from 1.
    pub line: usize,
}

/// What a text says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parsed {
    /// In the order of the text; one name may be there more than once.
    pub bindings: Vec<Binding>,
    /// Where statements begin that are none. Each is given up at the end of its line.
    pub bad_lines: Vec<usize>,
}

/// Reads `text`. Line ends of all systems are the same, as for Python's `open`.
pub fn parse(text: &str) -> Parsed {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut reader = Reader { rest: &text };
    let mut parsed = Parsed::default();
    let (mut line, mut seen) = (1, text.as_str());
    loop {
        reader.skip(is_space);
        line += lines_between(seen, reader.rest);
        seen = reader.rest;
        if reader.rest.is_empty() {
            return parsed;
        }
        match reader.statement() {
            Some((Some(name), value)) => parsed.bindings.push(Binding { name, value, line }),
            // A comment.
            Some((None, _)) => {}
            None => {
                parsed.bad_lines.push(line);
                reader.skip(|c| c != '\n');
            }
        }
    }
}

/// How many lines end in `text` before `rest`, its own end.
fn lines_between(text: &str, rest: &str) -> usize {
    text[..text.len() - rest.len()].matches('\n').count()
}

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    /// Name and value; `None` where there is no statement, and the rest is what could not be read.
    fn statement(&mut self) -> Option<(Option<String>, Option<String>)> {
        if let Some(rest) = self.rest.strip_prefix("export")
            && rest.starts_with(is_blank)
        {
            self.rest = rest.trim_start_matches(is_blank);
        }
        let name = if self.rest.starts_with('#') { None } else { Some(self.name()?) };
        self.skip(is_blank);
        let value = if self.eat('=') {
            self.skip(is_blank);
            Some(self.value()?)
        } else {
            None
        };
        self.skip(is_blank);
        if self.rest.starts_with('#') {
            self.skip(|c| c != '\n');
        }
        // A line end that is there is skipped with what is before the next statement.
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

    /// What is between this quote and the next one without a backslash before it. If all others have
    /// one, the last of them ends the value after all, and the backslash is its last character.
    fn quoted(&mut self, quote: char) -> Option<&'a str> {
        let inner = &self.rest[1..];
        let mut quotes = inner.match_indices(quote).map(|(at, _)| at);
        let end = quotes.clone().find(|at| !inner[..*at].ends_with('\\'));
        let end = end.or_else(|| quotes.next_back())?;
        self.rest = &inner[end + 1..];
        Some(&inner[..end])
    }

    /// Goes past what `these` holds for, and returns it.
    fn skip(&mut self, these: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest.trim_start_matches(these);
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

/// The value of a line without quotes: up to the first blank with `#` behind it.
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
            Some((c, meant)) => {
                plain.push(meant);
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

/// What Python's `\s` matches: the white space of Unicode and four separators of ASCII.
fn is_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\x1c'..='\x1f')
}

/// White space within a line.
fn is_blank(c: char) -> bool {
    is_space(c) && c != '\n'
}
