//! The rules about crates: which may depend on which, and what a member's manifest must say.
//!
//! `ARCHITECTURE.md` explains the edges; the table here is what fails when one is added.

use super::Finding;

/// Who may depend on whom, by directory. An edge that is not here does not exist.
const EDGES: &[(&str, &[&str])] = &[
    ("hermes-core", &[]),
    ("hermes-s6", &["hermes-core"]),
    ("hermes-host", &["hermes-core"]),
    ("hermes-cli", &["hermes-core", "hermes-s6", "hermes-host"]),
    ("floor", &[]),
    ("tests", &["hermes-core", "hermes-s6", "hermes-host"]),
    ("xtask", &[]),
];

/// A member of the workspace.
pub(super) struct Member {
    /// Its directory below the root, which names it.
    pub(super) dir: String,
    /// The directories of the members it depends on, whatever the kind of dependency.
    pub(super) edges: Vec<String>,
}

/// Edges and members that the table does not have, and rows without a member.
pub(super) fn edges(members: &[Member]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for Member { dir, edges } in members {
        let manifest = format!("{dir}/Cargo.toml");
        let Some((_, allowed)) = EDGES.iter().find(|(name, _)| name == dir) else {
            findings.push(Finding::new(
                &manifest,
                None,
                "a crate without a row in tidy's table of edges",
            ));
            continue;
        };
        for edge in edges.iter().filter(|edge| !allowed.contains(&edge.as_str())) {
            let what = format!("depends on `{edge}`, an edge that ARCHITECTURE.md does not have");
            findings.push(Finding::new(&manifest, None, what));
        }
    }
    for (dir, _) in EDGES.iter().filter(|(dir, _)| !members.iter().any(|member| member.dir == *dir))
    {
        findings.push(Finding::new(
            "Cargo.toml",
            None,
            format!("`{dir}` has a row in tidy's table but is no member"),
        ));
    }
    findings
}

/// Checks that a member inherits the lints and every version.
pub(super) fn manifest(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut section = String::new();
    let mut lints = false;
    for (number, statement) in statements(text) {
        if statement.starts_with('[') {
            section = statement.trim_matches(['[', ']']).to_owned();
            // `[dependencies.x]` hides from the check below, and no member needs it.
            let parent = section.rsplit_once('.').map_or("", |(parent, _)| parent);
            if is_dependencies(parent) {
                let what = format!(
                    "`{statement}` stands on its own; write `x.workspace = true` in the list"
                );
                findings.push(Finding::new(path, number, what));
            }
            continue;
        }
        let compact: String = statement.split_whitespace().collect();
        lints |= section == "lints" && compact == "workspace=true";
        if is_dependencies(&section) && !is_inherited(&compact) {
            let name = statement.split(['.', '=']).next().unwrap_or_default().trim();
            let what = format!("dependency `{name}` is not taken as `workspace = true`");
            findings.push(Finding::new(path, number, what));
        }
    }
    if !lints {
        findings.push(Finding::new(path, None, "lacks `[lints] workspace = true`"));
    }
    findings
}

fn is_dependencies(section: &str) -> bool {
    ["dependencies", "dev-dependencies", "build-dependencies"].contains(&section)
        || (section.starts_with("target.") && section.ends_with("dependencies"))
}

/// `x.workspace=true` or `x={workspace=true,…}`, without white space.
fn is_inherited(statement: &str) -> bool {
    match statement.split_once('=') {
        Some((key, "true")) => key.ends_with(".workspace"),
        Some((_, table)) => {
            table.trim_matches(['{', '}']).split(',').any(|pair| pair == "workspace=true")
        }
        None => false,
    }
}

/// The manifest's statements and the lines they begin in; comments go, and brackets that span lines are joined.
fn statements(text: &str) -> Vec<(usize, String)> {
    let mut statements: Vec<(usize, String)> = Vec::new();
    let mut open = 0;
    for (index, line) in text.lines().enumerate() {
        let line = without_comment(line).trim();
        if line.is_empty() {
            continue;
        }
        match statements.last_mut().filter(|_| open > 0) {
            Some((_, statement)) => statement.push_str(line),
            None => statements.push((index + 1, line.to_owned())),
        }
        let count = |brackets: [char; 2]| line.matches(brackets).count();
        open = (open + count(['[', '{'])).saturating_sub(count([']', '}']));
    }
    statements
}

fn without_comment(line: &str) -> &str {
    let mut quoted = false;
    let end = line.find(|c| {
        quoted ^= c == '"';
        c == '#' && !quoted
    });
    &line[..end.unwrap_or(line.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workspace(change: impl FnOnce(&mut Vec<Member>)) -> Vec<String> {
        let member = |(dir, edges): &(&str, &[&str])| Member {
            dir: (*dir).to_owned(),
            edges: edges.iter().map(|edge| (*edge).to_owned()).collect(),
        };
        let mut members = EDGES.iter().map(member).collect();
        change(&mut members);
        edges(&members).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_table_itself_has_no_findings() {
        assert_eq!(workspace(|_| ()), [""; 0]);
    }

    #[test]
    fn every_edge_outside_of_the_table_is_found() {
        for (from, allowed) in EDGES {
            for (to, _) in EDGES.iter().filter(|(to, _)| !allowed.contains(to)) {
                let findings = workspace(|members| {
                    let member = members.iter_mut().find(|member| member.dir == *from).unwrap();
                    member.edges.push((*to).to_owned());
                });
                let expected = format!(
                    "{from}/Cargo.toml: depends on `{to}`, an edge that ARCHITECTURE.md does not have"
                );
                assert_eq!(findings, [expected]);
            }
        }
    }

    #[test]
    fn the_table_and_the_members_are_the_same_crates() {
        let findings = workspace(|members| members[0].dir = "hermes-extra".to_owned());
        assert_eq!(
            findings,
            [
                "hermes-extra/Cargo.toml: a crate without a row in tidy's table of edges",
                "Cargo.toml: `hermes-core` has a row in tidy's table but is no member",
            ]
        );
    }

    fn check(text: &str) -> Vec<String> {
        manifest("a/Cargo.toml", text).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_manifest_that_inherits_everything_passes() {
        let text = "[package]\nname = \"a\"\nversion = \"1\"\n[lints]\nworkspace = true # all\n\
            [dependencies]\n# none = \"1\"\nclap.workspace = true\n\
            serde = { workspace = true, features = [\n  \"rc\", # \"1\"\n] }\n\
            [target.'cfg(unix)'.dependencies]\nrustix = { features = [\"fs\"], workspace = true }\n\
            [features]\nx = []\n";
        assert_eq!(check(text), [""; 0]);
    }

    #[test]
    fn a_manifest_with_a_version_of_its_own_is_found() {
        let text = "[lints]\nworkspace = true\n[dependencies]\na = \"1\"\n\
            b = { version = \"1\", features = [\"workspace = true\"] }\nc.version = \"2\"\nd = { path = \"../d\" }\n\
            [dev-dependencies]\ne = { workspace = false }\n[build-dependencies.f]\nworkspace = true\n\
            [target.x86_64-unknown-linux-gnu.build-dependencies]\ng = \"1\"\n";
        let mut expected: Vec<_> = [("a", 4), ("b", 5), ("c", 6), ("d", 7), ("e", 9), ("g", 13)]
            .map(|(name, line)| {
                format!(
                    "a/Cargo.toml:{line}: dependency `{name}` is not taken as `workspace = true`"
                )
            })
            .into();
        expected.insert(
            5,
            "a/Cargo.toml:10: `[build-dependencies.f]` stands on its own; write `x.workspace = true` in the list"
                .to_owned(),
        );
        assert_eq!(check(text), expected);
    }

    #[test]
    fn a_manifest_without_the_lints_is_found() {
        for text in
            ["", "[lints]\n", "[lints.rust]\nworkspace = true\n", "[lints]\n# workspace = true\n"]
        {
            assert_eq!(check(text), ["a/Cargo.toml: lacks `[lints] workspace = true`"]);
        }
    }
}
