//! Statements, warnings and refused files. `tests/tests/dotenv.rs` compares with python-dotenv itself.

use std::os::unix::fs::{PermissionsExt, symlink};

use fs_err as fs;
use proptest::prelude::*;
use rustix::fs::{CWD, FileType, Mode};

use super::*;

/// The variables of `text`, with `OUTSIDE=out` and `EMPTY=` in the environment.
fn read(text: &str) -> Vec<(String, Option<String>)> {
    let outside = |name: &str| match name {
        "OUTSIDE" => Some("out".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    };
    resolve(&parse(text).bindings, outside).unwrap()
}

#[track_caller]
fn means(text: &str, expected: &[(&str, &str)]) {
    let found = read(text);
    let found: Vec<_> = found
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_deref().unwrap_or("(none)")))
        .collect();
    assert_eq!(found, expected, "{text:?}");
}

#[test]
fn statements() {
    means("", &[]);
    means("\n# no\n  # A=1\n", &[]);
    means("A=1\nB = 2 \n export C=3", &[("A", "1"), ("B", "2"), ("C", "3")]);
    means("A=1\r\nB=2\rC=3", &[("A", "1"), ("B", "2"), ("C", "3")]);
    means("A=1\nB=2\nA=3\n", &[("A", "3"), ("B", "2")]);
    means("A\nB=\nA=1\nA\n", &[("A", "(none)"), ("B", "")]);
    means("'a key'=1\n\"B\"=2\nexport=3\n", &[("a key", "1"), ("\"B\"", "2"), ("export", "3")]);
}

#[test]
fn values() {
    means("A=a b # c", &[("A", "a b")]);
    means("A=a#b", &[("A", "a#b")]);
    means("A= # c\nB=\t#\nC=#c", &[("A", ""), ("B", ""), ("C", "#c")]);
    means(r"A=a\nb 'c' $OUTSIDE", &[("A", r"a\nb 'c' $OUTSIDE")]);
    means(r#"A="a\n\t\x\"\\'\'" # c"#, &[("A", "a\n\t\\x\"\\''")]);
    means(r"A='a\n\'\\\x'", &[("A", r"a\n'\\x")]);
    means("A=\"one\ntwo # three\n\"\nB='\n'", &[("A", "one\ntwo # three\n"), ("B", "\n")]);
    means(r#"A="a\"#, &[]);
    means(r#"A="a\""#, &[]);
    means(r#"A="a\\" # c"#, &[("A", r"a\")]);
    means(r"A='a\\\''", &[("A", r"a\'")]);
}

#[test]
fn variables_are_expanded() {
    means("A=${OUTSIDE}:${NONE}:${NONE:-d}:${EMPTY:-d}", &[("A", "out::d:")]);
    means("A=1\nB='${A}'\nA=2\nC=${A}", &[("A", "2"), ("B", "1"), ("C", "2")]);
    means("OUTSIDE=${OUTSIDE}er\nA=${OUTSIDE}", &[("OUTSIDE", "outer"), ("A", "outer")]);
    means("OUTSIDE\nA=${OUTSIDE}", &[("OUTSIDE", "(none)"), ("A", "")]);
    means(
        "A='$'\nB='{OUTSIDE}'\nC=${A}${B}",
        &[("A", "$"), ("B", "{OUTSIDE}"), ("C", "${OUTSIDE}")],
    );
    means("A=${X:${OUTSIDE}}${", &[("A", "${X:out}${")]);
}

#[test]
fn invalid_lines_are_reported_and_skipped() {
    let parsed = parse("A=1\n\n=x\nB='2\nC=3 \"x\"\nD=\"4\n4\"x\nE\n5=\n");
    assert_eq!(parsed.bad_lines, [3, 4, 6]);
    let found: Vec<_> =
        parsed.bindings.iter().map(|binding| (binding.name.as_str(), binding.line)).collect();
    assert_eq!(found, [("A", 1), ("C", 5), ("E", 8), ("5", 9)]);
}

proptest! {
    #[test]
    fn any_text_is_parsed(text in "(?s).{0,60}", nasty in "[A'\"\\\\=# \n\r\t${}:-]{0,60}") {
        for text in [text, nasty] {
            let lines = text.lines().count().max(1) + text.matches('\r').count();
            let parsed = parse(&text);
            prop_assert!(parsed.bad_lines.iter().all(|line| (1..=lines).contains(line)));
            prop_assert!(parsed.bindings.iter().all(|it| (1..=lines).contains(&it.line)));
        }
    }
}

struct File(tempfile::TempDir);

impl File {
    fn new(text: impl AsRef<[u8]>, mode: u32) -> Self {
        let file = Self(tempfile::tempdir().unwrap());
        fs::write(file.path(), text).unwrap();
        fs::set_permissions(file.path(), PermissionsExt::from_mode(mode)).unwrap();
        file
    }

    fn nothing() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join(".env")
    }

    /// The error, and whether it is permanent.
    #[track_caller]
    fn refused(&self) -> (String, bool) {
        let error = load(&self.path()).unwrap_err();
        (self.short(&error), error.is_permanent())
    }

    /// The variables and the warnings.
    fn read(&self) -> (Vec<(String, String)>, Vec<String>) {
        let Variables { set, warnings } =
            load(&self.path()).unwrap().variables(&["HERMES_HOME"], |_| None).unwrap();
        (set, warnings.iter().map(|warning| self.short(warning)).collect())
    }

    fn short(&self, text: impl ToString) -> String {
        text.to_string().replace(self.0.path().to_str().unwrap(), "W")
    }
}

#[test]
fn warnings_name_the_line_and_no_value() {
    let text =
        "A=s3cret\nHERMES_HOME=s3cret\nB=${HERMES_HOME}\n's3cret=s3cret'=1\ns3 cret\nC=s3\0cret\n";
    let (set, warnings) = File::new(text, 0o600).read();
    let set: Vec<_> = set.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(set, [("A", "s3cret"), ("B", "")]);
    assert_eq!(
        warnings,
        [
            "line 5 of `W/.env` is ignored: it is not of the form NAME=value",
            "`HERMES_HOME` in line 2 of `W/.env` is ignored: it is reserved for the supervision tree",
            "line 4 of `W/.env` is ignored: not valid in an environment",
            "line 6 of `W/.env` is ignored: not valid in an environment",
        ]
    );
}

#[test]
fn a_file_that_others_can_read_is_warned_of() {
    let warning = "other users may access `W/.env` (mode 0640): `chmod go= W/.env`";
    assert_eq!(File::new("", 0o640).read().1, [warning]);
    assert_eq!(File::new("", 0o400).read().1, [""; 0]);
}

#[test]
fn a_byte_order_mark_is_ignored() {
    assert_eq!(File::new("\u{feff}A=1\r\n", 0o600).read().0, [("A".into(), "1".into())]);
}

#[test]
fn an_absent_file_sets_nothing_and_a_link_is_followed() {
    let file = File::nothing();
    assert_eq!(file.read(), (vec![], vec![]));
    let target = File::new("A=1", 0o600);
    symlink(target.path(), file.path()).unwrap();
    assert_eq!(file.read().0.len(), 1);
    fs::remove_file(target.path()).unwrap();
    let (error, permanent) = file.refused();
    assert!(error.contains("W/.env") && !permanent, "{error}");
}

#[test]
fn anything_but_a_text_file_is_refused() {
    let fifo = File::nothing();
    rustix::fs::mknodat(CWD, fifo.path(), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    assert_eq!(fifo.refused(), ("`W/.env` is not a regular file".into(), true));
    let directory = File::nothing();
    fs::create_dir(directory.path()).unwrap();
    assert_eq!(directory.refused(), ("`W/.env` is a directory".into(), true));
    let latin = File::new(b"A=1\nB=\xe4\n", 0o600);
    assert_eq!(latin.refused(), ("invalid UTF-8 in line 2 of `W/.env`".into(), true));
    let large = File::new(vec![b'\n'; MAX_SIZE + 1], 0o600);
    assert_eq!(large.refused(), ("`W/.env` is larger than 1024 KiB".into(), true));
    assert_eq!(File::new(vec![b'\n'; MAX_SIZE], 0o600).read().1, [""; 0]);
}

/// Lines of which each has the value of the one above `times` times.
fn growing(lines: usize, times: usize, first: &str) -> String {
    let grow = |line: usize| format!("V{line}={}\n", format!("${{V{}}}", line - 1).repeat(times));
    std::iter::once(format!("V0={first}\n")).chain((1..=lines).map(grow)).collect()
}

#[test]
fn the_expansion_has_a_limit() {
    let outside = |_: &str| Some("o".repeat(64 * 1024));
    let quoted = format!("# a comment\nA='{}'\n", "${B:-0123456789}".repeat(17));
    for (text, name, line) in [
        (growing(40, 2, "x"), "V20", 21),
        (growing(6, 100, "12345678"), "V3", 4),
        // One variable again and again.
        (format!("A={}\n{}", "x".repeat(1000), "A=${A}${A}\n".repeat(60)), "A", 11),
        (quoted, "A", 2),
    ] {
        let file = File::new(&text, 0o600);
        let error = load(&file.path()).unwrap().variables(&[], outside).unwrap_err();
        let expected =
            format!("the expansion of `{name}` in line {line} exceeds 1024 KiB (`W/.env`)");
        assert_eq!(file.short(&error), expected);
        assert!(error.is_permanent() && error.hint().is_some());
    }
    // The longest file without references stays below the limit, as do references to little.
    let longest = format!("A={}", "x".repeat(MAX_SIZE - 2));
    assert_eq!(File::new(&longest, 0o600).read().0[0].1.len(), MAX_SIZE - 2);
    assert_eq!(File::new(growing(15, 2, "x"), 0o600).read().0[15].1.len(), 1 << 15);
}
