//! What is read without the library, and that the library reads the same.

use std::cell::Cell;
use std::path::Path;

use proptest::prelude::*;

use super::super::{MAX_NODES, Scope, by_library};
use super::*;

const SCOPES: [Scope; 4] = [Scope::Ours, Scope::Agent, Scope::Notify, Scope::Whole];

fn simple(text: &str, scope: Scope) -> Option<Node> {
    let budget = Cell::new(MAX_NODES);
    read(text, Classify { scope, budget: &budget })
}

/// Compares the results in every scope; whether one was read here.
fn compare(text: &str) -> Result<bool, TestCaseError> {
    let mut any = false;
    for scope in SCOPES {
        if let Some(node) = simple(text, scope) {
            any = true;
            let library = by_library(text, scope, Path::new("/x"));
            let library = library.map_err(|error| format!("{text:?}: {error}"));
            prop_assert_eq!(Ok(node), library, "{:?} {:?}", text, scope);
        }
    }
    Ok(any)
}

#[test]
fn usual_files_are_read_here() {
    for text in [
        "gateway:\n  port: 8643\n  command: [sleep, infinity]\n",
        "# Profile `a`. Hermes reads `gateway:`.\ngateway:\n  kind: built-in\n  port: 20000 # ours\n",
        "model: 'a: b'\nagent:\n  temperature: 0.7\n  tools:\n  - web\n  - \"x # y\"\n\n  limit: 1G\n",
        "_config_version: 33\nplatforms:\n  api_server:\n    enabled: true\n    extra:\n      port: 8651\n",
        "gateway:\n  host: 127.0.0.1\n  env:\n    A: 'on'\n    B: \"\"\n  command:\n    - sh\n    - -c\n    - exit 78\n",
        "empty:\nempty_too: # later\ngateway:\n  port: 1\n",
    ] {
        assert!(compare(text).unwrap(), "{text:?}");
    }
}

#[test]
fn other_forms_are_left_to_the_library() {
    for text in [
        "",
        "# nothing\n",
        "---\na: b\n",
        "gateway: {port: 1}\n",
        "gateway:\n  port:\n  kind: built-in\n",
        "a: &x b\nc: *x\n",
        "a: |\n  text\n",
        "a: b\n  c\n",
        "a: b\n  c: d\n",
        "a:\n    b: c\n  d: e\n",
        "a:\n  b\n",
        "a: b: c\n",
        "a: \"\\x41\"\n",
        "a: 'it''s'\n",
        "a: [b, {c: d}]\n",
        "a: [b\n  c]\n",
        "a:\tb\n",
        "a: \u{e9}\n",
        "a: b\r\n",
        "<<: {a: b}\n",
        "? a\n: b\n",
        "- a\n",
        "  a: b\n",
        "gateway:\n  port: 0x10\n",
        "gateway:\n  port: 08643\n",
        "gateway:\n  port: 1e3\n",
        "gateway:\n  port: +1\n",
        "null: a\n",
        "a: 'b' c\n",
        "a: [b] c\n",
        "a: 'b'# c\n",
    ] {
        assert_eq!(simple(text, Scope::Whole), None, "{text:?}");
    }
}

/// Pieces of lines, of which most texts are not YAML.
fn line() -> impl Strategy<Value = String> {
    let indent = prop::sample::select(vec!["", "", "  ", "  ", "    ", " ", "      "]);
    let start = prop::sample::select(vec![
        "gateway:",
        "port:",
        "env:",
        "command:",
        "platforms:",
        "API_SERVER_PORT:",
        "a:",
        "b-c:",
        "- ",
        "- ",
        "a/b.c:",
        "# ",
        "notify:",
        "true:",
        "1:",
        "a",
        "-",
        "key :",
        "<<:",
        "'q':",
        "defaults:",
        "---",
        "...",
        "",
    ]);
    let value = prop_oneof![
        prop::sample::select(vec![
            "",
            "",
            " ",
            " x",
            " 8643",
            " 08",
            " 0",
            " -1",
            " 1.5",
            " 1.",
            " 1.2.3",
            " 1e5",
            " 0x1f",
            " 0o7",
            " 5G",
            " 1_0",
            " null",
            " ~",
            " true",
            " True",
            " yes",
            " .5",
            " ./x",
            " .inf",
            " inf",
            " nan",
            " -c",
            " --p=1",
            " 'q'",
            " \"q\"",
            " 'a''b'",
            " \"\\n\"",
            " ''",
            " \"",
            " [a, b]",
            " [a, -c, 'q', 1]",
            " []",
            " [a, ]",
            " [a: b]",
            " {a: b}",
            " a: b",
            " a:",
            " a #c",
            " a#c",
            " # c",
            "#c",
            " &x",
            " *x",
            " !t x",
            " |",
            " >",
            " a, b",
            " it's",
            " http://x:1/",
            " x:#y",
            " 2026-01-01",
            " 10:30",
            " \t",
            " @x",
            " %x",
            " `x`",
            " a  ",
            " [a]b",
            " [a] # c",
            " 'q' # c",
            " 'q'#c",
            " 99999999999999999999",
            " 9999999999999999999999.5",
            " ...",
            " --- x",
            " - x",
            " ? x",
            " x ]",
            " \u{e9}",
            " [a?b, c!d]",
            " [\"a, b\"]",
            " ['#']",
            " -inf",
            " e5",
            " 0.7",
        ])
        .prop_map(str::to_owned),
        " [ -~]{0,12}",
        " [0-9.eExob+_-]{1,6}",
    ];
    (indent, start, value).prop_map(|(indent, start, value)| format!("{indent}{start}{value}"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn the_library_reads_the_same(lines in prop::collection::vec(line(), 1..6), last in prop::sample::select(vec!["", "\n"])) {
        compare(&(lines.join("\n") + last))?;
    }
}
