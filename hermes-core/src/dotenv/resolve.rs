//! Expands `${NAME}` and `${NAME:-default}`, like python-dotenv's `variables.py` with `override=True`.
//!
//! Expands in single quotes too, but not in expanded text. A default replaces an unset variable, not an
//! empty one.

use std::collections::HashMap;

use super::Binding;

/// The variables of `bindings`, each once: at its first place, with its last value. A variable that is not
/// set above a line is looked up in `outside`. A name without `=` has the value `None`, and hides the
/// variable of `outside`.
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
        let value = value.as_ref().map(|value| expand(value, lookup));
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

fn expand(value: &str, lookup: impl Fn(&str) -> Option<String>) -> String {
    let mut expanded = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(at) = rest.find("${") {
        expanded.push_str(&rest[..at]);
        rest = &rest[at..];
        match variable(&rest[2..]) {
            Some((name, default, after)) => {
                let default = || default.unwrap_or_default().to_owned();
                expanded.push_str(&lookup(name).unwrap_or_else(default));
                rest = after;
            }
            None => {
                expanded.push('$');
                rest = &rest[1..];
            }
        }
    }
    expanded.push_str(rest);
    expanded
}

/// The name, the default, and the text after `}`.
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
