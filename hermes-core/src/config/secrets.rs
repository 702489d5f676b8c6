//! Keys of a `config.yaml` that look as if their values were secrets, for the warning of an export, and variables
//! whose values are not to be shown.

use std::path::Path;

use super::ConfigError;
use super::yaml::{self, Kind, Node, Scope};

/// Words in the name of such a key. `max_tokens` is a number, and so no secret.
const WORDS: &[&str] = &[
    "apikey",
    "authorization",
    "credential",
    "credentials",
    "passphrase",
    "passwd",
    "password",
    "secret",
    "secrets",
    "token",
    "tokens",
];
/// Pairs of such words.
const PAIRS: &[[&str; 2]] =
    &[["api", "key"], ["access", "key"], ["private", "key"], ["signing", "key"]];

/// A key whose value looks like a secret. It does not contain the value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretKey {
    /// The key, with those above it: `platforms.telegram.token`.
    pub key: String,
    /// Its line, from 1.
    pub line: usize,
}

/// The keys in the text of the `config.yaml` at `path` that look like secrets, in the order of the file. Values that
/// only refer to a variable (`${NAME}`) are none.
pub fn secret_keys(text: &str, path: &Path) -> Result<Vec<SecretKey>, ConfigError> {
    let mut found = Vec::new();
    walk(&yaml::read(text, Scope::Whole, path)?, "", text, &mut found);
    Ok(found)
}

/// In the place of a secret that is not shown.
pub const MASK: &str = "********";

/// How long a run of letters and digits is in a key at least.
const LONG: usize = 16;

/// Whether a text has a word that looks like a key, whatever its name: a long run of letters and digits, with both.
pub fn looks_like_secret(text: &str) -> bool {
    text.split(|c: char| !c.is_ascii_alphanumeric()).any(is_key)
}

fn is_key(run: &str) -> bool {
    let has = |is: fn(&u8) -> bool| run.bytes().any(|byte| is(&byte));
    run.len() >= LONG && has(u8::is_ascii_digit) && has(u8::is_ascii_alphabetic)
}

/// `text`, with [`MASK`] for each word that looks like a key, and for URLs with a password.
pub fn masked(text: &str) -> String {
    let hides = |word: &str| looks_like_secret(word) || has_password(word);
    let word = |word: &str| if hides(word) { MASK.to_owned() } else { word.to_owned() };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// The arguments of a command, with [`MASK`] for each that may be a secret: the value of an option with the name of one
/// (`--token x`, `--token=x`), and what looks like a key.
pub fn masked_arguments(arguments: &[String]) -> Vec<String> {
    let mut names_next = false;
    let mask = |argument: &String| {
        let is_named = std::mem::take(&mut names_next);
        if let Some((option, value)) = argument.split_once('=')
            && is_secret(option)
            && is_secret_text(value)
        {
            return format!("{option}={MASK}");
        }
        names_next = argument.starts_with('-') && is_secret(argument);
        let hidden = is_named && !argument.starts_with('-') && !argument.starts_with('{');
        if hidden || looks_like_secret(argument) || has_password(argument) {
            return MASK.to_owned();
        }
        argument.clone()
    };
    arguments.iter().map(mask).collect()
}

/// Whether the value of a variable is not to be shown: its name is that of a secret, or it has a URL with a password.
/// One that only refers to a variable is shown.
pub fn is_secret_value(name: &str, value: &str) -> bool {
    is_secret(name) && is_secret_text(value) || has_password(value)
}

fn walk(node: &Node, above: &str, text: &str, found: &mut Vec<SecretKey>) {
    match node {
        Node::Map(entries) => {
            for (key, value) in entries {
                let Node::Scalar(name) = key else { continue };
                let dot = if above.is_empty() { "" } else { "." };
                let path = format!("{above}{dot}{}", name.text);
                let at = name.span.as_ref().map(|span| span.start);
                if is_secret(&name.text) && has_secret(value) || has_url_with_password(value) {
                    let line = 1 + text[..at.unwrap_or_default()].matches('\n').count();
                    found.push(SecretKey { key: path, line });
                } else {
                    walk(value, &path, text, found);
                }
            }
        }
        Node::List(items) => items.iter().for_each(|item| walk(item, above, text, found)),
        Node::Tagged(_, inner) => walk(inner, above, text, found),
        Node::Scalar(_) | Node::Skipped => {}
    }
}

/// Whether a value, or one in a list, is a text that is no reference to a variable.
fn has_secret(value: &Node) -> bool {
    match value {
        Node::Scalar(scalar) => scalar.kind == Kind::String && is_secret_text(&scalar.text),
        Node::List(items) => items.iter().any(has_secret),
        Node::Tagged(_, inner) => has_secret(inner),
        Node::Map(_) | Node::Skipped => false,
    }
}

/// Whether a text is no reference to a variable.
fn is_secret_text(text: &str) -> bool {
    let text = text.trim();
    let is_reference = text.starts_with("${") && text.ends_with('}');
    !text.is_empty() && !is_reference
}

/// Whether a text has a URL with a password, `https://user:password@host`, or with a secret in its query, `?token=x`.
pub(super) fn has_password(text: &str) -> bool {
    text.split("://").skip(1).any(|rest| {
        let authority = rest.split(['/', '?', '#', ' ', '"', '\'']).next().unwrap_or_default();
        let password = authority.rsplit_once('@').and_then(|(user, _)| user.split_once(':'));
        let mut query = rest.split(['?', '&']).skip(1).filter_map(|part| part.split_once('='));
        query.any(|(name, value)| is_secret(name) && !value.starts_with('$'))
            || password
                .is_some_and(|(_, password)| !password.is_empty() && !password.starts_with('$'))
    })
}

/// Whether a value, or one in a list, has a URL with a password.
fn has_url_with_password(value: &Node) -> bool {
    match value {
        Node::Scalar(scalar) => has_password(&scalar.text),
        Node::List(items) => items.iter().any(has_url_with_password),
        Node::Tagged(_, inner) => has_url_with_password(inner),
        Node::Map(_) | Node::Skipped => false,
    }
}

/// Whether the words of a key or of a variable's name are those of a secret: `bot_token`, `apiKey`, but not
/// `api_key_env`.
pub fn is_secret(key: &str) -> bool {
    let mut name = String::new();
    let mut before = ' ';
    for c in key.chars() {
        if c.is_uppercase() && before.is_lowercase() {
            name.push('_');
        }
        name.extend(c.to_lowercase());
        before = c;
    }
    let words: Vec<_> = name.split(|c: char| !c.is_alphanumeric()).collect();
    words.last() != Some(&"env")
        && (words.iter().any(|word| WORDS.contains(word))
            || words.windows(2).any(|pair| PAIRS.iter().any(|known| known == pair)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_secrets_are_not_shown() {
        for (name, value, secret) in [
            ("OPENAI_API_KEY", "x", true),
            ("BOT_TOKEN", "x", true),
            ("BOT_TOKEN", "${TOKEN}", false),
            ("BOT_TOKEN", "", false),
            ("PORT", "80", false),
            ("DATABASE", "postgres://me:word@host", true),
        ] {
            assert_eq!(is_secret_value(name, value), secret, "{name}={value}");
        }
    }

    #[test]
    fn what_looks_like_a_secret_is_masked() {
        for (text, expected) in [
            ("401: key sk-abcDEF123abcDEF123 is wrong", "401: key ******** is wrong"),
            ("bot 123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw:", "bot ********"),
            (
                "No module named site-packages in python3.11",
                "No module named site-packages in python3.11",
            ),
            (
                "model claude-3-5-sonnet-20241022 at http://h:1/x?a=b",
                "model claude-3-5-sonnet-20241022 at http://h:1/x?a=b",
            ),
            ("GET http://h:1/x?token=a", "GET ********"),
        ] {
            assert_eq!(masked(text), expected);
        }
        let command =
            ["run", "--api-key=x", "--token", "y", "--port", "{port}", "--token", "{token}", "-v"];
        let shown = masked_arguments(&command.map(str::to_owned)).join(" ");
        assert_eq!(
            shown,
            "run --api-key=******** --token ******** --port {port} --token {token} -v"
        );
    }

    #[test]
    fn keys_of_secrets_are_found_with_their_lines() {
        let text = "model:\n  api_key: sk-1\n  max_tokens: 4096\n  api_key_env: KEY\nplatforms:\n  \
                    - {name: a, botToken: \"x\", password: ''}\n  - signing-key: |\n      y\n\
                    token: ${TOKEN}\nclient_secret: z\nsecrets:\n  - q\nkeyboard: qwerty\n\
                    database:\n  url: postgres://me:word@host/db\nproxies:\n  - http://u@p\n  \
                    - see https://u:w@proxy:80\nplain: [\"http://host:80/a@b\", \"x://u:@h\", \
                    \"x://u:${PW}@h\"]\n";
        let found = secret_keys(text, Path::new("config.yaml")).unwrap();
        let found: Vec<_> = found.iter().map(|it| (it.key.as_str(), it.line)).collect();
        let expected = [
            ("model.api_key", 2),
            ("platforms.botToken", 6),
            ("platforms.signing-key", 7),
            ("client_secret", 10),
            ("secrets", 11),
            ("database.url", 15),
            ("proxies", 16),
        ];
        assert_eq!(found, expected);
    }
}
