//! The rules about manifests: required fields of each, and values that the workspace's manifest has for all.

use super::Finding;

/// The fields that every member inherits from `[workspace.package]`.
const INHERITED: &[&str] = &["version", "edition", "rust-version", "license", "readme"];
/// The fields that a published member inherits, too; registries list it by them.
const LISTED: &[&str] = &["keywords", "categories"];

/// Checks that a member has a description, and inherits the lints, all versions and the shared fields.
pub(super) fn manifest(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut section = String::new();
    let mut lints = false;
    let mut package = Vec::new();
    for (number, statement) in statements(text) {
        if statement.starts_with('[') {
            section = statement.trim_matches(['[', ']']).to_owned();
            // The check below does not see `[dependencies.x]`, and no member needs it.
            let parent = section.rsplit_once('.').map_or("", |(parent, _)| parent);
            if is_dependencies(parent) {
                let what = format!(
                    "`{statement}` is a section of its own; write `x.workspace = true` in the list"
                );
                findings.push(Finding::new(path, number, what));
            }
            continue;
        }
        let compact: String = statement.split_whitespace().collect();
        lints |= section == "lints" && compact == "workspace=true";
        if section == "package" {
            package.push(compact.clone());
        }
        if is_dependencies(&section) && !is_inherited(&compact) {
            let name = statement.split(['.', '=']).next().unwrap_or_default().trim();
            let what = format!("dependency `{name}` does not have `workspace = true`");
            findings.push(Finding::new(path, number, what));
        }
    }
    if !lints {
        findings.push(Finding::new(path, None, "lacks `[lints] workspace = true`"));
    }
    findings.extend(lacking(&package).map(|what| Finding::new(path, None, what)));
    findings
}

/// The missing fields of `[package]`, whose statements are given without white space.
fn lacking(package: &[String]) -> impl Iterator<Item = String> {
    let has = |statement: &str| package.iter().any(|found| found == statement);
    let described = package.iter().any(|statement| {
        let text = statement.strip_prefix("description=\"");
        text.is_some_and(|text| !text.trim_end_matches('"').is_empty())
    });
    let listed = if has("publish=false") { &[][..] } else { LISTED };
    let fields = INHERITED.iter().chain(listed);
    let fields = fields.filter(|field| !has(&format!("{field}.workspace=true")));
    let fields: Vec<_> =
        fields.map(|field| format!("lacks `{field}.workspace = true` in `[package]`")).collect();
    let description = (!described).then(|| "lacks a `description` in `[package]`".to_owned());
    description.into_iter().chain(fields)
}

/// Checks that dependencies by path in the workspace's manifest have a version, which `cargo publish` requires.
pub(super) fn workspace(path: &str, text: &str) -> Vec<Finding> {
    let Some(version) = shared(text, "version") else {
        return vec![Finding::new(path, None, "lacks a `version` in `[workspace.package]`")];
    };
    let expected = format!("version=\"{version}\"");
    let mut findings = Vec::new();
    for (number, statement) in section(text, "workspace.dependencies") {
        let Some((name, table)) = statement.split_once('=') else { continue };
        let table: String = table.split_whitespace().collect();
        let mut pairs = table.trim_matches(['{', '}']).split(',');
        if pairs.clone().any(|pair| pair.starts_with("path="))
            && !pairs.any(|pair| pair == expected)
        {
            let what = format!("`{}` has a path without `version = \"{version}\"`", name.trim());
            findings.push(Finding::new(path, number, what));
        }
    }
    findings
}

/// Checks that each Rust version in a page is the `rust-version` of the workspace's manifest.
pub(super) fn rust_version(path: &str, page: &str, manifest: &str) -> Vec<Finding> {
    let version = shared(manifest, "rust-version").unwrap_or_default();
    let mut findings = Vec::new();
    for (number, line) in (1..).zip(page.lines()) {
        for rest in line.split("Rust ").skip(1) {
            let found = rest.split(|c: char| c != '.' && !c.is_ascii_digit()).next();
            let found = found.unwrap_or_default().trim_end_matches('.');
            if found.contains('.') && found != version {
                let what = format!("Rust {found}, but `rust-version` is {version}");
                findings.push(Finding::new(path, number, what));
            }
        }
    }
    findings
}

/// The value of a string in `[workspace.package]`.
fn shared(text: &str, key: &str) -> Option<String> {
    section(text, "workspace.package").find_map(|(_, statement)| {
        let (found, value) = statement.split_once('=')?;
        (found.trim() == key).then(|| value.trim().trim_matches('"').to_owned())
    })
}

/// The statements of one section.
fn section(text: &str, name: &str) -> impl Iterator<Item = (usize, String)> {
    let header = format!("[{name}]");
    statements(text)
        .into_iter()
        .skip_while(move |(_, statement)| *statement != header)
        .skip(1)
        .take_while(|(_, statement)| !statement.starts_with('['))
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

/// The manifest's statements with their first lines, without comments; brackets over several lines are joined.
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

    fn texts(findings: &[Finding]) -> Vec<String> {
        findings.iter().map(ToString::to_string).collect()
    }

    const PACKAGE: &str = "[package]\nname = \"a\"\ndescription = \"An A\"\nversion.workspace = true\n\
        edition.workspace = true\nrust-version.workspace = true\nlicense.workspace = true\n\
        readme.workspace = true\nkeywords.workspace = true\ncategories.workspace = true\n";

    /// The findings in a manifest whose `[package]` is complete.
    fn check(text: &str) -> Vec<String> {
        texts(&manifest("a/Cargo.toml", &format!("{text}{PACKAGE}")))
    }

    #[test]
    fn a_missing_field_is_found() {
        const LINTS: &str = "[lints]\nworkspace = true\n";
        for field in INHERITED.iter().chain(LISTED) {
            let inherited = format!("{field}.workspace = true");
            let expected = [format!("a/Cargo.toml: lacks `{inherited}` in `[package]`")];
            for own in ["", &format!("{field} = \"1\""), &format!("{field}.workspace = false")] {
                let text = LINTS.to_owned()
                    + &PACKAGE.replace(&format!("\n{inherited}"), &format!("\n{own}"));
                assert_eq!(texts(&manifest("a/Cargo.toml", &text)), expected, "{own}");
            }
        }
        for own in ["", "description = \"\"", "# description = \"An A\""] {
            let text = LINTS.to_owned() + &PACKAGE.replace("description = \"An A\"", own);
            let expected = ["a/Cargo.toml: lacks a `description` in `[package]`"];
            assert_eq!(texts(&manifest("a/Cargo.toml", &text)), expected, "{own}");
        }
    }

    #[test]
    fn an_unpublished_crate_needs_no_keywords() {
        let text = PACKAGE.replace("keywords.workspace = true", "publish = false");
        let text = text.replace("categories.workspace = true", "[lints]\nworkspace = true");
        assert_eq!(texts(&manifest("a/Cargo.toml", &text)), [""; 0]);
    }

    #[test]
    fn a_path_needs_the_version_of_the_workspace() {
        let check = |dependency: &str| {
            texts(&workspace(
                "Cargo.toml",
                &format!(
                    "[workspace.package]\nversion = \"0.2.0\" # all\n\
                     [workspace.dependencies]\nb = {{ version = \"1\" }}\nc = \"1\"\na = {dependency}\n\
                     [profile.release]\nx = {{ path = \"x\" }}\n"
                ),
            ))
        };
        assert_eq!(check("{ path = \"a\", version = \"0.2.0\" }"), [""; 0]);
        for mistake in ["{ path = \"a\" }", "{ path = \"a\", version = \"0.1.0\" }"] {
            let expected = "Cargo.toml:6: `a` has a path without `version = \"0.2.0\"`";
            assert_eq!(check(mistake), [expected]);
        }
    }

    #[test]
    fn a_page_names_the_rust_version_of_the_manifest() {
        let check = |page: &str| {
            texts(&rust_version("a.md", page, "[workspace.package]\nrust-version = \"1.95\"\n"))
        };
        assert_eq!(check("Rust 1.95 or later. With Rust 1.95.\nRust 2 and Rust itself\n"), [""; 0]);
        assert_eq!(check("x\nRust 1.96, or\n"), ["a.md:2: Rust 1.96, but `rust-version` is 1.95"]);
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
                format!("a/Cargo.toml:{line}: dependency `{name}` does not have `workspace = true`")
            })
            .into();
        expected.insert(
            5,
            "a/Cargo.toml:10: `[build-dependencies.f]` is a section of its own; write `x.workspace = true` in the list"
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
