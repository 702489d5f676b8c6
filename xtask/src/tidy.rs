//! `cargo xtask tidy`: checks what the compiler does not. It is also an ordinary test, so `cargo test` runs it.
//!
//! Collects all findings, prints them, then fails. This file reads the tree; the rules themselves are pure
//! functions over text in `rules`, `manifests`, `prose` and `circles`, and over the dependency graph in `crates`. They are
//! tested on planted mistakes.

mod circles;
mod confined;
mod crates;
mod manifests;
mod prose;
mod rules;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use cargo_metadata::MetadataCommand;
use xshell::Shell;

use crate::install;
use crates::Member;

/// One violation of a rule.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    path: String,
    /// 1-based; none if the finding is about the whole file.
    line: Option<usize>,
    what: String,
}

impl Finding {
    fn new(path: &str, line: impl Into<Option<usize>>, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line: line.into(), what: what.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.path, self.what),
            None => write!(f, "{}: {}", self.path, self.what),
        }
    }
}

/// Prints all findings, and fails if there is one.
pub(crate) fn run() -> Result<()> {
    let mut findings = tree(&crate::root())?;
    findings.sort();
    for finding in &findings {
        println!("{finding}");
    }
    match findings.len() {
        0 => Ok(()),
        1 => bail!("1 finding"),
        n => bail!("{n} findings"),
    }
}

/// Every finding in the tree at `root`.
fn tree(root: &Path) -> Result<Vec<Finding>> {
    let shell = Shell::new()?;
    shell.change_dir(root);
    let members = members(root)?;
    let mut findings = crates::edges(&members);
    let workspace = read(root, "Cargo.toml")?;
    findings.extend(manifests::workspace("Cargo.toml", &workspace));
    for member in &members {
        let manifest = format!("{}/Cargo.toml", member.dir);
        findings.extend(manifests::manifest(&manifest, &read(root, &manifest)?));
    }
    let mut sources = BTreeMap::new();
    for path in tracked(&shell)? {
        // Skip deleted files, submodules and symbolic links.
        if !fs::symlink_metadata(root.join(&path)).is_ok_and(|meta| meta.is_file()) {
            continue;
        }
        if !rules::is_read(&path) {
            continue;
        }
        let bytes =
            fs::read(root.join(&path)).with_context(|| format!("failed to read `{path}`"))?;
        // Skip archives and pictures.
        let Ok(text) = String::from_utf8(bytes) else {
            continue;
        };
        findings.extend(prose::check(&path, &text));
        // The changelog has the requirements of past versions.
        if path.ends_with(".md") && path != "CHANGELOG.md" {
            findings.extend(manifests::rust_version(&path, &text, &workspace));
        }
        if rules::is_for_unix(&path) {
            findings.extend(rules::line_ends(&path, &text));
            if let Some(dialect) = rules::shell_dialect(&path, &text) {
                findings.extend(shellcheck(&shell, &path, dialect)?);
            }
        }
        if path.ends_with(".rs") {
            findings.extend(rules::rust(&path, &text));
            findings.extend(confined::check(&path, &text));
            sources.insert(path, text);
        }
    }
    let dirs: Vec<_> = members.iter().map(|member| member.dir.as_str()).collect();
    findings.extend(circles::check(&dirs, &sources));
    Ok(findings)
}

/// The paths of all files in the repository, tracked or not ignored, relative to its root.
fn tracked(shell: &Shell) -> Result<Vec<String>> {
    let list = shell
        .cmd("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"])
        .quiet()
        .read()
        .context("failed to list the repository's files")?;
    Ok(list.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect())
}

/// The workspace's members and the edges between them.
fn members(root: &Path) -> Result<Vec<Member>> {
    let metadata = MetadataCommand::new()
        .manifest_path(root.join("Cargo.toml"))
        .no_deps()
        .exec()
        .context("failed to run `cargo metadata`")?;
    let relative =
        |dir: &Path| Some(dir.strip_prefix(&metadata.workspace_root).ok()?.to_str()?.to_owned());
    let mut members = Vec::new();
    for package in &metadata.packages {
        let dir = package.manifest_path.parent().context("a manifest has a directory")?;
        let dir = relative(dir.as_std_path())
            .with_context(|| format!("`{dir}` is outside of the workspace"))?;
        // All kinds of dependencies, those of tests and build scripts, too.
        let edges = package
            .dependencies
            .iter()
            .filter_map(|dependency| relative(dependency.path.as_ref()?.as_std_path()))
            .collect();
        members.push(Member { dir, edges });
    }
    Ok(members)
}

fn shellcheck(shell: &Shell, path: &str, dialect: Option<&str>) -> Result<Vec<Finding>> {
    let program = install::find("shellcheck")
        .context("shellcheck is missing; to install it: cargo xtask install")?;
    let dialect = dialect.map(|name| format!("--shell={name}"));
    let output = shell
        .cmd(program)
        .arg("--format=gcc")
        .args(dialect)
        .arg("--")
        .arg(path)
        .quiet()
        .ignore_status()
        .output()
        .with_context(|| format!("failed to check `{path}`"))?;
    // 0 is clean and 1 has findings; with any other code the check failed.
    match output.status.code() {
        Some(0 | 1) => {
            Ok(rules::shellcheck_findings(path, &String::from_utf8_lossy(&output.stdout)))
        }
        _ => bail!(
            "shellcheck failed on `{path}`: {}",
            String::from_utf8_lossy(&output.stderr).trim_end()
        ),
    }
}

fn read(root: &Path, path: &str) -> Result<String> {
    fs::read_to_string(root.join(path)).with_context(|| format!("failed to read `{path}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_none(findings: &[Finding]) {
        let lines: Vec<_> = findings.iter().map(ToString::to_string).collect();
        assert!(lines.is_empty(), "{} findings:\n{}", lines.len(), lines.join("\n"));
    }

    #[test]
    fn the_tree_is_tidy() {
        assert_none(&tree(&crate::root()).unwrap());
    }

    #[test]
    fn the_crate_edges_are_the_ones_in_architecture_md() {
        assert_none(&crates::edges(&members(&crate::root()).unwrap()));
    }

    #[test]
    fn the_files_are_listed_and_read() {
        let shell = Shell::new().unwrap();
        shell.change_dir(crate::root());
        assert!(tracked(&shell).unwrap().contains(&"xtask/src/tidy.rs".to_owned()));
    }

    #[test]
    fn shellcheck_reports_a_planted_mistake() {
        let shell = Shell::new().unwrap();
        let dir = shell.create_temp_dir().unwrap();
        shell.change_dir(dir.path());
        shell.write_file("init", "#!/command/with-contenv sh\nrm $1\n").unwrap();
        let findings = shellcheck(&shell, "init", Some("sh")).unwrap();
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert_eq!((findings[0].path.as_str(), findings[0].line), ("init", Some(2)));
        assert!(findings[0].what.ends_with("[SC2086]"), "{}", findings[0]);
    }
}
