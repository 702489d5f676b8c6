//! Splits Rust source into tokens, and removes code that is only built for tests.
//!
//! A token is a name, `::`, a number or one other character. Comments and string literals are removed: they contain no
//! paths.

/// The tokens of a source, without those of items behind `#[cfg(test)]`.
pub(super) fn of(text: &str) -> Vec<&str> {
    without_tests(&split(text))
}

fn split(text: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if let Some(length) = blank(rest).or_else(|| literal(rest)) {
            length
        } else {
            let length = token(rest, first);
            tokens.push(&rest[..length]);
            length
        };
        rest = &rest[length..];
    }
    tokens
}

fn token(rest: &str, first: char) -> usize {
    // `r#type` is the name `type`; `r#` becomes a token without a meaning.
    if rest.starts_with("::") || rest.starts_with("r#") {
        2
    } else if is_letter(first) {
        rest.find(|c| !is_letter(c)).unwrap_or(rest.len())
    } else {
        first.len_utf8()
    }
}

fn is_letter(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The length of the white space or comment at the start of `rest`.
fn blank(rest: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Some(block_comment(rest));
    }
    let length = rest.find(|c: char| !c.is_whitespace()).unwrap_or(rest.len());
    (length > 0).then_some(length)
}

/// Block comments nest.
fn block_comment(rest: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        let here = &rest.as_bytes()[at..];
        let step = if here.starts_with(b"/*") {
            depth += 1;
            2
        } else if here.starts_with(b"*/") {
            depth -= 1;
            2
        } else {
            1
        };
        at += step;
        if depth == 0 {
            break;
        }
    }
    at
}

/// The length of the string, byte string or character at the start of `rest`.
fn literal(rest: &str) -> Option<usize> {
    let prefix = ["br", "cr", "b", "c", "r", ""].into_iter().find(|prefix| {
        let quoted = rest.strip_prefix(prefix).map(|rest| rest.trim_start_matches('#'));
        quoted.is_some_and(|rest| rest.starts_with('"'))
    });
    if let Some(prefix) = prefix {
        let body = &rest[prefix.len()..];
        let hashes = body.len() - body.trim_start_matches('#').len();
        if prefix.ends_with('r') {
            let end = format!("\"{}", "#".repeat(hashes));
            let start = prefix.len() + hashes + 1;
            return Some(rest[start..].find(&end).map_or(rest.len(), |at| start + at + end.len()));
        }
        return (hashes == 0).then(|| prefix.len() + quoted(body, '"'));
    }
    let prefix = usize::from(rest.starts_with("b'"));
    let body = rest[prefix..].strip_prefix('\'')?;
    let mut chars = body.chars();
    let first = chars.next()?;
    // Otherwise it is a lifetime or a label.
    (first == '\\' || chars.next() == Some('\'')).then(|| prefix + quoted(&rest[prefix..], '\''))
}

/// The length of a literal with its quotes.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    let end = text.char_indices().skip(1).find(|(_, c)| {
        let ends = *c == quote && !escaped;
        escaped = *c == '\\' && !escaped;
        ends
    });
    end.map_or(text.len(), |(at, _)| at + quote.len_utf8())
}

fn without_tests<'a>(tokens: &[&'a str]) -> Vec<&'a str> {
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if is_test_attribute(&tokens[at..]) {
            at += item(&tokens[at..]);
        } else {
            kept.push(tokens[at]);
            at += 1;
        }
    }
    kept
}

fn is_test_attribute(tokens: &[&str]) -> bool {
    if !tokens.starts_with(&["#", "[", "cfg", "("]) {
        return false;
    }
    let attribute = &tokens[..group(&tokens[1..]) + 1];
    attribute.contains(&"test") && !attribute.contains(&"not")
}

/// The number of tokens of an item, with its attributes.
fn item(tokens: &[&str]) -> usize {
    let mut at = 0;
    while tokens.get(at) == Some(&"#") {
        at += 1 + group(&tokens[at + 1..]);
    }
    let head = tokens[at..].iter().take_while(|token| ![";", "{"].contains(token));
    // The braces of a `use` do not end it; those of any other item do.
    let is_use = head.into_iter().any(|token| *token == "use");
    while let Some(token) = tokens.get(at) {
        match *token {
            ";" => return at + 1,
            "{" if !is_use => return at + group(&tokens[at..]),
            "{" | "(" | "[" => at += group(&tokens[at..]),
            // The end of the surrounding group: the item is a field or an arm.
            "}" | ")" => return at,
            _ => at += 1,
        }
    }
    at
}

/// The number of tokens from the bracket at the start to its partner.
pub(super) fn group(tokens: &[&str]) -> usize {
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate() {
        match *token {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return index + 1;
        }
    }
    tokens.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(text: &str) -> String {
        of(text).join(" ")
    }

    #[test]
    fn names_and_paths_are_tokens_and_literals_are_not() {
        assert_eq!(joined("use a::b_1; // c::d\n/* e /* f */ g */ h"), "use a :: b_1 ; h");
        assert_eq!(joined(r##"f("a\"b", r#"c"d"#, b"e", 'g', '\'', 1)"##), "f ( , , , , , 1 )");
        assert_eq!(
            joined("impl<'a> X<'a> for r#type {}"),
            "impl < ' a > X < ' a > for r# type { }"
        );
        assert_eq!(joined("break 'x; /* open"), "break ' x ;");
        assert_eq!(joined("\"open"), "");
    }

    #[test]
    fn code_for_tests_is_removed() {
        for (text, left) in [
            ("a; #[cfg(test)] mod tests { use b; { c } } d", "a ; d"),
            ("#[cfg(test)] mod tests; d", "d"),
            ("#[cfg(test)] use b::{c, d}; e", "e"),
            ("#[cfg(test)] #[expect(x)] pub fn f<A, B>(a: [A; 2]) -> B { c } e", "e"),
            ("#[cfg(all(test, unix))] const A: B = c; e", "e"),
            ("struct A { b: C, #[cfg(test)] d: E }", "struct A { b : C , }"),
            ("#[cfg(not(test))] e;", "# [ cfg ( not ( test ) ) ] e ;"),
        ] {
            assert_eq!(joined(text), left, "{text}");
        }
    }
}
