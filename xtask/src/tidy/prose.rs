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
}

const fn phrase(words: &'static str, why: &'static str, better: &'static str) -> Phrase {
    Phrase { words, why, better }
}

const UNIX: &str = "not the words of Unix tools";
const HEADLESS: &str = "a clause instead of a noun";
const FOREIGN: &str = "not English";
const UNCLEAR: &str = "a reader has to guess";

const PHRASES: &[Phrase] = &[
    phrase("is no valid", UNIX, "is not a valid"),
    phrase("is no link", UNIX, "is not a symbolic link"),
    phrase("is no executable", UNIX, "is not executable"),
    phrase("is no text", UNIX, "is not text"),
    phrase("is no process id", UNIX, "is not a process id"),
    phrase("belongs into", FOREIGN, "belongs in"),
    phrase("for the want of", FOREIGN, "without"),
    phrase("which is said", UNCLEAR, "with a notice"),
    phrase("where none answers", UNCLEAR, "if no … answers"),
    phrase("who may do that", HEADLESS, "the owner, the permissions"),
    phrase("bring it to an end", "reads as *kill*", "complete"),
    phrase("there is a profile", UNIX, "profile … already exists"),
    phrase("brings its files to an end", "reads as *deletes*", "completes"),
    phrase("belong into", FOREIGN, "belong in"),
    phrase("for want of", FOREIGN, "without; not tested"),
    phrase("whatever its kind", HEADLESS, "every backend"),
    phrase("that is anybody's", UNCLEAR, "user data"),
    phrase("what was wanted", HEADLESS, "the intent"),
    phrase("is no directory", UNIX, "is not a directory"),
    phrase("is no file", UNIX, "is not a file"),
    phrase("is no regular file", UNIX, "is not a regular file"),
    phrase("is no value of", UNIX, "invalid value … for"),
    phrase("is no number", UNIX, "is not a number"),
    phrase("is no name for", UNIX, "invalid name … for"),
    phrase("is no utf-8", UNIX, "is not valid UTF-8"),
    phrase("brings it to an end", "reads as *kills*", "completes"),
    phrase("nobody is here", UNCLEAR, "stdin is not a terminal"),
    phrase("who decides about", HEADLESS, "the owner of"),
    phrase("name no profile", UNCLEAR, "the default profile"),
    phrase("not said that it is ready", UNCLEAR, "not ready"),
    phrase("in nobody's way", UNCLEAR, "blocks no command"),
    phrase("as those of the same", UNCLEAR, "(say whose)"),
    phrase("What is there", HEADLESS, "the existing …, the running …"),
    phrase("What is wanted", HEADLESS, "the intent"),
    phrase("What is said", HEADLESS, "the output, the message"),
    phrase("What is told", HEADLESS, "the message, the event"),
];

/// Marks before the text of a comment, or at the end of a line of a string that continues.
const MARKS: &[&str] = &["//", "///", "//!", "#", "\\"];

/// Finds the phrases, in any file but this one.
pub(super) fn check(path: &str, text: &str) -> Vec<Finding> {
    if path == HOME {
        return Vec::new();
    }
    find(path, text, PHRASES)
}

fn find(path: &str, text: &str, phrases: &[Phrase]) -> Vec<Finding> {
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
        phrase("is no directory", "why", "is not a directory"),
        phrase("What is there", "why", "x"),
    ];

    fn lines(text: &str) -> Vec<usize> {
        find("a.rs", text, PLANTED).iter().map(|found| found.line.unwrap()).collect()
    }

    #[test]
    fn every_phrase_of_the_table_is_found() {
        for phrase in PHRASES {
            let text = format!("//! Purpose.\n    // And `{}`.\n", phrase.words);
            let found = find("a.rs", &text, std::slice::from_ref(phrase));
            let expected =
                format!("a.rs:2: \"{}\": {}; better: {}", phrase.words, phrase.why, phrase.better);
            assert_eq!(found.iter().map(ToString::to_string).collect::<Vec<_>>(), [expected]);
        }
    }

    #[test]
    fn this_file_alone_is_exempt() {
        let text = PHRASES.iter().map(|phrase| format!("{}.\n", phrase.words)).collect::<String>();
        assert_eq!(check("a.md", &text).len(), PHRASES.len());
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
