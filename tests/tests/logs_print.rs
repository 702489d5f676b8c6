//! The output of `hermes gateway logs`: which lines, their order, and escapes on a terminal.

use std::fs;

use hermes_tests::{Hermes, TestEnv, is_one_clear_error};
use serde_json::{Value, json};

/// A test environment with profiles that have these logs.
fn env(logs: &[(&str, &[u8])]) -> TestEnv {
    let env = TestEnv::new();
    env.make_directory(&env.home().join("logs"));
    env.make_directory(&env.home().join("logs/gateways"));
    for (name, said) in logs {
        env.profile_for_later(name, "true", "stopped\n");
        let directory = env.home().join("logs/gateways").join(name);
        env.make_directory(&directory);
        fs::write(directory.join("current"), said).expect("a file");
        env.give(&directory.join("current"));
    }
    env
}

fn logs(env: &TestEnv, args: &[&str]) -> Hermes {
    let line = ["gateway", "logs"].iter().chain(args).copied();
    env.hermes(line).env_remove("HERMES_SCANDIR").env("TZ", "UTC")
}

/// The output on a terminal, without the carriage returns that the terminal adds.
fn on_terminal(command: Hermes) -> String {
    let (stdout, stderr, code) = command.on_terminal().ended();
    assert_eq!((stderr.as_str(), code), ("", Some(0)));
    stdout.replace("\r\n", "\n")
}

const A: &[u8] = b"\
    2026-01-02 03:04:05.000000000  one\n\
    2026-01-02 03:04:07.000000000  four\n\
    2026-01-02 03:04:08.000000000  five\n";
const LONG: &[u8] = b"\
    2026-01-02 03:04:06.000000000  two\n\
    continued\n\
    2026-01-02 03:04:06.000000001  three\n";

#[test]
fn several_logs_are_merged_by_time() {
    let env = env(&[("a", A), ("longer", LONG)]);
    let expected = "\
        a      | 2026-01-02 03:04:05.000 +00:00  one\n\
        longer | 2026-01-02 03:04:06.000 +00:00  two\n\
        longer | continued\n\
        longer | 2026-01-02 03:04:06.000 +00:00  three\n\
        a      | 2026-01-02 03:04:07.000 +00:00  four\n\
        a      | 2026-01-02 03:04:08.000 +00:00  five\n";
    let outcome = logs(&env, &["a", "longer", "a"]).ok();
    assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), (expected, ""));
    let outcome = logs(&env, &["a", "longer", "-n", "1"]).ok();
    let last = "\
        longer | 2026-01-02 03:04:06.000 +00:00  three\n\
        a      | 2026-01-02 03:04:08.000 +00:00  five\n";
    assert_eq!(outcome.stdout, last);
    assert!(logs(&env, &["a"]).ok().stdout.starts_with("2026-"));
    // A profile without lines does not appear.
    let outcome = logs(&env, &["--all"]).ok();
    assert_eq!(outcome.stdout, expected);
    assert_eq!(outcome.stderr, "the gateway of `default` has not logged anything yet\n");
    is_one_clear_error(&logs(&env, &["default"]).fails_with(1));
    is_one_clear_error(&logs(&env, &["a", "nope"]).fails_with(4));
    is_one_clear_error(&logs(&env, &["a", "nope", "-f"]).fails_with(4));
    let following = logs(&env, &["a", "longer", "-f"]).stream();
    following.await_lines(6);
    assert_eq!(following.stdout(), expected);
}

#[test]
fn profiles_have_colours_on_a_terminal() {
    let env = env(&[("a", A), ("longer", LONG)]);
    let coloured = on_terminal(logs(&env, &["a", "longer"]).env("TERM", "xterm"));
    let first = "\u{1b}[36ma      | \u{1b}[0m2026-01-02 03:04:05.000 +00:00  one\n";
    assert!(coloured.starts_with(first), "{coloured:?}");
    assert!(coloured.contains("\u{1b}[33mlonger | \u{1b}[0m"), "{coloured:?}");
    let plain = logs(&env, &["a", "longer"]).ok().stdout;
    let no_colour = logs(&env, &["a", "longer"]).env("TERM", "xterm").env("NO_COLOR", "1");
    assert_eq!(on_terminal(no_colour), plain);
}

#[test]
fn control_characters_are_escaped_on_a_terminal() {
    for (said, shown) in [
        ("tab\tquote\"back\\slash é 日本".as_bytes(), "tab\tquote\"back\\slash é 日本"),
        (b"colour \x1b[31mred", r"colour \u{1b}[31mred"),
        (b"title \x1b]0;x\x07", r"title \u{1b}]0;x\u{7}"),
        (b"over\rwrite \x08 \x00 \x7f", r"over\rwrite \u{8} \u{0} \u{7f}"),
        ("C1 \u{9b}31m \u{85}".as_bytes(), r"C1 \u{9b}31m \u{85}"),
        (
            "bidi \u{202a}\u{202e}\u{2066}\u{2069}".as_bytes(),
            r"bidi \u{202a}\u{202e}\u{2066}\u{2069}",
        ),
        ("marks \u{200e}\u{200f}\u{61c}".as_bytes(), r"marks \u{200e}\u{200f}\u{61c}"),
        ("no width \u{200b}\u{feff}".as_bytes(), r"no width \u{200b}\u{feff}"),
        ("ends \u{2028}\u{2029}".as_bytes(), r"ends \u{2028}\u{2029}"),
        (b"no UTF-8 \xff\x9b31m\xe2\x80", r"no UTF-8 \xff\x9b31m\xe2\x80"),
    ] {
        let line = [said, b"\n"].concat();
        let env = env(&[("a", &line)]);
        assert_eq!(on_terminal(logs(&env, &["a"])), format!("{shown}\n"));
        // The terminal of the test adds a carriage return, and the replacement is the test's own.
        let raw = logs(&env, &["a", "--raw"]).on_terminal();
        raw.await_lines(1);
        assert_eq!(raw.bytes(), [said, b"\r\n"].concat());
        // Without a terminal nothing is escaped.
        let plain = logs(&env, &["a"]).stream();
        plain.await_lines(1);
        assert_eq!(plain.bytes(), line);
        let following = logs(&env, &["a", "-f"]).on_terminal();
        following.await_lines(1);
        assert_eq!(following.stdout(), format!("{shown}\r\n"));
        // JSON is never escaped for terminals, and has the original text.
        let json = logs(&env, &["a", "--json"]).ok();
        let plain = |c: char| !c.is_control() && !"\u{202e}\u{200b}\u{2028}".contains(c);
        assert!(json.stdout.trim_end().chars().all(plain), "{json}");
        assert_eq!(json.json()["line"], String::from_utf8_lossy(said).as_ref());
    }
}

#[test]
fn json_is_an_object_for_each_line_with_its_time() {
    let env = env(&[("a", A), ("b", b"no time\n2026-01-02 03:04:05.000000001  time\nhalf")]);
    let objects = |args: &[&str]| -> Vec<Value> {
        let outcome = logs(&env, args).ok();
        outcome.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    assert_eq!(
        objects(&["b", "--json"]),
        [
            json!({ "profile": "b", "time": null, "line": "no time" }),
            json!({ "profile": "b", "time": "2026-01-02T03:04:05.000000001Z", "line": "time" }),
            json!({ "profile": "b", "time": null, "line": "half", "cut": true }),
        ]
    );
    let profiles: Vec<_> = objects(&["--all", "--json", "-n", "2"]);
    let profiles: Vec<_> =
        profiles.iter().map(|object| object["profile"].as_str().unwrap()).collect();
    assert_eq!(profiles, ["b", "b", "a", "a"]);
    let outcome = logs(&env, &["a", "--json", "-n", "1"]).env("TZ", "Asia/Tokyo").json();
    assert_eq!(outcome["time"], "2026-01-01T18:04:08Z");
}

#[test]
fn people_get_the_time_of_their_zone_with_its_offset() {
    let stamped = b"@400000006b0bd69a144f75e5 s6\n2026-07-01 12:00:00.999999999  the agent's\n";
    let env = env(&[("a", stamped)]);
    for (zone, times) in [
        ("UTC", ["2026-11-29 07:38:29.340 +00:00", "2026-07-01 12:00:00.999 +00:00"]),
        ("Europe/Berlin", ["2026-11-29 08:38:29.340 +01:00", "2026-07-01 12:00:00.999 +02:00"]),
        ("America/St_Johns", ["2026-11-29 04:08:29.340 -03:30", "2026-07-01 12:00:00.999 -02:30"]),
    ] {
        let [s6, agent] = times;
        let expected = format!("{s6}  s6\n{agent}  the agent's\n");
        assert_eq!(logs(&env, &["a"]).env("TZ", zone).ok().stdout, expected);
        // What is printed is accepted.
        let since = logs(&env, &["a", "--since", s6, "--grep", "^s6$", "-n", "1"]).env("TZ", zone);
        assert_eq!(since.ok().stdout, format!("{s6}  s6\n"));
        let json = logs(&env, &["a", "--json", "--grep", "s6"]).env("TZ", zone).json();
        assert_eq!(json["time"], "2026-11-29T07:38:29.340751845Z");
    }
}
