//! Text that passes through sh(1) unchanged: quoted values, and the variables that a script can export.
//!
//! Rendered service scripts and the commands that messages suggest both quote with [`quote`].

use thiserror::Error;

use crate::home::env;

/// Whether a gateway's environment may hold `name=value`.
pub fn check_variable(name: &str, value: &str) -> Result<(), BadVariable> {
    let refused = |reason| BadVariable { name: name.to_owned(), reason };
    let mut bytes = name.bytes();
    let first = bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    if !first || !bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Err(refused("it is not a shell identifier"));
    }
    if env::DECIDING.contains(&name) {
        return Err(refused("it is the supervision tree's alone"));
    }
    if value.contains('\0') {
        return Err(refused("its value contains a NUL byte"));
    }
    Ok(())
}

/// Quotes `value` for sh(1): in single quotes nothing has a meaning but the closing quote.
pub fn quote(value: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/._-+:@%,".contains(&b);
    if !value.is_empty() && value.bytes().all(plain) {
        return value.to_owned();
    }
    format!("'{}'", value.replace('\'', r"'\''"))
}

/// A variable that a gateway's environment can't hold.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the variable `{}` can't be passed to a gateway: {reason}", .name.escape_debug())]
pub struct BadVariable {
    name: String,
    reason: &'static str,
}
