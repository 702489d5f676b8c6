//! Valid profile names: a type that can only be made by parsing.
//!
//! A name becomes a directory, a part of an s6 service name and of a systemd instance, and a
//! command-line argument. Its alphabet needs no quoting in any of the four.
//! Code that receives a [`ProfileName`] does not validate again.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The maximum length of a name, in bytes. A backend may have a lower limit, which it checks itself.
pub const MAX_LEN: usize = 251;

/// Names that `profile create` refuses: each could be mistaken for a user, a program or a directory.
const RESERVED: [&str; 5] = ["hermes", "test", "tmp", "root", "sudo"];

/// A valid profile name: `[a-z0-9][a-z0-9_-]*`, at most [`MAX_LEN`] bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProfileName(String);

impl ProfileName {
    /// The name of the root profile, whose home is the root home itself.
    pub const DEFAULT: &'static str = "default";

    /// The root profile.
    pub fn default_profile() -> Self {
        Self(Self::DEFAULT.to_owned())
    }

    /// Whether this is the root profile.
    pub fn is_default(&self) -> bool {
        self.0 == Self::DEFAULT
    }

    /// The order in lists: `default` first, then by name.
    pub fn cmp_for_listing(&self, other: &Self) -> Ordering {
        (!self.is_default(), self).cmp(&(!other.is_default(), other))
    }

    /// Whether `profile create` refuses the name. It refuses `default` because that already exists.
    pub fn is_reserved(&self) -> bool {
        RESERVED.contains(&self.as_str())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ProfileName {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        // An invalid name may be the text of any file, so messages show only its beginning.
        let shown = || {
            let mut length = 0;
            let too_many = |(_, c): &(usize, char)| {
                length += c.escape_debug().len();
                length > MAX_LEN + 1
            };
            match name.char_indices().find(too_many) {
                Some((end, _)) => format!("{}…", &name[..end]),
                None => name.to_owned(),
            }
        };
        let refused = |reason| NameError { name: shown(), reason };
        let first = name.chars().next().ok_or(refused(Reason::Empty))?;
        if name == "." || name == ".." {
            return Err(refused(Reason::Dots));
        }
        match first {
            '-' => return Err(refused(Reason::LeadingDash)),
            '_' => return Err(refused(Reason::LeadingUnderscore)),
            _ => {}
        }
        if let Some(reason) = name.chars().find_map(broken_rule) {
            return Err(refused(reason));
        }
        if name.len() > MAX_LEN {
            return Err(refused(Reason::TooLong));
        }
        Ok(Self(name.to_owned()))
    }
}

fn broken_rule(c: char) -> Option<Reason> {
    match c {
        'a'..='z' | '0'..='9' | '_' | '-' => None,
        '/' => Some(Reason::Slash),
        'A'..='Z' => Some(Reason::Uppercase),
        c if c.is_control() => Some(Reason::Control),
        c if c.is_whitespace() => Some(Reason::WhiteSpace),
        c if !c.is_ascii() => Some(Reason::NonAscii),
        c => Some(Reason::Character(c)),
    }
}

impl TryFrom<String> for ProfileName {
    type Error = NameError;

    fn try_from(name: String) -> Result<Self, NameError> {
        name.parse()
    }
}

impl From<ProfileName> for String {
    fn from(name: ProfileName) -> Self {
        name.0
    }
}

impl fmt::Display for ProfileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A name that is not a profile name, and why.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("invalid profile name `{}`: {reason}", .name.escape_debug())]
pub struct NameError {
    name: String,
    /// The first rule that the name breaks.
    pub reason: Reason,
}

/// The rule that a name breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Reason {
    /// No character.
    #[error("it is empty")]
    Empty,
    /// `.` or `..`.
    #[error("`.` and `..` are directories, not names")]
    Dots,
    /// A leading `-`.
    #[error("it must not begin with `-`, which programs read as an option")]
    LeadingDash,
    /// A leading `_`.
    #[error("it must begin with a lower-case letter or a digit, not `_`")]
    LeadingUnderscore,
    /// A `/`.
    #[error("it must not contain `/`")]
    Slash,
    /// A letter from `A` to `Z`.
    #[error("it must be lower case")]
    Uppercase,
    /// A control character.
    #[error("it must not contain control characters")]
    Control,
    /// White space.
    #[error("it must not contain white space")]
    WhiteSpace,
    /// A character outside ASCII.
    #[error("it must be plain ASCII")]
    NonAscii,
    /// Any other character.
    #[error("it must not contain `{0}`: only a-z, 0-9, `_` and `-` are allowed")]
    Character(char),
    /// More than [`MAX_LEN`] bytes.
    #[error("it is longer than {MAX_LEN} bytes")]
    TooLong,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn parsing_and_deserializing_report_the_broken_rule() {
        let long = "a".repeat(MAX_LEN + 1);
        let cases = [
            ("", Reason::Empty),
            (".", Reason::Dots),
            ("..", Reason::Dots),
            ("-a", Reason::LeadingDash),
            ("_a", Reason::LeadingUnderscore),
            ("a/b", Reason::Slash),
            ("../a", Reason::Character('.')),
            ("aB", Reason::Uppercase),
            ("a b", Reason::WhiteSpace),
            ("a\u{a0}b", Reason::WhiteSpace),
            ("a\nb", Reason::Control),
            ("a\0b", Reason::Control),
            ("é", Reason::NonAscii),
            ("a.b", Reason::Character('.')),
            ("a%b", Reason::Character('%')),
            (long.as_str(), Reason::TooLong),
        ];
        for (name, reason) in cases {
            let error = name.parse::<ProfileName>().unwrap_err();
            assert_eq!(error.reason, reason, "{name:?}");
            let json = serde_json::to_string(name).unwrap();
            let error = serde_json::from_str::<ProfileName>(&json).unwrap_err();
            assert!(error.to_string().contains(&reason.to_string()), "{error}");
        }
    }

    #[test]
    fn messages_escape_control_characters() {
        let error = "a\u{1b}[31m".parse::<ProfileName>().unwrap_err();
        assert_eq!(
            error.to_string(),
            r"invalid profile name `a\u{1b}[31m`: it must not contain control characters"
        );
    }

    #[test]
    fn messages_truncate_long_names() {
        // The escape of an invisible character takes eight visible ones.
        for (character, shown) in [("[", "["), ("\u{feff}", "\\u{feff}")] {
            let error = character.repeat(1_000_000).parse::<ProfileName>().unwrap_err().to_string();
            let most = shown.repeat((MAX_LEN + 1) / shown.len());
            assert!(error.contains(&format!("`{most}…`")), "{error}");
            assert!(error.len() < 400, "{}", error.len());
        }
    }

    #[test]
    fn the_longest_name_is_allowed() {
        for name in ["a", "0", "a-b_c", "default", &"z".repeat(MAX_LEN)] {
            assert_eq!(name.parse::<ProfileName>().unwrap().as_str(), name);
        }
    }

    proptest! {
        #[test]
        fn exactly_the_alphabet_is_accepted(name in "\\PC{0,8}|[a-z0-9_-]{0,8}|[a-z0-9][a-z0-9_-]{0,255}") {
            let valid = !name.is_empty()
                && name.len() <= MAX_LEN
                && name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'))
                && !name.starts_with(['-', '_']);
            prop_assert_eq!(name.parse::<ProfileName>().is_ok(), valid);
        }
    }
}
