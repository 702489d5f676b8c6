//! The parsers of options' values: numbers and variables.

use std::ops::RangeInclusive;

/// Parses a number in `range`.
pub(super) fn number<T: TryFrom<u64>>(text: &str, range: RangeInclusive<u64>) -> Result<T, String> {
    let number = text.parse().ok().filter(|number| range.contains(number));
    let number = number.and_then(|number| T::try_from(number).ok());
    number.ok_or_else(|| match range.into_inner() {
        (first, u64::MAX) => format!("not a whole number from {first} up"),
        (first, last) => format!("not a whole number from {first} to {last}"),
    })
}

/// Parses the port of a gateway.
pub(super) fn port(text: &str) -> Result<u16, String> {
    number(text, 1..=65_535)
}

/// Parses `NAME=VALUE`.
pub(super) fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("not of the form NAME=VALUE")?;
    hermes_core::shell::check_variable(name, value).map_err(|error| error.to_string())?;
    Ok((name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_a_name_and_a_value() {
        assert_eq!(variable("A=b=c").unwrap(), ("A".to_owned(), "b=c".to_owned()));
        for wrong in ["A", "=b", "a b=c", "1A=b", "HERMES_HOME=/x"] {
            assert!(variable(wrong).is_err(), "{wrong}");
        }
    }
}
