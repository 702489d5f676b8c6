//! Tests of the command line's definition.

use clap::CommandFactory;

use super::*;

#[test]
fn the_definition_is_sound() {
    Arguments::command().debug_assert();
}

#[test]
fn the_profile_may_stand_anywhere() {
    for line in [
        "hermes -p a gateway status",
        "hermes gateway -p a status",
        "hermes gateway status -p a",
        "hermes gateway status --profile=a",
    ] {
        let arguments = Arguments::try_parse_from(line.split(' ')).unwrap();
        assert_eq!(arguments.global.profile.unwrap().as_str(), "a", "{line}");
    }
}

#[test]
fn a_wrong_number_is_refused_with_its_range() {
    for (line, expected) in [
        ("hermes profile port a abc", "not a whole number from 1 to 65535"),
        ("hermes profile port a 0", "not a whole number from 1 to 65535"),
        ("hermes profile port a -1", "not a whole number from 1 to 65535"),
        ("hermes profile create a --port 65536", "not a whole number from 1 to 65535"),
        ("hermes dashboard --port 8e3", "not a whole number from 0 to 65535"),
        ("hermes boot --jobs 0", "not a whole number from 1 up"),
        ("hermes boot --jobs -4", "not a whole number from 1 up"),
        ("hermes --timeout 1.5 boot", "not a whole number from 1 to 86400"),
        ("hermes gateway logs a -n all", "not a whole number from 0 up"),
        ("hermes gateway logs a -n 99999999999999999999", "not a whole number from 0 up"),
    ] {
        let error = Arguments::try_parse_from(line.split(' ')).unwrap_err().to_string();
        assert!(error.contains(expected), "{line}: {error}");
    }
    let lines = Arguments::try_parse_from(["hermes", "gateway", "logs", "a", "-n", "0"]);
    assert!(lines.is_ok());
}
