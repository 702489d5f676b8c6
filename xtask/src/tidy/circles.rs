//! The rule about circles: no two files of a crate use items of each other, directly or through other files.
//!
//! An edge leads from a file to the file that *defines* an item that it names, in a `use` or in a path. Re-exports are
//! followed. Code that is only built for tests does not count. Neither does an item of a parent module: a module and its
//! children are one unit, since a parent can't be understood without its children.

mod modules;
mod source;
mod tokens;

use std::collections::{BTreeMap, BTreeSet};

use super::Finding;
use modules::{Edge, Modules};

/// Finds the circles. `files` has the Rust sources, `crates` their directories.
pub(super) fn check(crates: &[&str], files: &BTreeMap<String, String>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for root in files.keys().filter(|path| is_root(crates, path)) {
        let edges = Modules::read(root, files).edges();
        for circle in circles(&edges) {
            let first = circle.first().expect("a circle has files");
            findings.push(Finding::new(first, None, describe(&circle, &edges)));
        }
    }
    findings
}

/// Whether a file is the root of a library, program, test, example, benchmark or build script of one of `crates`.
fn is_root(crates: &[&str], path: &str) -> bool {
    crates.iter().any(|dir| {
        let inside = path.strip_prefix(dir).and_then(|path| path.strip_prefix('/'));
        let parts: Vec<_> = inside.unwrap_or_default().split('/').collect();
        match parts[..] {
            ["build.rs"] | ["src", "lib.rs" | "main.rs"] => true,
            ["src", "bin", ref rest @ ..] | ["tests" | "examples" | "benches", ref rest @ ..] => {
                matches!(rest, [file] if file.ends_with(".rs")) || matches!(rest, [_, "main.rs"])
            }
            _ => false,
        }
    })
}

/// The sets of files that reach one another.
fn circles<'a>(edges: &BTreeSet<Edge<'a>>) -> BTreeSet<BTreeSet<&'a str>> {
    let mut next = BTreeMap::<_, Vec<_>>::new();
    for edge in edges {
        next.entry(edge.from).or_default().push(edge.to);
    }
    let reached: BTreeMap<_, _> = next.keys().map(|file| (*file, reach(file, &next))).collect();
    let circle = |file: &'a str| {
        let back = |other: &&str| reached.get(other).is_some_and(|files| files.contains(file));
        reached[file].iter().copied().filter(back).collect::<BTreeSet<_>>()
    };
    next.keys().map(|file| circle(file)).filter(|files| files.len() > 1).collect()
}

/// The files that `file` reaches; itself only if it is in a circle.
fn reach<'a>(file: &str, next: &BTreeMap<&'a str, Vec<&'a str>>) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<_> = next.get(file).cloned().unwrap_or_default();
    while let Some(file) = open.pop() {
        if reached.insert(file) {
            open.extend(next.get(file).into_iter().flatten());
        }
    }
    reached
}

fn describe(circle: &BTreeSet<&str>, edges: &BTreeSet<Edge<'_>>) -> String {
    let mut names = BTreeMap::<_, Vec<_>>::new();
    for edge in edges.iter().filter(|edge| circle.contains(edge.from) && circle.contains(edge.to)) {
        names.entry((edge.from, edge.to)).or_default().push(edge.name.as_str());
    }
    let ties = names
        .iter()
        .map(|((from, to), names)| format!("\n    {from} names {} of {to}", names.join(", ")));
    format!("a circle of {} files:{}", circle.len(), ties.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The findings in the crate `a`, whose files are given without `a/src/`.
    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let file = |(path, text): &(&str, &str)| (format!("a/src/{path}"), (*text).to_owned());
        let files = files.iter().map(file).collect();
        check(&["a"], &files).iter().map(ToString::to_string).collect()
    }

    const B_AND_C: &str = "a/src/b.rs: a circle of 2 files:\n    \
        a/src/b.rs names C of a/src/c.rs\n    a/src/c.rs names B of a/src/b.rs";

    #[test]
    fn two_files_that_import_each_other_are_a_circle() {
        for (b, c) in [
            ("use crate::c::C; pub struct B;", "use crate::b::B; pub struct C;"),
            ("use super::{c::{C}}; pub struct B;", "pub struct C; fn f() { super::b::B }"),
            ("pub struct B; mod d { use super::super::c::C; }", "pub struct C; use crate::b::B;"),
            ("pub struct B; impl crate::c::C for B {}", "pub trait C { fn f(b: crate::b::B); }"),
        ] {
            let files = [("lib.rs", "mod b; pub mod c;"), ("b.rs", b), ("c.rs", c)];
            assert_eq!(found(&files), [B_AND_C], "{b} {c}");
        }
    }

    #[test]
    fn a_circle_names_all_its_files() {
        let files = [
            ("main.rs", "mod b; mod c; mod d; mod e;"),
            ("b.rs", "use crate::c::C; pub struct B;"),
            ("c/mod.rs", "pub struct C(crate::d::D);"),
            ("d.rs", "use crate::b; pub struct D(b::B);"),
            // It leads into the circle, but the circle does not lead back.
            ("e.rs", "use crate::b::B;"),
        ];
        let expected = "a/src/b.rs: a circle of 3 files:\n    \
            a/src/b.rs names C of a/src/c/mod.rs\n    a/src/c/mod.rs names D of a/src/d.rs\n    \
            a/src/d.rs names B, b of a/src/b.rs";
        assert_eq!(found(&files), [expected]);
    }

    #[test]
    fn a_re_export_is_followed() {
        for (parent, b) in [
            ("mod b; mod c; pub use c::C;", "use crate::C; pub struct B;"),
            ("mod b; mod c; pub use self::c::C as D;", "pub struct B; use super::D;"),
            ("mod b; mod c; pub use c::*;", "pub struct B; use crate::C as D;"),
            ("mod b; mod c; mod d { pub use crate::c::C; } use d::*;", "pub struct B(super::C);"),
        ] {
            let files =
                [("lib.rs", parent), ("b.rs", b), ("c.rs", "use crate::b::B; pub struct C;")];
            let findings = found(&files);
            assert_eq!(findings.len(), 1, "{parent}");
            assert!(findings[0].starts_with("a/src/b.rs: a circle of 2 files:"), "{findings:?}");
        }
    }

    #[test]
    fn a_module_and_those_in_it_are_one_unit() {
        let files = [
            ("lib.rs", "mod b; pub use b::c::f; pub struct Root;"),
            ("b.rs", "mod c; mod d; pub(crate) struct B; fn g() { c::f(); }"),
            ("b/c.rs", "use super::B; use crate::Root; pub fn f() { super::d::h() }"),
            ("b/d.rs", "use crate::b::B; pub fn h() {}"),
        ];
        assert_eq!(found(&files), [""; 0]);
        // But a file outside of the module may not lead back into it.
        let e = ("e.rs", "use crate::b::B;");
        let files = [
            ("lib.rs", "mod b; mod e;"),
            ("b.rs", "mod c; pub struct B; use c::f;"),
            ("b/c.rs", "use crate::e; pub fn f() {}"),
            e,
        ];
        assert!(found(&files)[0].starts_with("a/src/b.rs: a circle of 3 files:"));
    }

    #[test]
    fn tests_comments_and_other_crates_make_no_edges() {
        let files = [
            ("lib.rs", "mod b; mod c; mod log;"),
            ("b.rs", "use crate::c::C; pub struct B;"),
            (
                "c.rs",
                "//! [`crate::b::B`]\nuse log::warn; const B: &str = \"crate::b::B\"; pub struct C;\n\
                 use other::b::B as E; #[cfg(test)] use crate::b::B;\n\
                 #[cfg(test)]\nmod tests { use crate::b::B; }\n#[cfg(test)] mod more;",
            ),
            ("c/more.rs", "use crate::b::B;"),
            ("log.rs", "use crate::c::C;"),
        ];
        assert_eq!(found(&files), [""; 0]);
    }

    #[test]
    fn roots_are_where_cargo_looks_for_them() {
        for (path, expected) in [
            ("a/src/lib.rs", true),
            ("a/src/main.rs", true),
            ("a/src/bin/x.rs", true),
            ("a/tests/x.rs", true),
            ("a/tests/x/main.rs", true),
            ("a/build.rs", true),
            ("a/src/x.rs", false),
            ("a/src/x/main.rs", false),
            ("a/tests/x/y.rs", false),
            ("b/src/lib.rs", false),
            ("ab/src/lib.rs", false),
        ] {
            assert_eq!(is_root(&["a"], path), expected, "{path}");
        }
    }
}
