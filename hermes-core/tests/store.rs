//! The profile store, on real directories.

mod kit;

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::thread;

use hermes_core::store::{DEFAULT_PORT, FIRST_PORT, StoreError};
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
fn a_directory_that_is_no_profile_stays() {
    let (dir, store) = store();
    fs::create_dir_all(dir.path().join("profiles/coder/precious")).unwrap();
    let error = store.create(&name("coder"), None, Intent::Stopped).unwrap_err();
    assert!(matches!(error, StoreError::InTheWay { .. }), "{error}");
    assert_eq!(entries(&dir.path().join("profiles/coder")), ["precious"]);
    assert_eq!(entries(&dir.path().join("profiles")), [".locks", "coder"]);
}

/// The eight lowest ports that the store may assign on this machine.
fn free_ports() -> Vec<u16> {
    let is_free = |port: &u16| TcpListener::bind(("0.0.0.0", *port)).is_ok();
    (FIRST_PORT..=u16::MAX).filter(is_free).take(8).collect()
}

#[test]
fn ports_are_the_lowest_that_no_other_profile_names() {
    let (_dir, store) = store();
    let free = free_ports();
    let port = |store: &Store, n: &str| {
        let profile = store.create(&name(n), None, Intent::Stopped).unwrap();
        store.port(&profile).unwrap().unwrap()
    };
    assert_eq!(port(&store, "a"), free[0]);
    store.create(&name("b"), Some(free[2]), Intent::Stopped).unwrap();
    assert_eq!(port(&store, "c"), free[1]);
    assert_eq!(port(&store, "d"), free[3]);
    store.delete(&name("a"), false).unwrap();
    assert_eq!(port(&store, "e"), free[0], "a freed port is free");
    let e = store.get(&name("e")).unwrap();
    assert_eq!(store.set_port(&e, None).unwrap().0, free[0], "its own port counts as free");
    // A listener on any address takes the port, and a profile may have it all the same.
    let _listener = TcpListener::bind(("0.0.0.0", free[4])).unwrap();
    assert_eq!(port(&store, "f"), free[5]);
    store.create(&name("g"), Some(free[4]), Intent::Stopped).unwrap();
}

#[test]
fn a_new_profile_gets_no_port_of_another() {
    let (_dir, store) = store();
    store.create(&name("a"), Some(9000), Intent::Stopped).unwrap();
    let refused = |port: u16, owner: &str| {
        let error = store.create(&name("b"), Some(port), Intent::Stopped).unwrap_err();
        assert_eq!(error.to_string(), format!("port {port} belongs to profile `{owner}`"));
        assert!(store.find(&name("b")).unwrap().is_none());
    };
    refused(9000, "a");
    refused(DEFAULT_PORT, "default");
    store.set_port(&store.get(&ProfileName::default_profile()).unwrap(), Some(9001)).unwrap();
    refused(9001, "default");
    store.create(&name("b"), Some(DEFAULT_PORT), Intent::Stopped).unwrap();
}

#[test]
fn a_port_is_written_and_the_rest_of_the_file_kept() {
    let (_dir, store) = store();
    let profile = store.create(&name("coder"), None, Intent::Stopped).unwrap();
    let config = profile.home.config();
    fs::write(&config, "# mine\nmodel: {x: 1}\ngateway:\n  port: 9000 # here\n").unwrap();
    fs::set_permissions(&config, fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(store.set_port(&profile, Some(9009)).unwrap().0, 9009);
    let text = fs::read_to_string(&config).unwrap();
    assert_eq!(text, "# mine\nmodel: {x: 1}\ngateway:\n  port: 9009 # here\n");
    assert_eq!(fs::metadata(&config).unwrap().permissions().mode() & 0o777, 0o640);
    fs::remove_file(&config).unwrap();
    assert_eq!(store.port(&profile).unwrap(), None, "an absent port claims none");
    let lowest = free_ports()[0];
    assert_eq!(store.set_port(&profile, None).unwrap().0, lowest);
    assert_eq!(store.port(&profile).unwrap(), Some(lowest));
}

#[test]
fn default_alone_falls_back_to_its_port() {
    let (_dir, store) = store();
    let default = store.get(&ProfileName::default_profile()).unwrap();
    assert_eq!(store.port(&default).unwrap(), Some(DEFAULT_PORT));
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
    assert_eq!(ports, free_ports());
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
fn a_home_that_is_a_link_goes_with_its_target() {
    let (dir, store) = store();
    let elsewhere = tempfile::tempdir().unwrap();
    let target = elsewhere.path().join("target");
    fs::create_dir_all(target.join("memories/deep")).unwrap();
    fs::write(target.join("SOUL.md"), "").unwrap();
    fs::create_dir_all(dir.path().join("profiles")).unwrap();
    std::os::unix::fs::symlink(&target, dir.path().join("profiles/linked")).unwrap();
    assert_eq!(names(&store), ["default", "linked"]);
    store.check_deletion(&name("linked"), false).unwrap();
    store.delete(&name("linked"), false).unwrap();
    assert_eq!(names(&store), ["default"]);
    assert_eq!(entries(elsewhere.path()), Vec::<String>::new());
    store.create(&name("linked"), None, Intent::Stopped).unwrap();
}

#[test]
fn a_link_to_what_others_need_goes_alone() {
    let (dir, store) = store();
    store.create(&name("needed"), None, Intent::Stopped).unwrap();
    let profiles = dir.path().join("profiles");
    fs::write(dir.path().join("SOUL.md"), "").unwrap();
    fs::write(profiles.join("SOUL.md"), "").unwrap();
    fs::create_dir(profiles.join("needed/inner")).unwrap();
    fs::write(profiles.join("needed/inner/SOUL.md"), "").unwrap();
    for target in ["needed", "../profiles/needed", "needed/inner", ".", ".."] {
        std::os::unix::fs::symlink(target, profiles.join("linked")).unwrap();
        store.delete(&name("linked"), false).unwrap();
        assert!(profiles.join("needed/inner/SOUL.md").exists(), "{target}");
        assert_eq!(entries(&profiles), [".locks", "SOUL.md", "needed"], "{target}");
    }
}

#[test]
fn what_is_left_of_a_deletion_takes_nothing_of_a_new_profile() {
    for keep_logs in [false, true] {
        let (dir, store) = store();
        let profiles = dir.path().join("profiles");
        for of_the_old in [store.root().grave(&name("x"), keep_logs), profiles.join(".hermes-old")]
        {
            fs::create_dir_all(of_the_old.join("home")).unwrap();
            let note = format!(r#"{{ "profile": "x", "keep_logs": {keep_logs} }}"#);
            fs::write(of_the_old.join("deleted.json"), note).unwrap();
        }
        // A profile that came by hand.
        fs::create_dir(profiles.join("x")).unwrap();
        fs::write(profiles.join("x/SOUL.md"), "").unwrap();
        store.set_active(&name("x")).unwrap();
        fs::create_dir_all(dir.path().join("logs/gateways/x")).unwrap();
        assert_eq!(store.remove_leftovers().unwrap().removed, 2);
        assert_eq!(store.active().unwrap(), Some(name("x")));
        assert!(dir.path().join("logs/gateways/x").exists());
        assert_eq!(entries(&profiles), [".locks", "x"]);
    }
}

#[test]
fn a_grave_is_settled_before_its_name_is_used_again() {
    let (dir, store) = store();
    let profiles = dir.path().join("profiles");
    store.create(&name("y"), None, Intent::Stopped).unwrap();
    for (keep_logs, rename) in [(false, false), (false, true), (true, false)] {
        store.create(&name("x"), None, Intent::Stopped).unwrap();
        store.set_active(&name("x")).unwrap();
        let logs = dir.path().join("logs/gateways/x");
        fs::create_dir_all(&logs).unwrap();
        fs::rename(profiles.join("x"), store.root().grave(&name("x"), keep_logs)).unwrap();
        match rename {
            true => drop(store.rename(&name("y"), &name("x")).unwrap()),
            false => drop(store.create(&name("x"), None, Intent::Stopped).unwrap()),
        }
        assert_eq!(store.active().unwrap(), None);
        assert_eq!(logs.exists(), keep_logs);
        assert_eq!(store.remove_leftovers().unwrap().removed, 0);
        store.delete(&name("x"), false).unwrap();
        let _ = store.create(&name("y"), None, Intent::Stopped);
        assert_eq!(entries(&profiles), [".locks", "y"]);
        assert_eq!(entries(&dir.path().join("logs/gateways")), Vec::<String>::new());
    }
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

#[test]
fn a_home_that_was_staged_in_a_mount_point_is_settled() {
    let (dir, store) = store();
    let profiles = dir.path().join("profiles");
    fs::create_dir_all(profiles.join("begun/.hermes-home-abc")).unwrap();
    fs::create_dir_all(profiles.join("moved/.hermes-complete")).unwrap();
    fs::create_dir_all(profiles.join("moved/logs")).unwrap();
    fs::write(profiles.join("moved/.hermes-complete/SOUL.md"), "").unwrap();
    store.remove_leftovers().unwrap();
    assert_eq!(entries(&profiles.join("begun")), [""; 0]);
    assert_eq!(entries(&profiles.join("moved")), ["SOUL.md", "logs"]);
    assert_eq!(names(&store), ["default", "moved"]);
}

#[test]
fn what_was_left_beside_a_linked_configuration_is_removed() {
    let (dir, store) = store();
    let dotfiles = dir.path().join("dotfiles");
    fs::create_dir(&dotfiles).unwrap();
    let config = store.create(&name("a"), None, Intent::Stopped).unwrap().home.config();
    fs::rename(&config, dotfiles.join("a")).unwrap();
    std::os::unix::fs::symlink(dotfiles.join("a"), config).unwrap();
    fs::write(dotfiles.join(".hermes-new-abc"), "half").unwrap();
    assert_eq!(store.remove_leftovers().unwrap().removed, 1);
    assert_eq!(entries(&dotfiles), ["a"]);
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
