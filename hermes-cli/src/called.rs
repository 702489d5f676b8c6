//! The name that this program was called by: `hermes`, or `hermesctl`, which no other program has.

use std::borrow::Cow;
use std::env;
use std::ffi::OsStr;
use std::path::Path;

const HERMES: &str = "hermes";
const HERMESCTL: &str = "hermesctl";

/// Whether it was called `hermesctl`. Under that name it runs no command of the Python agent that is not asked for.
pub(crate) fn is_hermesctl() -> bool {
    let called = env::args_os().next();
    called.is_some_and(|path| Path::new(&path).file_name() == Some(OsStr::new(HERMESCTL)))
}

/// The name.
pub(crate) fn name() -> &'static str {
    if is_hermesctl() { HERMESCTL } else { HERMES }
}

/// `text` with its commands under the name that this program was called by.
pub(crate) fn named(text: &str) -> Cow<'_, str> {
    if is_hermesctl() { renamed(text) } else { Cow::Borrowed(text) }
}

/// A command stands in backticks, or is all of the text.
fn renamed(text: &str) -> Cow<'_, str> {
    let (before, after) = (format!("`{HERMES} "), format!("`{HERMESCTL} "));
    match text.strip_prefix(HERMES).filter(|rest| rest.starts_with(' ')) {
        Some(rest) => Cow::Owned(format!("{HERMESCTL}{}", rest.replace(&before, &after))),
        None if text.contains(&before) => Cow::Owned(text.replace(&before, &after)),
        None => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_alone_are_renamed() {
        for (text, expected) in [
            (
                "`hermes up` or `hermes boot`; see `hermes` and hermes up",
                "`hermesctl up` or `hermesctl boot`; see `hermes` and hermes up",
            ),
            ("hermes gateway start a", "hermesctl gateway start a"),
            ("hermes-agent, `hermes-agent x`", "hermes-agent, `hermes-agent x`"),
            ("su -c 'hermes up'", "su -c 'hermes up'"),
        ] {
            assert_eq!(renamed(text), expected);
        }
    }
}
