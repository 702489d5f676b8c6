//! Quoting for sh(1), and a check of variables that a service script exports.
//!
//! Used for rendered service scripts and for commands in messages.

use std::collections::BTreeMap;
use std::path::Path;

use thiserror::Error;

use crate::home::env;

/// Checks that a profile may set the variable `name` to `value` for its gateway.
pub fn check_variable(name: &str, value: &str) -> Result<(), BadVariable> {
    let refused = |reason| BadVariable { name: name.to_owned(), reason };
    let mut bytes = name.bytes();
    let first = bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    if !first || !bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Err(refused("it is not a shell identifier"));
    }
    if env::DECIDING.contains(&name) {
        return Err(refused("it is reserved for the supervision tree"));
    }
    if value.contains('\0') {
        return Err(refused("its value contains a NUL byte"));
    }
    Ok(())
}

/// Lines of a script that export `variables`, each of them checked.
pub fn exports(variables: &BTreeMap<String, String>) -> Result<String, BadVariable> {
    let mut lines = String::new();
    for (name, value) in variables {
        check_variable(name, value)?;
        lines.push_str(&format!("export {name}={}\n", quote(value)));
    }
    Ok(lines)
}

/// Quotes `value` for sh(1) in single quotes, unless it only has harmless characters.
pub fn quote(value: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/._-+:@%,".contains(&b);
    if !value.is_empty() && value.bytes().all(plain) {
        return value.to_owned();
    }
    format!("'{}'", value.replace('\'', r"'\''"))
}

/// Quotes a path for sh(1). Bytes that are not UTF-8 are lost.
pub fn quote_path(path: &Path) -> String {
    quote(&path.to_string_lossy())
}

/// Why a profile may not set a variable for its gateway.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the variable `{}` can't be passed to a gateway: {reason}", .name.escape_debug())]
pub struct BadVariable {
    name: String,
    reason: &'static str,
}
