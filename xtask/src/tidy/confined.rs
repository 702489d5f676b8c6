//! The rules about words that only some files may contain.
//!
//! They hold invariants of `ARCHITECTURE.md`. The words are written in parts, so that this file does not contain them.

use super::Finding;
use super::rules::has_word;

/// Words that only the allowed files may contain.
struct Confined {
    words: &'static [&'static str],
    /// Prefixes of the paths that the rule applies to; empty means all.
    scope: &'static [&'static str],
    /// Prefixes of the paths within it that may contain the words.
    allowed: &'static [&'static str],
    why: &'static str,
}

const CONFINED: &[Confined] = &[
    Confined {
        words: &[concat!("serde", "_yaml")],
        scope: &[],
        allowed: &["hermes-core/src/config"],
        why: "one module hides the YAML library",
    },
    Confined {
        words: &[concat!("\"ex", "ec\""), concat!("docker ex", "ec")],
        scope: &[],
        // The others type what a user of a compose file types, and what an operator of a cluster does.
        allowed: &["tests/src/container.rs", "tests/src/compose.rs", "tests/src/installation.rs"],
        why: "enters a container: one function does, as the user `hermes`",
    },
    Confined {
        words: &[concat!("hermes", "_s6")],
        scope: &["hermes-cli/src/", "hermes-dashboard/src/", "hermes-gateway/src/"],
        allowed: &["hermes-cli/src/commands/up/"],
        why: "the program knows no backend but in `hermes up`, which is s6's",
    },
    Confined {
        words: &["Command::new"],
        scope: &["hermes-core/src/", "hermes-dashboard/src/"],
        allowed: &[],
        why: "starts no process",
    },
    Confined {
        words: &["env::var", "env::var_os", "env::vars", "env::vars_os"],
        scope: &["hermes"],
        allowed: &[
            "hermes/src/environment.rs",
            "hermes-gateway/src/inherited.rs",
            // `HOME`, in the place of std's own function.
            "hermes-core/src/passwd.rs",
            "hermes/examples/",
            "hermes-cli/examples/",
        ],
        why: "reads the environment: one file of the facade does, and one of the gateway process",
    },
];

/// Checks a Rust source up to its unit tests, comments left out.
pub(super) fn check(path: &str, text: &str) -> Vec<Finding> {
    let within = |prefixes: &[&str]| prefixes.iter().any(|prefix| path.starts_with(prefix));
    let rules: Vec<_> = CONFINED
        .iter()
        .filter(|rule| (rule.scope.is_empty() || within(rule.scope)) && !within(rule.allowed))
        .collect();
    let is_test = |line: &&str| line.starts_with("#[cfg(test)]");
    let mut findings = Vec::new();
    for (number, line) in (1..).zip(text.lines().take_while(|line| !is_test(line))) {
        let code = line.split("//").next().unwrap_or_default();
        for rule in &rules {
            for word in rule.words.iter().filter(|word| has_word(code, word)) {
                findings.push(Finding::new(path, number, format!("`{word}`: {}", rule.why)));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_confined_word_is_found_outside_of_its_place_alone() {
        for rule in CONFINED {
            for word in rule.words {
                let scope = rule.scope.first().copied().unwrap_or("src/");
                let text = format!("//! Purpose.\n    {word}(x); // {word}\n// {word}\n");
                let found = check(&format!("{scope}core/src/a.rs"), &text);
                assert!(found.iter().any(|finding| finding.line == Some(2)), "{word}");
                assert!(found.iter().all(|finding| finding.line == Some(2)), "{word}");
                for allowed in rule.allowed {
                    assert_eq!(check(&format!("{allowed}a.rs"), &text), [], "{word}");
                }
            }
        }
    }

    #[test]
    fn unit_tests_may_say_anything() {
        let word = CONFINED[0].words[0];
        let text = format!("//! Purpose.\n#[cfg(test)]\nmod tests {{\n    {word}\n}}\n");
        assert_eq!(check("src/a.rs", &text), []);
    }
}
