//! The programs that tests run: those of this workspace, built now, and those of s6.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use hermes_s6::S6Programs;

use crate::is_root;

/// The path of a program of s6.
pub(crate) fn program(name: &str) -> PathBuf {
    s6().program(name)
}

/// The programs of s6.
pub(crate) fn s6() -> S6Programs {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let s6 = S6Programs::find("/".as_ref(), &path);
    s6.expect("s6 is installed: `cargo xtask install`")
}

/// The variable with the path of the `hermes` to test, where there is no cargo that could build one.
const PROGRAM: &str = "HERMES_TEST_PROGRAM";

/// The `hermes` program of this build, at a path where every user can run it.
pub fn hermes_program() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| match std::env::var_os(PROGRAM) {
        Some(program) => program.into(),
        None => built(&["--bin", "hermes"], "hermes"),
    })
}

/// Likewise with the Kubernetes backend. In a build directory of its own, so that it replaces no other `hermes`.
pub fn kubernetes_program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let directory = build_directory();
        let profile = directory.file_name().expect("target/<profile>").to_owned();
        let own = directory.with_file_name("kubernetes");
        let own_directory = own.to_str().expect("a UTF-8 path");
        let target = ["--bin", "hermes", "--features", "kubernetes", "--target-dir", own_directory];
        let path = own.join(profile).join("hermes");
        built(&target, path.to_str().expect("a UTF-8 path"))
    })
}

/// Likewise the example `custom_backend`: a `hermes` with one more backend.
pub fn custom_backend_program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| built(&["--example", "custom_backend"], "examples/custom_backend"))
}

/// Builds a program of the package `hermes-cli`, which cargo writes to `path` in the build directory, and
/// returns where every user can run it.
fn built(target: &[&str], path: &str) -> PathBuf {
    let mut cargo = Command::new(env!("CARGO"));
    let status = cargo.args(["build", "--quiet", "--package", "hermes-cli"]).args(target).status();
    assert!(status.expect("cargo runs").success(), "`{path}` does not build");
    for_all_users(&build_directory().join(path))
}

/// The path of a program that was built, or of its copy, where every user can run it.
pub(crate) fn for_all_users(built: &Path) -> PathBuf {
    if is_root() { open_to_all(built) } else { built.to_owned() }
}

/// The directory that cargo builds into: `target/<profile>`.
pub(crate) fn build_directory() -> PathBuf {
    let test = std::env::current_exe().expect("a test is a program");
    test.ancestors().nth(2).expect("target/<profile>/deps/<test>").to_owned()
}

/// A copy of a program outside the build directory, which other users may not be able to read. All tests of
/// a build share one copy, in a directory that only root can write.
fn open_to_all(built: &Path) -> PathBuf {
    let metadata = fs::metadata(built).expect("it was just built");
    let build = format!("{}-{}", metadata.ino(), metadata.mtime_nsec());
    let directory = PathBuf::from("/var/cache/hermes-tests").join(build);
    let copy = directory.join("hermes");
    let exists = || fs::exists(&copy).expect("a directory that root may read");
    if !exists() {
        fs::create_dir_all(&directory).expect("root may create it");
        // Written by another process, as in `write_program`.
        let staged = tempfile::Builder::new().tempdir_in(&directory).expect("a directory");
        let staged = staged.path().join("hermes");
        let mut install = Command::new("install");
        let status = install.args(["-m", "755"]).arg(built).arg(&staged).status();
        assert!(status.is_ok_and(|status| status.success()), "`hermes` can't be copied");
        // Another program of tests may have made the copy meanwhile, which its processes run already: it stays.
        let linked = fs::hard_link(&staged, &copy);
        assert!(linked.is_ok() || exists(), "{linked:?}");
    }
    copy
}

/// The library that sets the clock of a process, which `faketime` preloads.
pub fn libfaketime() -> String {
    let mut wrapper = Command::new("faketime");
    let preload = wrapper.args(["-f", "+0", "printenv", "LD_PRELOAD"]).output();
    let preload = preload.expect("faketime is installed: `cargo xtask install`").stdout;
    String::from_utf8(preload).expect("a path").trim().to_owned()
}
