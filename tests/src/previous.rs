//! The program of the version before this one, built from its sources in git's history.
//!
//! `tests/previous` names it. It is built once, in a directory of its own below the build directory, so that it replaces no
//! program of this version.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::programs::{build_directory, for_all_users};

const NAMED: &str = include_str!("../previous");

/// The `hermes` program of that version, at a path where every user can run it.
pub fn previous_program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let revision = NAMED.lines().find(|line| !line.starts_with('#')).expect("a revision");
        let directory = build_directory().with_file_name("previous");
        let sources = directory.join(revision);
        if !sources.exists() {
            unpack(revision, &sources);
        }
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--locked", "--package", "hermes-cli", "--bin", "hermes"]);
        // Back traces are not looked at, and a build without them takes half the time.
        cargo.args(["--config", "profile.dev.debug=false", "--target-dir"]).arg(&directory);
        let status = cargo.current_dir(&sources).env_remove("CARGO_MANIFEST_DIR").status();
        assert!(status.expect("cargo runs").success(), "`{revision}` does not build");
        for_all_users(&directory.join("debug/hermes"))
    })
}

/// Unpacks the sources of a revision.
fn unpack(revision: &str, to: &Path) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned();
    let parent = to.parent().expect("a directory of ours");
    fs::create_dir_all(parent).expect("the build directory");
    let staged = tempfile::tempdir_in(parent).expect("a directory");
    let mut git = Command::new("git");
    // Another user may own the checkout.
    git.args(["-c", &format!("safe.directory={}", root.display())]).arg("-C").arg(&root);
    git.args(["archive", revision]).stdout(Stdio::piped());
    let mut git = git.spawn().expect("git is installed");
    let archive = git.stdout.take().expect("a pipe");
    tar::Archive::new(archive).unpack(staged.path()).expect("an archive of sources");
    let status = git.wait().expect("a child of ours");
    assert!(
        status.success(),
        "this clone lacks the commit {revision}, which tests/previous names; `git fetch --unshallow` brings it"
    );
    fs::rename(staged.keep(), to).expect("a new directory");
}
