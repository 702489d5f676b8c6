//! The rule about crates: which crate may depend on which.
//!
//! `ARCHITECTURE.md` explains the edges. An edge that is not in the table here is a finding.

use super::Finding;

/// The allowed dependencies of each crate, by directory.
const EDGES: &[(&str, &[&str])] = &[
    ("hermes-core", &[]),
    ("hermes-s6", &["hermes-core"]),
    ("hermes-host", &["hermes-core"]),
    ("hermes-kube", &["hermes-core"]),
    ("hermes-gateway", &["hermes-core"]),
    ("hermes", &["hermes-core", "hermes-s6", "hermes-host", "hermes-kube"]),
    ("hermes-dashboard", &["hermes-core", "hermes-gateway", "hermes"]),
    (
        "hermes-cli",
        &[
            "hermes-core",
            "hermes-s6",
            "hermes-host",
            "hermes-gateway",
            "hermes",
            "hermes-dashboard",
        ],
    ),
    ("floor", &[]),
    ("tests", &["hermes-core", "hermes-s6", "hermes-host", "hermes-kube"]),
    ("xtask", &[]),
];

/// A member of the workspace.
pub(super) struct Member {
    /// Its directory below the root, used as its name.
    pub(super) dir: String,
    /// The directories of the members it depends on, with all kinds of dependencies.
    pub(super) edges: Vec<String>,
}

/// Finds edges and members that are not in the table, and rows without a member.
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
            let what = format!("depends on `{edge}`, which is not in tidy's table of edges");
            findings.push(Finding::new(&manifest, None, what));
        }
    }
    for (dir, _) in EDGES.iter().filter(|(dir, _)| !members.iter().any(|member| member.dir == *dir))
    {
        findings.push(Finding::new(
            "Cargo.toml",
            None,
            format!("`{dir}` has a row in tidy's table but is not a member"),
        ));
    }
    findings
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
                    "{from}/Cargo.toml: depends on `{to}`, which is not in tidy's table of edges"
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
                "Cargo.toml: `hermes-core` has a row in tidy's table but is not a member",
            ]
        );
    }
}
