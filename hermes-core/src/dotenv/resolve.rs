//! Fills in `${NAME}` and `${NAME:-default}`, as python-dotenv's `variables.py` and `override=True` do.
//!
//! It happens in single quotes, too, and what was filled in is not looked at again. A default is for
//! a variable that is not there, not for an empty one.

use std::collections::HashMap;

use super::Binding;

/// The variables of `bindings`, each once: where it stood first, with the value it had last. What is
/// not set above a line is looked up in `outside`. A value is `None` for a name without `=`, which
/// hides even a variable outside.
pub fn resolve<'a>(
    bindings: impl IntoIterator<Item = &'a Binding>,
    outside: impl Fn(&str) -> Option<String>,
) -> Vec<(String, Option<String>)> {
    let mut resolved: Vec<(String, Option<String>)> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for Binding { name, value, .. } in bindings {
        let lookup = |name: &str| match places.get(name) {
            Some(place) => Some(resolved[*place].1.clone().unwrap_or_default()),
            None => outside(name),
        };
        let value = value.as_ref().map(|value| fill(value, lookup));
        match places.get(name.as_str()) {
            Some(place) => resolved[*place].1 = value,
            None => {
                places.insert(name, resolved.len());
                resolved.push((name.clone(), value));
            }
        }
    }
    resolved
}

fn fill(value: &str, lookup: impl Fn(&str) -> Option<String>) -> String {
    let mut filled = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(at) = rest.find("${") {
        filled.push_str(&rest[..at]);
        rest = &rest[at..];
        match variable(&rest[2..]) {
            Some((name, default, behind)) => {
                let default = || default.unwrap_or_default().to_owned();
                filled.push_str(&lookup(name).unwrap_or_else(default));
                rest = behind;
            }
            None => {
                filled.push('$');
                rest = &rest[1..];
            }
        }
    }
    filled.push_str(rest);
    filled
}

/// Name, default, and what is behind `}`.
fn variable(text: &str) -> Option<(&str, Option<&str>, &str)> {
    let (name, rest) = text.split_at(text.find(['}', ':'])?);
    match rest.strip_prefix(":-") {
        Some(rest) => {
            let (default, rest) = rest.split_once('}')?;
            Some((name, Some(default), rest))
        }
        None => Some((name, None, rest.strip_prefix('}')?)),
    }
}
