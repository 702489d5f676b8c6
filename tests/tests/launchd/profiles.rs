//! The effect of changes to a profile on its job, and secrets in property lists.

use std::fs;

use hermes_core::RootHome;
use hermes_core::lock::Lock;
use hermes_tests::{SOON, eventually, is_open_in, names};

use crate::mac::Mac;

#[test]
fn a_rename_that_launchd_refuses_is_undone() {
    let mac = Mac::new();
    mac.serving("old");
    mac.hermes(["gateway", "start", "old"]).ok();
    // A property list without a profile.
    mac.env.write(&mac.agent("new"), "left");
    mac.hermes(["profile", "rename", "old", "new"]).fails_with(1);
    assert_eq!(mac.status("old")["state"], "up");
    fs::remove_file(mac.agent("new")).unwrap();
    mac.set("refuse", "119");
    let outcome = mac.hermes(["profile", "rename", "old", "new"]).fails_with(1);
    assert!(outcome.stderr.contains("119: refused"), "{outcome}");
    assert!(mac.env.profile("old").exists() && !mac.env.profile("new").exists());
    assert_eq!(names(&mac.agents()), [format!("{}.plist", mac.label("old"))]);
    fs::remove_file(mac.env.path().join("launchd/refuse")).unwrap();
    mac.hermes(["gateway", "start", "old"]).ok();
}

#[test]
fn rename_installs_no_job() {
    let mac = Mac::new();
    mac.hermes(["profile", "create", "old"]).ok();
    mac.hermes(["profile", "rename", "old", "new"]).ok();
    assert!(!mac.agents().exists() || names(&mac.agents()).is_empty());
}

#[test]
fn a_rename_takes_a_job_along_that_is_installed_before_it_has_its_locks() {
    let mac = Mac::new();
    mac.hermes(["profile", "create", "old"]).ok();
    // The locks are taken in the order of the names.
    let lock = RootHome::new(mac.env.home()).profile_lock(&"new".parse().unwrap());
    let held = Lock::acquire(&lock, SOON).unwrap();
    mac.env.give(&lock);
    let renaming = mac.hermes(["profile", "rename", "old", "new"]).spawn();
    eventually("it waits for the first", || is_open_in(renaming.pid(), &lock).then_some(()));
    mac.hermes(["gateway", "install", "old"]).ok();
    drop(held);
    let renamed = renaming.wait();
    assert_eq!(renamed.code(), Some(0), "{renamed}");
    assert_eq!(names(&mac.agents()), [format!("{}.plist", mac.label("new"))], "{renamed}");
}

#[test]
fn a_job_without_a_profile_runs_nothing() {
    let mac = Mac::new();
    mac.serving("coder");
    fs::remove_dir_all(mac.env.profile("coder")).unwrap();
    mac.log_in();
    eventually("its launcher has left", || mac.job("gui", "coder").is_none().then_some(()));
    assert!(!mac.env.profile("coder").exists());
    mac.hermes(["gateway", "uninstall", "coder"]).ok();
    assert!(!mac.agent("coder").exists());
}

#[test]
fn property_lists_hold_no_secret() {
    const CANARY: &str = "canary-8f1e0c";
    let mac = Mac::new();
    mac.serving("coder");
    mac.env.write(&mac.env.profile("coder").join(".env"), &format!("API_KEY={CANARY}\n"));
    let with = |args: [&str; 3]| mac.hermes(args).env("OTHER_KEY", CANARY);
    with(["gateway", "install", "coder"]).ok();
    with(["gateway", "start", "coder"]).ok();
    with(["gateway", "restart", "coder"]).ok();
    let text = fs::read_to_string(mac.agent("coder")).unwrap();
    assert!(!text.contains(CANARY) && !mac.calls().contains(CANARY));
    let home = mac.env.home();
    let variables = text.split_once("EnvironmentVariables</key>").unwrap().1;
    let variables = variables.split_once("</dict>").unwrap().0;
    assert_eq!(variables.matches("<key>").count(), 1, "{text}");
    assert!(variables.contains(&format!("<string>{}</string>", home.display())), "{text}");
}
