//! The rule about prose: phrases that no comment, message or page may contain, because they are hard to read.
//!
//! A phrase is found across the lines of a comment or a paragraph, with any punctuation around it.

use super::Finding;

/// This file, which is not checked, since it lists the phrases.
const HOME: &str = "xtask/src/tidy/prose.rs";

/// A banned phrase.
struct Phrase {
    /// Its words. A word with a capital letter must match exactly, so that the phrase is found only where a sentence begins.
    words: &'static str,
    why: &'static str,
    better: &'static str,
    /// Whether it is reported. The others are still in too many places.
    enforced: bool,
}

const fn enforced(words: &'static str, why: &'static str, better: &'static str) -> Phrase {
    Phrase { words, why, better, enforced: true }
}

const fn later(words: &'static str, why: &'static str, better: &'static str) -> Phrase {
    Phrase { words, why, better, enforced: false }
}

const UNIX: &str = "not the words of Unix tools";
const HEADLESS: &str = "a clause instead of a noun";
const FOREIGN: &str = "not English";
const UNCLEAR: &str = "a reader has to guess";

const PHRASES: &[Phrase] = &[
    enforced("is no valid", UNIX, "is not a valid"),
    enforced("is no link", UNIX, "is not a symbolic link"),
    enforced("is no executable", UNIX, "is not executable"),
    enforced("is no text", UNIX, "is not text"),
    enforced("is no process id", UNIX, "is not a process id"),
    enforced("belongs into", FOREIGN, "belongs in"),
    enforced("for the want of", FOREIGN, "without"),
    enforced("which is said", UNCLEAR, "with a notice"),
    enforced("where none answers", UNCLEAR, "if no … answers"),
    enforced("who may do that", HEADLESS, "the owner, the permissions"),
    enforced("bring it to an end", "reads as *kill*", "complete"),
    enforced("there is a profile", UNIX, "profile … already exists"),
    enforced("brings its files to an end", "reads as *deletes*", "completes"),
    enforced("belong into", FOREIGN, "belong in"),
    enforced("for want of", FOREIGN, "without; not tested"),
    enforced("whatever its kind", HEADLESS, "every backend"),
    enforced("that is anybody's", UNCLEAR, "user data"),
    enforced("what was wanted", HEADLESS, "the intent"),
    later("is no directory", UNIX, "is not a directory"),
    later("is no file", UNIX, "is not a file"),
    later("is no regular file", UNIX, "is not a regular file"),
    later("is no value of", UNIX, "invalid value … for"),
    later("is no number", UNIX, "is not a number"),
    later("is no name for", UNIX, "invalid name … for"),
    later("is no utf-8", UNIX, "is not valid UTF-8"),
    later("brings it to an end", "reads as *kills*", "completes"),
    later("nobody is here", UNCLEAR, "stdin is not a terminal"),
    later("who decides about", HEADLESS, "the owner of"),
    later("name no profile", UNCLEAR, "the default profile"),
    later("not said that it is ready", UNCLEAR, "not ready"),
    later("in nobody's way", UNCLEAR, "blocks no command"),
    later("as those of the same", UNCLEAR, "(say whose)"),
    later("What is there", HEADLESS, "the existing …, the running …"),
    later("What is wanted", HEADLESS, "the intent"),
    later("What is said", HEADLESS, "the output, the message"),
    later("What is told", HEADLESS, "the message, the event"),
];

/// Marks before the text of a comment, or at the end of a line of a string that continues.
const MARKS: &[&str] = &["//", "///", "//!", "#", "\\"];

/// Finds the enforced phrases, in any file but this one.
pub(super) fn check(path: &str, text: &str) -> Vec<Finding> {
    if path == HOME {
        return Vec::new();
    }
    find(path, text, PHRASES.iter().filter(|phrase| phrase.enforced))
}

fn find<'a>(path: &str, text: &str, phrases: impl Iterator<Item = &'a Phrase>) -> Vec<Finding> {
    let words: Vec<_> = words(text).collect();
    let mut findings = Vec::new();
    for phrase in phrases {
        let wanted: Vec<_> = phrase.words.split(' ').collect();
        for here in words.windows(wanted.len()).filter(|here| is(here, &wanted)) {
            let what = format!("\"{}\": {}; better: {}", phrase.words, phrase.why, phrase.better);
            findings.push(Finding::new(path, here[0].line, what));
        }
    }
    findings
}

/// A word with the punctuation around it.
struct Word<'a> {
    text: &'a str,
    /// Its letters without quotes and brackets before them; compared with the first word of a phrase.
    head: &'a str,
    line: usize,
}

fn words(text: &str) -> impl Iterator<Item = Word<'_>> {
    let lines = (1..).zip(text.lines());
    // `\n` in a string ends a word.
    let words = lines.flat_map(|(line, text)| {
        text.split("\\n").flat_map(str::split_whitespace).map(move |text| Word {
            text,
            head: text.rsplit(is_around).next().unwrap_or_default().trim_start_matches('\''),
            line,
        })
    });
    words.filter(|word| !MARKS.contains(&word.text))
}

fn is_around(c: char) -> bool {
    !c.is_alphanumeric() && !"_'-".contains(c)
}

/// Whether these words are the phrase, with optional quotes, brackets and the end of a sentence around it.
fn is(here: &[Word<'_>], phrase: &[&str]) -> bool {
    let last = phrase.len() - 1;
    let mut pairs = here.iter().zip(phrase).enumerate();
    pairs.all(|(index, (word, wanted))| {
        let mut text = if index == 0 { word.head } else { word.text };
        if index == last {
            text = text.split(is_around).next().unwrap_or_default().trim_end_matches('\'');
        }
        text.eq_ignore_ascii_case(wanted)
            && (text == *wanted || !wanted.contains(char::is_uppercase))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLANTED: &[Phrase] = &[
        later("is no directory", "why", "is not a directory"),
        later("What is there", "why", "x"),
    ];

    fn lines(text: &str) -> Vec<usize> {
        find("a.rs", text, PLANTED.iter()).iter().map(|found| found.line.unwrap()).collect()
    }

    #[test]
    fn every_phrase_of_the_table_is_found() {
        for phrase in PHRASES {
            let text = format!("//! Purpose.\n    // And `{}`.\n", phrase.words);
            let found = find("a.rs", &text, std::iter::once(phrase));
            let expected =
                format!("a.rs:2: \"{}\": {}; better: {}", phrase.words, phrase.why, phrase.better);
            assert_eq!(found.iter().map(ToString::to_string).collect::<Vec<_>>(), [expected]);
        }
    }

    #[test]
    fn only_what_is_enforced_is_reported() {
        let text = PHRASES.iter().map(|phrase| format!("{}.\n", phrase.words)).collect::<String>();
        assert_eq!(check("a.md", &text).len(), PHRASES.iter().filter(|it| it.enforced).count());
        assert_eq!(check(HOME, &text), []);
    }

    #[test]
    fn a_phrase_is_found_in_comments_strings_and_pages() {
        for text in [
            "/// It is no directory.",
            "bail!(\"`{}` is no directory\", x)",
            "let x = \"is no directory\".to_owned();",
            "(is no directory)",
            "fail 'is no directory'",
            "error: x\\nis no directory",
            "It **is no directory**: gone.",
        ] {
            assert_eq!(lines(text), [1], "{text}");
        }
    }

    #[test]
    fn a_phrase_is_found_across_lines() {
        assert_eq!(lines("//! a is\n//! no directory\n"), [1]);
        assert_eq!(lines("a\n    // is no\n    // directory b"), [2]);
        assert_eq!(lines("# is no\n# directory\n"), [1]);
        assert_eq!(lines("\"it is \\\n   no directory\""), [1]);
    }

    #[test]
    fn a_phrase_is_whole_and_in_one_sentence() {
        for text in [
            "this no directory",
            "his no directory",
            "is no directory_fd",
            "is no, directory",
            "is. No directory",
            "| is | no directory |",
            "is_no_directory()",
        ] {
            assert_eq!(lines(text), [0; 0], "{text}");
        }
    }

    #[test]
    fn a_capital_letter_is_the_beginning_of_a_sentence() {
        assert_eq!(lines("// What is there already.\n// Say what is there.\n"), [1]);
        assert_eq!(lines("It Is No Directory"), [1]);
    }
}
