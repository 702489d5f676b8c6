//! The rules about the text of a file: Rust sources, and what a container's shell or init reads.
//!
//! Pure functions from text to findings. The banned words are written in parts, so that this file does not contain them.

use super::Finding;

/// The longest source file, in lines.
const MAX_LINES: usize = 400;

/// Words that no Rust source may contain, and why. A letter at either end matches whole words only.
const BANNED: &[(&str, &str)] = &[
    (concat!("to", "do!"), "unfinished"),
    (concat!("un", "implemented!"), "unfinished"),
    (concat!("d", "bg!"), "left over from debugging"),
    (concat!("#[ig", "nore"), "a test must run"),
    (concat!("FIX", "ME"), "unfinished"),
    (concat!("X", "XX"), "unfinished"),
    (concat!("TO", "DO"), "unfinished"),
    (concat!("thread", "::sleep"), "wait for an event, or poll with a deadline"),
    (concat!("#[al", "low("), "use `expect`, with a reason"),
    (concat!("#![al", "low("), "use `expect`, with a reason"),
];

/// Checks a Rust source.
pub(super) fn rust(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = line_ends(path, text);
    let mut find =
        |line: Option<usize>, what: String| findings.push(Finding::new(path, line, what));

    let first = text.trim_start_matches('\u{feff}').lines().next().unwrap_or_default();
    if first.strip_prefix("//!").is_none_or(|purpose| purpose.trim().is_empty()) {
        find(Some(1), "the first line is not a `//!` header with the file's purpose".to_owned());
    }
    let lines = text.lines().count();
    if lines > MAX_LINES {
        find(None, format!("{lines} lines, {MAX_LINES} are allowed"));
    }
    if !text.ends_with('\n') {
        find(Some(lines), "no line end at the end of the file".to_owned());
    }
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim_end() != line {
            find(Some(number), "white space at the end of the line".to_owned());
        }
        if line[..line.len() - line.trim_start().len()].contains('\t') {
            find(Some(number), "indented with a tab".to_owned());
        }
        for (word, why) in BANNED.iter().filter(|(word, _)| has_word(line, word)) {
            find(Some(number), format!("`{word}`: {why}"));
        }
    }
    findings
}

/// Whether any rule applies to the file: sources, pages, and files that a container's shell or init reads.
pub(super) fn is_read(path: &str) -> bool {
    path.ends_with(".rs") || path.ends_with(".md") || is_for_unix(path)
}

/// Whether a shell or init reads the file, so that it must have Unix line ends.
pub(super) fn is_for_unix(path: &str) -> bool {
    path.ends_with(".sh") || path.starts_with("docker/") || path.starts_with(".ci/")
}

/// Finds carriage returns and byte order marks, which make a first line `/bin/sh\r` or `\u{feff}#!`.
pub(super) fn line_ends(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    if text.starts_with('\u{feff}') {
        findings.push(Finding::new(path, 1, "begins with a byte order mark"));
    }
    if let Some(index) = text.split('\n').position(|line| line.contains('\r')) {
        findings.push(Finding::new(path, index + 1, "has a carriage return"));
    }
    findings
}

/// Whether shellcheck checks the file (the outer option), and the shell to assume if the file does not name one.
///
/// shellcheck does not know the interpreter of `#!/command/with-contenv sh`.
pub(super) fn shell_dialect<'a>(path: &str, text: &'a str) -> Option<Option<&'a str>> {
    let interpreter = text.lines().next().and_then(|line| line.strip_prefix("#!"));
    let shell = interpreter
        .and_then(|line| line.split_whitespace().rfind(|word| !word.starts_with('-')))
        .map(|word| word.rsplit('/').next().unwrap_or(word))
        .filter(|name| ["sh", "bash", "dash", "ksh"].contains(name));
    match shell {
        Some(_) => Some(shell),
        None => path.ends_with(".sh").then_some(None),
    }
}

/// Parses the output of shellcheck's `--format=gcc`: `path:line:column: level: text [code]`.
pub(super) fn shellcheck_findings(path: &str, output: &str) -> Vec<Finding> {
    let finding = |line: &str| {
        let rest = line.strip_prefix(path)?.strip_prefix(':')?;
        let (number, rest) = rest.split_once(':')?;
        let (_column, what) = rest.split_once(": ")?;
        Some(Finding::new(path, number.parse::<usize>().ok()?, what))
    };
    let lines = output.lines().filter(|line| !line.is_empty());
    lines.map(|line| finding(line).unwrap_or_else(|| Finding::new(path, None, line))).collect()
}

/// Whether `line` contains `word` as a whole word.
pub(super) fn has_word(line: &str, word: &str) -> bool {
    let letter = |c: char| c.is_alphanumeric() || c == '_';
    let joined = |a: Option<char>, b: Option<char>| a.is_some_and(letter) && b.is_some_and(letter);
    line.match_indices(word).any(|(start, _)| {
        let (before, after) = (&line[..start], &line[start + word.len()..]);
        !joined(before.chars().next_back(), word.chars().next())
            && !joined(word.chars().next_back(), after.chars().next())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, text: &str) -> Vec<String> {
        rust(path, text).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_tidy_source_has_no_findings() {
        assert_eq!(check("a.rs", "//! What it is for.\n\nfn f() {\n    g();\n}\n"), [""; 0]);
    }

    #[test]
    fn every_banned_word_is_found_once() {
        for (word, why) in BANNED {
            let findings = check("a.rs", &format!("//! Purpose.\n    {word} (x)\n"));
            assert_eq!(findings, [format!("a.rs:2: `{word}`: {why}")]);
        }
    }

    #[test]
    fn a_part_of_a_longer_word_does_not_match() {
        let marks = ["X"; 6].concat();
        assert_eq!(check("a.rs", &format!("//! mkdtemp fills in {marks}\n")), [""; 0]);
        assert!(has_word("std::dbg (1)", "dbg") && !has_word("my_dbg (1)", "dbg"));
    }

    #[test]
    fn the_form_of_a_source_is_checked() {
        for (text, expected) in [
            ("", "a.rs:1: the first line is not a `//!` header with the file's purpose"),
            (
                "//!\n//! Late.\n",
                "a.rs:1: the first line is not a `//!` header with the file's purpose",
            ),
            ("// no\n", "a.rs:1: the first line is not a `//!` header with the file's purpose"),
            ("//! Purpose. \n", "a.rs:1: white space at the end of the line"),
            ("//! Purpose.\n  \t x\n", "a.rs:2: indented with a tab"),
            ("//! Purpose.\r\n", "a.rs:1: has a carriage return"),
            ("\u{feff}//! Purpose.\n", "a.rs:1: begins with a byte order mark"),
            ("//! Purpose.\n//! End.", "a.rs:2: no line end at the end of the file"),
        ] {
            let findings = check("a.rs", text);
            assert!(findings.contains(&expected.to_owned()), "{text:?}: {findings:?}");
        }
    }

    #[test]
    fn the_longest_source_has_400_lines() {
        let text = "//! Purpose.\n".repeat(MAX_LINES);
        assert_eq!(check("a.rs", &text), [""; 0]);
        assert_eq!(check("a.rs", &(text + "//! More.\n")), ["a.rs: 401 lines, 400 are allowed"]);
    }

    #[test]
    fn files_for_unix_are_known_by_their_path() {
        for path in [".ci/run", "docker/Dockerfile", "docker/rootfs/init", "tools/x.sh"] {
            assert!(is_for_unix(path), "{path}");
        }
        for path in ["README.md", "docs/docker/x", "a.ci/run"] {
            assert!(!is_for_unix(path), "{path}");
        }
    }

    #[test]
    fn sources_pages_and_files_for_unix_are_read() {
        for path in ["a/src/b.rs", "README.md", "docker/Dockerfile"] {
            assert!(is_read(path), "{path}");
        }
        for path in ["Cargo.lock", "tests/corpus/x.env"] {
            assert!(!is_read(path), "{path}");
        }
    }

    #[test]
    fn shells_are_known_by_the_first_line() {
        for (path, text, expected) in [
            (".ci/run", "#!/usr/bin/env bash\n", Some(Some("bash"))),
            ("docker/init", "#!/bin/sh -e\n", Some(Some("sh"))),
            ("docker/boot", "#!/command/with-contenv sh\n", Some(Some("sh"))),
            ("docker/run", "#!/usr/bin/execlineb -P\n", None),
            ("docker/Dockerfile", "FROM debian\n", None),
            ("a.sh", "# shellcheck shell=sh\n", Some(None)),
        ] {
            assert_eq!(shell_dialect(path, text), expected, "{path}");
        }
    }

    #[test]
    fn shellcheck_lines_become_findings() {
        let output = "a.sh:3:4: note: Double quote: yes [SC2086]\n\nodd\n";
        let expected = [
            Finding::new("a.sh", 3, "note: Double quote: yes [SC2086]"),
            Finding::new("a.sh", None, "odd"),
        ];
        assert_eq!(shellcheck_findings("a.sh", output), expected);
    }
}
