//! [`with_port`]: examples, and a property test that only the port changes.

use proptest::prelude::*;

use super::super::yaml::{self, Node};
use super::*;

/// The port that is written in the examples.
const PORT: u16 = 9000;

#[track_caller]
fn check(table: &[(&str, &str)]) {
    for (old, expected) in table {
        let new = with_port(old, PORT, Path::new("/x"));
        assert_eq!(new.as_deref().unwrap_or_else(|e| panic!("{old:?}: {e}")), *expected);
    }
}

#[test]
fn a_port_is_replaced() {
    check(&[
        ("gateway:\n  port: 1 # c\n", "gateway:\n  port: 9000 # c\n"),
        ("a: 1\r\ngateway:\r\n  port:   1\r\n", "a: 1\r\ngateway:\r\n  port:   9000\r\n"),
        ("gateway: {host: x, port: 1}", "gateway: {host: x, port: 9000}"),
        ("{\"gateway\":{\"port\":1}}", "{\"gateway\":{\"port\":9000}}"),
        ("\u{feff}gateway: {'port': 1}", "\u{feff}gateway: {'port': 9000}"),
        ("gateway: {port: &p 1}", "gateway: {port: &p 9000}"),
        ("p: &p 1\ngateway: {port: *p}", "p: &p 1\ngateway: {port: 9000}"),
        ("p: &p 1\ngateway:\n  port: *p # c", "p: &p 1\ngateway:\n  port: 9000 # c"),
        // An invalid port is replaced too.
        ("gateway: {port: \"8642\"}", "gateway: {port: 9000}"),
        ("gateway: {port: 0x21}", "gateway: {port: 9000}"),
        ("gateway: {port: ''}", "gateway: {port: 9000}"),
        ("gateway:\n  port: # c\n  host: h\n", "gateway:\n  port: 9000 # c\n  host: h\n"),
        ("gateway:\n  port:", "gateway:\n  port: 9000"),
        ("gateway: {port: , host: h}", "gateway: {port: 9000 , host: h}"),
        ("gateway:\n  port: ~\n", "gateway:\n  port: 9000\n"),
    ]);
}

#[test]
fn a_port_is_added() {
    check(&[
        ("gateway:\n  host: h\n", "gateway:\n  port: 9000\n  host: h\n"),
        (
            "gateway:  # c\n  # d\n    \n\n    host: h",
            "gateway:  # c\n    port: 9000\n  # d\n    \n\n    host: h",
        ),
        ("a: 1\r\ngateway:\r\n  host: h\r\n", "a: 1\r\ngateway:\r\n  port: 9000\r\n  host: h\r\n"),
        ("gateway: {host: h} # c", "gateway: {port: 9000, host: h} # c"),
        ("gateway: {\n  host: h,\n}\n", "gateway: {\n  port: 9000, host: h,\n}\n"),
        ("gateway: {\"host\": h}", "gateway: {port: 9000, \"host\": h}"),
        ("gateway: &g # c\n  host: h\n", "gateway: &g # c\n  port: 9000\n  host: h\n"),
        ("gateway: {} # c\n", "gateway: {port: 9000} # c\n"),
        ("gateway: { }", "gateway: {port: 9000 }"),
        ("gateway: null # c\n", "gateway: {port: 9000} # c\n"),
        ("gateway: ~", "gateway: {port: 9000}"),
        ("gateway:", "gateway:\n  port: 9000"),
        ("gateway: # c\n\nb: 1\n", "gateway: # c\n  port: 9000\n\nb: 1\n"),
        ("{a: 1, gateway: }", "{a: 1, gateway: {port: 9000} }"),
    ]);
}

#[test]
fn a_gateway_is_added() {
    check(&[
        ("", "gateway:\n  port: 9000\n"),
        ("\u{feff}", "\u{feff}gateway:\n  port: 9000\n"),
        ("# c", "# c\ngateway:\n  port: 9000"),
        ("a: 1\n", "a: 1\ngateway:\n  port: 9000\n"),
        ("a: 1", "a: 1\ngateway:\n  port: 9000"),
        ("a: 1\r\n", "a: 1\r\ngateway:\r\n  port: 9000\r\n"),
        ("  a: 1\n  b: 2\n", "  a: 1\n  b: 2\n  gateway:\n    port: 9000\n"),
        ("a: |\n  text", "gateway:\n  port: 9000\na: |\n  text"),
        ("\u{feff}a: |\n  text", "\u{feff}gateway:\n  port: 9000\na: |\n  text"),
        ("a: |+\n  text\n\n", "a: |+\n  text\n\ngateway:\n  port: 9000\n"),
        ("---\na: 1\n...\n", "---\ngateway:\n  port: 9000\na: 1\n...\n"),
        ("{a: 1}", "{gateway: {port: 9000}, a: 1}"),
        ("{\n  a: 1\n}\n", "{\n  gateway: {port: 9000}, a: 1\n}\n"),
        ("{}", "{gateway: {port: 9000}}"),
        ("a: &a {<<: {b: 1}}\nc: *a\n", "a: &a {<<: {b: 1}}\nc: *a\ngateway:\n  port: 9000\n"),
    ]);
}

#[test]
fn a_risky_change_is_refused() {
    for old in [
        "g: &g {host: h}\ngateway: *g\n",
        "gateway: &g {host: h}\nother: *g\n",
        "gateway: {port: &p 1}\nother: *p\n",
        "gateway: {port: [1]}\n",
        "gateway: {port: !!str 1}\n",
        "gateway:\n  port: |\n    1\n",
        "~\n",
        "gateway: {port: 1, port: 2}\n",
        "a: !!bool maybe\n",
    ] {
        let error = with_port(old, PORT, Path::new("/x")).map_err(|error| error.to_string());
        let expected = "failed to change the port in `/x` and nothing else: \
            set `gateway.port: 9000` there by hand";
        assert_eq!(error.unwrap_err(), expected, "{old:?}");
    }
}

#[test]
fn the_agents_keys_get_the_port_and_every_other_byte_stays() {
    for (old, new) in [
        ("a: 1\n", "a: 1\n"),
        ("API_SERVER_PORT: '8650' # x\n", "API_SERVER_PORT: 9000 # x\n"),
        ("API_SERVER_PORT: 1\r\nAPI_SERVER_PORT: 2", "API_SERVER_PORT: 1\r\nAPI_SERVER_PORT: 9000"),
        ("API_SERVER_PORT:\n", "API_SERVER_PORT:\n"),
        ("API_SERVER_PORT: 9000", "API_SERVER_PORT: 9000"),
        (
            "platforms: {api_server: {extra: {port: 1, host: h}}}\ngateway:\n  platforms:\n    api_server:\n      \
             extra:\n        port: nothing  # 1\n",
            "platforms: {api_server: {extra: {port: 9000, host: h}}}\ngateway:\n  platforms:\n    api_server:\n      \
             extra:\n        port: 9000  # 1\n",
        ),
        ("p: &p 1\nAPI_SERVER_PORT: *p\n", "p: &p 1\nAPI_SERVER_PORT: 9000\n"),
        ("gateway: {env: {API_SERVER_PORT: \"1\"}}", "gateway: {env: {API_SERVER_PORT: '9000'}}"),
        (
            "gateway: {env: {API_SERVER_PORT: '{port}'}}",
            "gateway: {env: {API_SERVER_PORT: '{port}'}}",
        ),
    ] {
        let found = with_agents_port(old, PORT, Path::new("/x"));
        assert_eq!(found.as_deref().unwrap(), new, "{old:?}");
    }
    let error = with_agents_port("API_SERVER_PORT: >\n  1\n", PORT, Path::new("/x")).unwrap_err();
    let expected = "failed to change the port in `/x` and nothing else: set `API_SERVER_PORT: 9000` there by hand";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn other_invalid_settings_are_reported() {
    let error = |old: &str| with_port(old, PORT, Path::new("/x")).unwrap_err().to_string();
    for old in ["gateway: {port: 1, host: 1}", "gateway: {port: 1, env: []}", "gateway: [", "- a"] {
        assert_eq!(error(old), message(old), "{old:?}");
    }
    let both = "gateway: {port: x, host: 1}";
    let expected = "invalid `gateway.host` in `/x` line 1 column 26: \
        must be a string, but YAML reads it as a number: put it in quotes";
    assert_eq!(error(both), expected);
}

/// Values of other keys, for a key at the left margin.
const VALUES: &[&str] = &[
    "",
    " ~ # port: 1",
    " 017",
    " on",
    " 'it''s'",
    " \"a \\\"b\\\" {port}\"",
    " [1, {gateway: {port: 2}}, [x,\n  y]]",
    " {port: 3, <<: {a: b}}",
    " two words\n  and more",
    " |\n  gateway:\n    port: 4\n",
    " |+\n  kept\n\n",
    " >-\n  folded\n\n  text",
    "\n  gateway: x\n  port: 5",
    "\n- port: 6\n- - a\n  - ü",
    " !local {x: 1}",
    " !!str 1",
    "\n\n# comment\n\n  x: 1\n  # comment",
];

/// Lines below `gateway:`.
const LINES: &[&str] = &[
    "host: h",
    "# port: 1",
    "'port': 1   # port",
    "env: {A: 'port: 2'}",
    "",
    "multiplex: {port: 2}",
    "command:\n  - a\n  - '{port}'",
    "other: |\n    port: 3",
];

/// `gateway` in a block, in braces, without a value, or not at all.
fn gateway() -> impl Strategy<Value = String> {
    let lines = prop::sample::subsequence(LINES, 0..LINES.len());
    let block =
        (lines, prop::sample::select(vec!["  ", "    ", " "])).prop_map(|(lines, indent)| {
            let lines = lines.join("\n");
            let lines = lines.lines().map(|line| format!("\n{indent}{line}"));
            format!("gateway: # ours{}", lines.collect::<String>())
        });
    let other = prop::sample::select(vec![
        "",
        "# gateway: {port: 1}",
        "gateway:",
        "'gateway': {}",
        "gateway: ~   # later",
        "gateway: {port: 8642, host: h}",
        "gateway: {host: h, env: {A: b}} # c",
        "\"gateway\": {\n  host: h, # c\n  port:\n    8642\n  }",
        "gateway: &g\n  &k port: &v 8642",
    ]);
    prop_oneof![block, other.prop_map(str::to_owned)]
}

/// A document with other keys before and after `gateway`.
fn document() -> impl Strategy<Value = String> {
    let values = || prop::collection::vec(prop::sample::select(VALUES), 0..5);
    (values(), gateway(), values(), any::<[bool; 4]>()).prop_map(|(before, gateway, after, odd)| {
        let [windows, mark, start, no_end] = odd;
        let entry = |(n, value): (usize, &&str)| format!("key {n}:{value}");
        let mut parts: Vec<_> = before.iter().chain(&after).enumerate().map(entry).collect();
        parts.insert(before.len(), gateway);
        let text = format!("{}{}\n", if start { "---\n" } else { "" }, parts.join("\n"));
        let text = if no_end { text.trim_end_matches('\n') } else { &text };
        let text = if windows { text.replace('\n', "\r\n") } else { text.to_owned() };
        format!("{}{text}", if mark { "\u{feff}" } else { "" })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn only_the_port_changes(old in document()) {
        let path = Path::new("/x");
        let before = parse(&old, path).unwrap();
        let new = with_port(&old, PORT, path).unwrap();

        let mut after = parse(&new, path).unwrap();
        prop_assert_eq!(after.gateway.port, Some(PORT));
        after.gateway.port = before.gateway.port;
        prop_assert_eq!(after.gateway, before.gateway);

        // One place of the text changed: the old port, if there was one, and nothing else.
        let (removed, added) = difference(&old, &new);
        prop_assert!(matches!(removed, "" | "8642" | "1" | "~"), "{removed:?}");
        prop_assert!(added.contains("9000"));
        let words = added.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
        prop_assert!(words.clone().all(|word| ["gateway", "port", "9000"].contains(&word)));
        prop_assert_eq!(new.contains("\r\n"), old.contains("\r\n"));
        prop_assert_eq!(others(&new), others(&old));
        prop_assert_eq!(with_port(&new, PORT, path).unwrap(), new.clone());
        prop_assert_eq!(with_port(&new, 1, path).unwrap(), new.replacen("9000", "1", 1));
    }
}

/// Every entry but `gateway`.
fn others(text: &str) -> Vec<(Node, Node)> {
    let mut root = yaml::read(text, yaml::Scope::Whole, Path::new("/x")).unwrap();
    super::super::edit::forget_places(&mut root);
    let Node::Map(entries) = root else { return Vec::new() };
    let is_other =
        |(key, _): &(Node, Node)| !matches!(key, Node::Scalar(scalar) if scalar.text == "gateway");
    entries.into_iter().filter(is_other).collect()
}

/// The parts of `old` and `new` between their common prefix and suffix.
fn difference<'a>(old: &'a str, new: &'a str) -> (&'a str, &'a str) {
    let same = |(a, b): &(char, char)| a == b;
    let length = |chars: Vec<(char, char)>| chars.iter().map(|(c, _)| c.len_utf8()).sum::<usize>();
    let start = length(old.chars().zip(new.chars()).take_while(same).collect());
    let (old, new) = (&old[start..], &new[start..]);
    let end = length(old.chars().rev().zip(new.chars().rev()).take_while(same).collect());
    (&old[..old.len() - end], &new[..new.len() - end])
}
