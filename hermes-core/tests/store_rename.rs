//! Renames in the profile store: complete, refused, failed and interrupted after each step.

mod kit;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use hermes_core::store::{Settled, StoreError};
use hermes_core::{Intent, ProfileName, RootHome, Store};
use kit::entries;

struct Home {
    dir: tempfile::TempDir,
    store: Store,
}

fn name(name: &str) -> ProfileName {
    name.parse().expect("a valid name")
}

/// A home with the profile `a`, which has logs and is the chosen one.
fn home() -> Home {
    let dir = tempfile::tempdir().expect("a directory");
    let store = Store::new(RootHome::new(dir.path())).with_timeout(Duration::from_secs(60));
    store.create(&name("a"), Some(9000), Intent::Running).expect("a profile");
    fs::create_dir_all(dir.path().join("logs/gateways/a")).expect("a directory");
    fs::write(dir.path().join("logs/gateways/a/current"), "said\n").expect("a file");
    store.set_active(&name("a")).expect("a choice");
    Home { dir, store }
}

impl Home {
    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    /// Asserts that the profile is called `is`, with all its files, and that nothing is called `not`.
    #[track_caller]
    fn is_called(&self, is: &str, not: &str) {
        let profile = self.store.get(&name(is)).expect("a profile");
        assert_eq!(entries(profile.home.path()).len(), 5, "all files of its home");
        assert_eq!(Intent::read(&profile.home).expect("an intent"), Intent::Running);
        assert_eq!(self.store.port(&profile).expect("a configuration"), Some(9000));
        assert_eq!(entries(&self.path("logs/gateways")), [is]);
        assert_eq!(
            fs::read_to_string(self.path("logs/gateways").join(is).join("current")).expect("logs"),
            "said\n"
        );
        assert_eq!(self.store.active().expect("a choice"), Some(name(is)));
        assert_eq!(entries(&self.path("profiles")), [".locks", is]);
        assert_eq!(entries(&self.path("profiles/.locks")), [""; 0]);
        assert!(self.store.find(&name(not)).expect("a readable home").is_none());
    }

    fn settle(&self) -> Option<Settled> {
        self.store.settle_rename(&name("a"), &name("b"), Duration::ZERO).expect("no lock is held")
    }
}

#[test]
fn home_logs_choice_and_intent_move() {
    let home = home();
    let profile = home.store.rename(&name("a"), &name("b")).unwrap();
    assert_eq!(profile.home.path(), home.path("profiles/b"));
    home.is_called("b", "a");
    home.store.rename(&name("b"), &name("a")).unwrap();
    home.is_called("a", "b");
}

#[test]
fn a_choice_of_another_stays() {
    let home = home();
    home.store.create(&name("c"), None, Intent::Stopped).unwrap();
    home.store.set_active(&name("c")).unwrap();
    home.store.rename(&name("a"), &name("b")).unwrap();
    assert_eq!(home.store.active().unwrap(), Some(name("c")));
}

#[test]
fn refusals_come_before_any_change() {
    let home = home();
    home.store.create(&name("c"), None, Intent::Stopped).unwrap();
    for mine in ["profiles/dir", "logs/gateways/kept"].map(|mine| home.path(mine)) {
        fs::create_dir(&mine).unwrap();
        fs::write(mine.join("notes"), "").unwrap();
    }
    let refused = |from: &str, to: &str| home.store.rename(&name(from), &name(to)).unwrap_err();
    assert!(matches!(refused("default", "b"), StoreError::Default));
    assert!(matches!(refused("a", "tmp"), StoreError::Reserved { .. }));
    assert!(matches!(refused("nope", "b"), StoreError::Absent { .. }));
    for taken in ["a", "c", "default"] {
        assert!(matches!(refused("a", taken), StoreError::Exists { .. }), "{taken}");
    }
    for existing in ["profiles/dir", "logs/gateways/kept"] {
        let to = existing.rsplit('/').next().unwrap();
        match refused("a", to) {
            StoreError::InTheWay { path } => assert_eq!(path, home.path(existing)),
            error => panic!("{error}"),
        }
    }
    assert_eq!(entries(&home.path("profiles")), [".locks", "a", "c", "dir"]);
    assert_eq!(home.store.active().unwrap(), Some(name("a")));
}

#[test]
fn a_failed_step_undoes_earlier_ones() {
    let home = home();
    let renaming = home.store.begin_rename(&name("a"), &name("b"), Duration::ZERO).unwrap();
    renaming.record().unwrap();
    // Logs of the new name make a step fail after the home was moved.
    fs::create_dir(home.path("logs/gateways/b")).unwrap();
    let error = renaming.move_files().unwrap_err();
    assert!(matches!(error, StoreError::Rename { .. }), "{error}");
    assert!(home.path("profiles/b").exists());
    fs::remove_dir(home.path("logs/gateways/b")).unwrap();
    renaming.move_back().unwrap();
    drop(renaming);
    home.is_called("a", "b");
}

#[test]
fn the_name_of_the_home_decides_after_a_crash() {
    // The steps of a rename, in their order.
    let steps: [fn(&Home); 4] = [
        |home| fs::write(home.path("profiles/.mv-a"), "b\n").unwrap(),
        |home| fs::rename(home.path("profiles/a"), home.path("profiles/b")).unwrap(),
        |home| fs::rename(home.path("logs/gateways/a"), home.path("logs/gateways/b")).unwrap(),
        |home| fs::write(home.path("active_profile"), "b\n").unwrap(),
    ];
    for last in 1..=steps.len() {
        let home = home();
        steps[..last].iter().for_each(|step| step(&home));
        let found = home.store.interrupted_renames().unwrap();
        assert_eq!(found[0].names, Ok((name("a"), name("b"))));
        let (settled, is, not) = match last {
            1 => (Settled::Undone, "a", "b"),
            _ => (Settled::Finished { left: None }, "b", "a"),
        };
        assert_eq!(home.settle(), Some(settled), "after {last} steps");
        home.is_called(is, not);
        assert_eq!(home.settle(), None, "a second time");
        home.is_called(is, not);
    }
}

#[test]
fn any_change_settles_an_interrupted_rename() {
    let torn = || {
        let home = home();
        fs::write(home.path("profiles/.mv-a"), "b\n").unwrap();
        fs::rename(home.path("profiles/a"), home.path("profiles/b")).unwrap();
        home
    };
    let home = torn();
    home.store.rename(&name("b"), &name("c")).unwrap();
    home.is_called("c", "a");
    // The old name is free, although the logs still have it.
    let home = torn();
    home.store.rename(&name("b"), &name("a")).unwrap();
    home.is_called("a", "b");
    // A new `a` gets neither the logs nor the choice of the former one.
    let home = torn();
    home.store.create(&name("a"), None, Intent::Stopped).unwrap();
    assert_eq!(home.store.active().unwrap(), Some(name("b")));
    assert_eq!(entries(&home.path("logs/gateways")), ["b"]);
    assert_eq!(entries(&home.path("profiles")), [".locks", "a", "b"]);
    let home = torn();
    home.store.delete(&name("b"), false).unwrap();
    assert_eq!(entries(&home.path("logs/gateways")), [""; 0]);
    assert_eq!(entries(&home.path("profiles")), [".locks"]);
    assert_eq!(home.store.active().unwrap(), None);
}

#[test]
fn a_running_rename_is_not_settled() {
    let home = home();
    let renaming = home.store.begin_rename(&name("a"), &name("b"), Duration::ZERO).unwrap();
    renaming.record().unwrap();
    let settle = || home.store.settle_rename(&name("a"), &name("b"), Duration::ZERO);
    assert!(matches!(settle(), Err(StoreError::Lock(_))));
    renaming.move_files().unwrap();
    assert!(matches!(settle(), Err(StoreError::Lock(_))));
    renaming.move_back().unwrap();
    drop(renaming);
    assert_eq!(home.settle(), None);
    home.is_called("a", "b");
}

#[test]
fn logs_under_both_names_are_both_kept() {
    let home = home();
    fs::write(home.path("profiles/.mv-a"), "b\n").unwrap();
    fs::rename(home.path("profiles/a"), home.path("profiles/b")).unwrap();
    fs::create_dir(home.path("logs/gateways/b")).unwrap();
    let left = Some(home.path("logs/gateways/a"));
    assert_eq!(home.settle(), Some(Settled::Finished { left }));
    assert_eq!(entries(&home.path("logs/gateways")), ["a", "b"]);
    assert_eq!(home.store.active().unwrap(), Some(name("b")));
}

#[test]
fn an_invalid_journal_is_reported() {
    let home = home();
    let wrong = [("default", "b"), ("a", "default"), ("a", "a"), ("a", ""), ("a", "B"), ("A", "b")];
    for (from, to) in wrong {
        let journal = home.path("profiles").join(format!(".mv-{from}"));
        fs::write(&journal, to).unwrap();
        let found = home.store.interrupted_renames().unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].path, journal);
        assert!(found[0].names.is_err(), "{from} -> {to}");
        home.store.settle_renames_of(&name("a"), Duration::ZERO).unwrap();
        assert!(journal.exists(), "it stays for the operator");
        fs::remove_file(journal).unwrap();
    }
    // A rename of the same profile replaces the journal.
    fs::write(home.path("profiles/.mv-a"), "\0").unwrap();
    home.store.rename(&name("a"), &name("b")).unwrap();
    home.is_called("b", "a");
}

#[test]
fn concurrent_renames_lose_no_profile() {
    let home = home();
    std::thread::scope(|scope| {
        for (from, to) in [("a", "b"), ("b", "a"), ("b", "c"), ("c", "a")] {
            let store = &home.store;
            scope.spawn(move || {
                for _ in 0..20 {
                    match store.rename(&name(from), &name(to)) {
                        Ok(_) | Err(StoreError::Absent { .. } | StoreError::Exists { .. }) => {}
                        Err(error) => panic!("{from} -> {to}: {error}"),
                    }
                }
            });
        }
    });
    let existing: Vec<_> =
        ["a", "b", "c"].into_iter().filter(|n| home.path("profiles").join(n).exists()).collect();
    let [is] = existing[..] else { panic!("{existing:?}") };
    home.is_called(is, if is == "a" { "b" } else { "a" });
}

#[test]
fn concurrent_swaps_are_refused_without_deadlock() {
    let home = home();
    home.store.create(&name("b"), None, Intent::Stopped).unwrap();
    let timeout = Duration::from_secs(60);
    let both = std::sync::Barrier::new(2);
    std::thread::scope(|scope| {
        for (from, to) in [("a", "b"), ("b", "a")] {
            let (store, both) = (&home.store, &both);
            scope.spawn(move || {
                both.wait();
                for _ in 0..500 {
                    let refused = store.begin_rename(&name(from), &name(to), timeout).unwrap_err();
                    assert!(matches!(refused, StoreError::Exists { .. }), "{refused}");
                }
            });
        }
    });
}

#[test]
fn half_written_journals_and_choices_are_removed() {
    let home = home();
    fs::write(home.path("profiles/.hermes-x1"), "b\n").unwrap();
    fs::write(home.path(".hermes-new-x1"), "b\n").unwrap();
    fs::write(home.path(".hermes-x1"), "not ours to remove").unwrap();
    assert_eq!(home.store.remove_leftovers().unwrap().removed, 2);
    home.is_called("a", "b");
    assert!(home.path(".hermes-x1").exists());
}
