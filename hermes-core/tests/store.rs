//! The profile store, on real directories.

mod kit;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::thread;

use hermes_core::store::{FIRST_PORT, StoreError};
use hermes_core::{Intent, ProfileName, RootHome, Store};
use kit::entries;

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().expect("a directory");
    let store = Store::new(RootHome::new(dir.path()));
    (dir, store)
}

fn name(name: &str) -> ProfileName {
    name.parse().expect("a valid name")
}

fn names(store: &Store) -> Vec<String> {
    let listing = store.list().expect("a readable home");
    listing.profiles.iter().map(|profile| profile.name.to_string()).collect()
}

#[test]
fn a_new_profile_has_all_its_files() {
    let (dir, store) = store();
    let profile = store.create(&name("coder"), None, Intent::Stopped).unwrap();
    let home = profile.home.path();
    assert_eq!(home, dir.path().join("profiles/coder"));
    assert_eq!(entries(home), [".env", "SOUL.md", "config.yaml", "gateway.intent", "logs"]);
    let mode = |file: &str| fs::metadata(home.join(file)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(".env"), 0o600);
    assert_eq!(mode("."), 0o755);
    assert_eq!(entries(&dir.path().join("profiles")), [".locks", "coder"]);
    assert_eq!(entries(&dir.path().join("profiles/.locks")), [""; 0]);
    assert_eq!(Intent::read(&profile.home).unwrap(), Intent::Stopped);
    let wanted = store.create(&name("wanted"), None, Intent::Running).unwrap();
    assert_eq!(Intent::read(&wanted.home).unwrap(), Intent::Running);
}

#[test]
fn taken_and_reserved_names_are_refused() {
    let (_dir, store) = store();
    store.create(&name("coder"), Some(9000), Intent::Running).unwrap();
    let again = store.create(&name("coder"), Some(9001), Intent::Stopped).unwrap_err();
    assert!(matches!(again, StoreError::Exists { .. }), "{again}");
    let coder = store.get(&name("coder")).unwrap();
    assert_eq!(store.port(&coder).unwrap(), Some(9000));
    assert_eq!(Intent::read(&coder.home).unwrap(), Intent::Running);
    let default = store.create(&name("default"), None, Intent::Stopped).unwrap_err();
    assert!(matches!(default, StoreError::Exists { .. }), "{default}");
    for reserved in ["hermes", "test", "tmp", "root", "sudo"] {
        let error = store.create(&name(reserved), None, Intent::Stopped).unwrap_err();
        assert!(matches!(error, StoreError::Reserved { .. }), "{error}");
    }
    assert_eq!(names(&store), ["default", "coder"]);
}

#[test]
fn a_directory_without_soul_stays() {
    let (dir, store) = store();
    fs::create_dir_all(dir.path().join("profiles/coder/precious")).unwrap();
    let error = store.create(&name("coder"), None, Intent::Stopped).unwrap_err();
    assert!(matches!(error, StoreError::Exists { .. }), "{error}");
    assert_eq!(entries(&dir.path().join("profiles/coder")), ["precious"]);
    assert_eq!(entries(&dir.path().join("profiles")), [".locks", "coder"]);
}

#[test]
fn ports_are_the_lowest_that_no_other_profile_names() {
    let (_dir, store) = store();
    let port = |store: &Store, n: &str| {
        let profile = store.create(&name(n), None, Intent::Stopped).unwrap();
        store.port(&profile).unwrap().unwrap()
    };
    assert_eq!(port(&store, "a"), FIRST_PORT);
    store.create(&name("b"), Some(FIRST_PORT + 2), Intent::Stopped).unwrap();
    assert_eq!(port(&store, "c"), FIRST_PORT + 1);
    assert_eq!(port(&store, "d"), FIRST_PORT + 3);
    store.delete(&name("a"), false).unwrap();
    assert_eq!(port(&store, "e"), FIRST_PORT, "a freed port is free");
    let e = store.get(&name("e")).unwrap();
    assert_eq!(store.set_port(&e, None).unwrap(), FIRST_PORT, "its own port counts as free");
}

#[test]
fn a_port_is_written_and_the_rest_of_the_file_kept() {
    let (_dir, store) = store();
    let profile = store.create(&name("coder"), None, Intent::Stopped).unwrap();
    let config = profile.home.config();
    fs::write(&config, "# mine\nmodel: {x: 1}\ngateway:\n  port: 9000 # here\n").unwrap();
    fs::set_permissions(&config, fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(store.set_port(&profile, Some(9009)).unwrap(), 9009);
    let text = fs::read_to_string(&config).unwrap();
    assert_eq!(text, "# mine\nmodel: {x: 1}\ngateway:\n  port: 9009 # here\n");
    assert_eq!(fs::metadata(&config).unwrap().permissions().mode() & 0o777, 0o640);
    fs::remove_file(&config).unwrap();
    assert_eq!(store.port(&profile).unwrap(), None, "an absent port claims none");
    assert_eq!(store.set_port(&profile, None).unwrap(), FIRST_PORT);
    assert_eq!(store.port(&profile).unwrap(), Some(FIRST_PORT));
}

#[test]
fn default_alone_falls_back_to_the_first_port() {
    let (_dir, store) = store();
    let default = store.get(&ProfileName::default_profile()).unwrap();
    assert_eq!(store.port(&default).unwrap(), Some(FIRST_PORT));
    store.set_port(&default, Some(9000)).unwrap();
    assert_eq!(store.port(&default).unwrap(), Some(9000));
}

#[test]
fn profiles_made_at_once_get_ports_of_their_own() {
    let (_dir, store) = store();
    thread::scope(|scope| {
        for i in 0..8 {
            let store = &store;
            scope.spawn(move || {
                store.create(&name(&format!("p{i}")), None, Intent::Stopped).unwrap()
            });
        }
    });
    let profiles = store.list().unwrap().profiles;
    let ports = profiles.iter().skip(1).map(|profile| store.port(profile).unwrap().unwrap());
    let mut ports: Vec<_> = ports.collect();
    ports.sort_unstable();
    assert_eq!(ports, (FIRST_PORT..FIRST_PORT + 8).collect::<Vec<_>>());
}

#[test]
fn delete_removes_home_logs_and_choice() {
    let (dir, store) = store();
    for (n, keep) in [("gone", false), ("kept", true)] {
        store.create(&name(n), None, Intent::Stopped).unwrap();
        let logs = dir.path().join("logs/gateways").join(n);
        fs::create_dir_all(&logs).unwrap();
        store.set_active(&name(n)).unwrap();
        store.delete(&name(n), keep).unwrap();
        assert_eq!(logs.exists(), keep);
        assert_eq!(store.active().unwrap(), None, "a deleted profile is not the chosen one");
    }
    assert_eq!(entries(&dir.path().join("profiles")), [".locks"]);
    let absent = store.delete(&name("gone"), false).unwrap_err();
    assert!(matches!(absent, StoreError::Absent { .. }), "{absent}");
    let default = store.delete(&ProfileName::default_profile(), false).unwrap_err();
    assert!(matches!(default, StoreError::Default), "{default}");
}

#[test]
fn deleting_a_link_leaves_what_it_points_to() {
    let (dir, store) = store();
    let elsewhere = tempfile::tempdir().unwrap();
    fs::write(elsewhere.path().join("SOUL.md"), "").unwrap();
    fs::create_dir_all(dir.path().join("profiles")).unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), dir.path().join("profiles/linked")).unwrap();
    assert_eq!(names(&store), ["default", "linked"]);
    store.delete(&name("linked"), false).unwrap();
    assert_eq!(names(&store), ["default"]);
    assert!(elsewhere.path().join("SOUL.md").exists());
}

#[test]
fn list_separates_profiles_from_other_directories() {
    let (dir, store) = store();
    assert_eq!(names(&store), ["default"], "in an empty home");
    let profiles = dir.path().join("profiles");
    for real in ["b", "a", "Upper", "default", ".hidden"] {
        fs::create_dir_all(profiles.join(real)).unwrap();
        fs::write(profiles.join(real).join("SOUL.md"), "").unwrap();
    }
    fs::create_dir(profiles.join("no-soul")).unwrap();
    fs::write(profiles.join("file"), "").unwrap();
    assert_eq!(names(&store), ["default", "a", "b"]);
    let skipped = store.list().unwrap().skipped;
    let skipped: Vec<_> = skipped
        .iter()
        .map(|skipped| (skipped.path.file_name().unwrap().to_str().unwrap(), &*skipped.reason))
        .collect();
    assert_eq!(
        skipped,
        [
            ("Upper", "invalid profile name `Upper`: it must be lower case"),
            ("default", "the profile `default` lives in the root home itself"),
        ]
    );
}

#[test]
fn a_choice_is_kept_and_default_undoes_it() {
    let (dir, store) = store();
    assert_eq!(store.active().unwrap(), None);
    store.create(&name("coder"), None, Intent::Stopped).unwrap();
    store.set_active(&name("coder")).unwrap();
    assert_eq!(store.active().unwrap(), Some(name("coder")));
    assert!(matches!(store.set_active(&name("nobody")), Err(StoreError::Absent { .. })));
    assert_eq!(store.active().unwrap(), Some(name("coder")));
    store.set_active(&ProfileName::default_profile()).unwrap();
    assert_eq!(store.active().unwrap(), None);
    fs::write(dir.path().join("active_profile"), "../x\n").unwrap();
    assert!(matches!(store.active(), Err(StoreError::Active { .. })));
}

#[test]
fn only_leftovers_are_removed() {
    let (dir, store) = store();
    assert_eq!(store.remove_leftovers().unwrap().removed, 0, "in an empty home");
    store.create(&name("coder"), None, Intent::Stopped).unwrap();
    fs::create_dir_all(dir.path().join("profiles/.hermes-abc/home")).unwrap();
    fs::create_dir_all(dir.path().join("profiles/.mine")).unwrap();
    assert_eq!(store.remove_leftovers().unwrap().removed, 1);
    assert_eq!(store.remove_leftovers().unwrap().removed, 0);
    assert_eq!(entries(&dir.path().join("profiles")), [".locks", ".mine", "coder"]);
}

/// A home in which a deletion of `gone`, the chosen profile, was interrupted after its home was moved.
fn half_deleted(keep_logs: bool) -> (tempfile::TempDir, Store) {
    let (dir, store) = store();
    store.create(&name("gone"), None, Intent::Running).expect("done");
    store.set_active(&name("gone")).expect("done");
    fs::create_dir_all(dir.path().join("logs/gateways/gone")).expect("done");
    let grave = dir.path().join("profiles/.hermes-grave");
    fs::create_dir(&grave).expect("done");
    let note = format!(r#"{{ "profile": "gone", "keep_logs": {keep_logs} }}"#);
    fs::write(grave.join("deleted.json"), note).expect("done");
    fs::rename(dir.path().join("profiles/gone"), grave.join("home")).expect("done");
    (dir, store)
}

#[test]
fn an_interrupted_deletion_is_completed() {
    for keep_logs in [false, true] {
        let (dir, store) = half_deleted(keep_logs);
        assert_eq!(store.remove_leftovers().unwrap().removed, 1);
        assert_eq!(store.active().unwrap(), None);
        assert_eq!(dir.path().join("logs/gateways/gone").exists(), keep_logs);
        assert_eq!(entries(&dir.path().join("profiles")), [".locks"]);
    }
}

#[test]
fn a_new_profile_inherits_nothing() {
    let (dir, store) = half_deleted(false);
    store.create(&name("other"), None, Intent::Stopped).unwrap();
    assert!(
        dir.path().join("profiles/.hermes-grave").exists(),
        "the grave of another profile stays"
    );
    store.create(&name("gone"), None, Intent::Stopped).unwrap();
    assert_eq!(store.active().unwrap(), None);
    assert!(!dir.path().join("logs/gateways/gone").exists());
    assert_eq!(entries(&dir.path().join("profiles")), [".locks", "gone", "other"]);
}

#[test]
fn an_empty_grave_costs_no_profile() {
    let (dir, store) = half_deleted(false);
    let [grave, gone] = [".hermes-grave", "gone"].map(|at| dir.path().join("profiles").join(at));
    fs::rename(grave.join("home"), gone).unwrap();
    assert_eq!(store.remove_leftovers().unwrap().removed, 1);
    assert_eq!(store.active().unwrap(), Some(name("gone")));
    assert!(dir.path().join("logs/gateways/gone").exists());
    assert_eq!(names(&store), ["default", "gone"]);
}
