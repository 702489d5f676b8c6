//! Expands `${NAME}` and `${NAME:-default}`, like python-dotenv's `variables.py` with `override=True`.
//!
//! Expands in single quotes too, but not in expanded text. A default replaces an unset variable, not an
//! empty one.
//!
//! Unlike python-dotenv, limits the result: each line may double the value of the one above, so a few lines
//! could fill the memory.

use std::collections::HashMap;

use thiserror::Error;

use super::{Binding, MAX_SIZE};

/// The expansion of a variable makes all values together longer than [`MAX_SIZE`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the expansion of `{name}` in line {line} exceeds {} KiB", MAX_SIZE / 1024)]
pub struct ExpansionTooLarge {
    /// The variable.
    pub name: String,
    /// Its line, from 1.
    pub line: usize,
}

/// The variables of `bindings`, each once: at its first place, with its last value. A variable that is not
/// set above a line is looked up in `outside`. A name without `=` has the value `None`, and hides the
/// variable of `outside`. Fails as soon as the values are longer than [`MAX_SIZE`] together.
pub fn resolve<'a>(
    bindings: impl IntoIterator<Item = &'a Binding>,
    outside: impl Fn(&str) -> Option<String>,
) -> Result<Vec<(String, Option<String>)>, ExpansionTooLarge> {
    let mut room = MAX_SIZE;
    let mut resolved: Vec<(String, Option<String>)> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for Binding { name, value, line, .. } in bindings {
        let lookup = |name: &str| match places.get(name) {
            Some(place) => Some(resolved[*place].1.clone().unwrap_or_default()),
            None => outside(name),
        };
        let value = match value {
            Some(value) => Some(
                expand(value, lookup, &mut room)
                    .ok_or_else(|| ExpansionTooLarge { name: name.clone(), line: *line })?,
            ),
            None => None,
        };
        match places.get(name.as_str()) {
            Some(place) => resolved[*place].1 = value,
            None => {
                places.insert(name, resolved.len());
                resolved.push((name.clone(), value));
            }
        }
    }
    Ok(resolved)
}

/// The expanded value, whose length is subtracted from `room`; `None` if it is longer.
fn expand(
    value: &str,
    lookup: impl Fn(&str) -> Option<String>,
    room: &mut usize,
) -> Option<String> {
    let mut expanded = String::with_capacity(value.len());
    let mut push = |text: &str| {
        *room = room.checked_sub(text.len())?;
        expanded.push_str(text);
        Some(())
    };
    let mut rest = value;
    while let Some(at) = rest.find("${") {
        push(&rest[..at])?;
        rest = &rest[at..];
        match variable(&rest[2..]) {
            Some((name, default, after)) => {
                let default = || default.unwrap_or_default().to_owned();
                push(&lookup(name).unwrap_or_else(default))?;
                rest = after;
            }
            None => {
                push("$")?;
                rest = &rest[1..];
            }
        }
    }
    push(rest)?;
    Some(expanded)
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
