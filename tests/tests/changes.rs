//! The announcements of changed gateways, and the boot time of a tree.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::sync::Arc;

use hermes_core::changes::{Changed, Changes};
use hermes_core::{ProfileName, RootHome, ServiceManager, Store, Supervisor};
use hermes_s6::S6Driver;
use hermes_s6::S6Programs;
use hermes_s6::ScanDir;
use hermes_s6::ScriptPrograms;
use hermes_s6::Tree;
use hermes_tests::{Svscan, TestEnv, Up, eventually, hermes_program, kill, pid};

fn supervisor(env: &TestEnv) -> Supervisor {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let s6 = S6Programs::find("/".as_ref(), OsStr::new(&path)).expect("s6 is installed");
    let programs = ScriptPrograms::new(s6, hermes_program());
    let root = RootHome::new(env.home());
    let tree = Tree::new(ScanDir::new(env.scandir()), root.clone(), programs);
    Supervisor::new(Arc::new(S6Driver::new(tree)), Store::new(root))
}

fn watch(env: &TestEnv) -> Box<dyn Changes> {
    let supervisor = supervisor(env);
    let changes = supervisor.driver().changes(supervisor.store()).expect("a watch");
    changes.expect("s6 can be watched")
}

fn name(name: &str) -> ProfileName {
    name.parse().expect("a name")
}

/// Blocks until all these profiles were announced; returns all announced ones.
#[track_caller]
fn announced(changes: &mut Box<dyn Changes>, names: &[&str]) -> BTreeSet<ProfileName> {
    let mut heard = BTreeSet::new();
    eventually(&format!("{names:?} are announced"), || {
        heard.extend(changes.take().expect("a watch").profiles);
        names.iter().all(|wanted| heard.contains(&name(wanted))).then_some(())
    });
    heard
}

#[test]
fn changes_name_their_gateway() {
    let tree = Svscan::start();
    for name in ["a", "b"] {
        tree.env.profile_running(name, "exec sleep 600");
    }
    let mut changes = watch(&tree.env);
    assert_eq!(changes.take().expect("a watch").profiles, BTreeSet::new(), "nothing has happened");
    tree.env.hermes(["gateway", "start", "a"]).ok();
    announced(&mut changes, &["a"]);
    kill(pid(&tree.status("a")));
    assert!(!announced(&mut changes, &["a"]).contains(&name("b")));
    // No more changes are announced.
    tree.env.hermes(["gateway", "stop", "a"]).ok();
    // The intent and the configuration, without a process.
    for file in ["gateway.intent", "config.yaml"] {
        changes.take().expect("a watch");
        let path = tree.env.profile("b").join(file);
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        tree.env.write(&path, &text);
        assert!(!announced(&mut changes, &["b"]).contains(&name("default")), "{file}");
    }
    // The agent's own files are not watched.
    changes.take().expect("a watch");
    tree.env.write(&tree.env.profile("b").join("state.db"), "x");
    assert_eq!(changes.take().expect("a watch").profiles, BTreeSet::new());
}

#[test]
fn leftovers_are_announced_and_missed_events_are_found() {
    let tree = Svscan::start();
    tree.env.profile_running("a", "exec sleep 600");
    tree.env.profile_running("b", "exec sleep 600");
    let mut changes = watch(&tree.env);
    let nothing = Changed::default();
    assert_eq!(changes.compare().expect("a comparison"), nothing);
    for parent in [tree.env.home().join("profiles"), tree.env.scandir().to_path_buf()] {
        let leftover = parent.join(".hermes-left");
        tree.env.make_directory(&leftover);
        let changed = changes.take().expect("a watch");
        assert_eq!(changed, Changed { leftovers: true, ..Changed::default() }, "{parent:?}");
        std::fs::remove_dir(leftover).expect("a directory");
        changes.take().expect("a watch");
        assert!(changes.compare().expect("a comparison").leftovers);
    }
    // No event tells of a mode.
    for directory in [tree.env.profile("b"), tree.env.slot("b").join("supervise")] {
        let before = std::fs::metadata(&directory).expect("a directory").permissions();
        std::fs::set_permissions(&directory, before).expect("a new time of change");
        assert_eq!(changes.take().expect("a watch"), nothing);
        let profiles = changes.compare().expect("a comparison").profiles;
        assert_eq!(profiles, BTreeSet::from([name("b")]), "{directory:?}");
        assert_eq!(changes.compare().expect("a comparison"), nothing);
    }
}

#[test]
fn new_slots_are_watched_and_removals_reported() {
    let tree = Svscan::start();
    // At first there is no `profiles/` directory.
    let mut changes = watch(&tree.env);
    tree.env.profile_running("late", "exec sleep 600");
    eventually("all gateways or this profile are announced", || {
        let changed = changes.take().expect("a watch");
        (changed.all || changed.profiles.contains(&name("late"))).then_some(())
    });
    tree.env.hermes(["gateway", "start", "late"]).ok();
    announced(&mut changes, &["late"]);
    tree.env.hermes(["profile", "delete", "late", "-y"]).ok();
    announced(&mut changes, &["late"]);
    tree.env.profile_running("late", "exec sleep 600");
    announced(&mut changes, &["late"]);
    changes.take().expect("a watch");
    tree.env.hermes(["gateway", "start", "late"]).ok();
    announced(&mut changes, &["late"]);
}

#[test]
fn recorded_deaths_match_the_status() {
    let mut env = TestEnv::new();
    env.faster = 100;
    let tree = Svscan::start_with(env, &[]);
    tree.env.profile_running("a", "exec sleep 600");
    let manager = supervisor(&tree.env);
    assert_eq!(manager.recent_deaths(&name("a")).expect("times"), []);
    tree.env.hermes(["gateway", "start", "a"]).ok();
    for _ in 0..3 {
        let old = pid(&tree.status("a"));
        kill(old);
        eventually("it is up again", || {
            let now = tree.status("a")["pid"].as_u64();
            now.filter(|now| *now != old)
        });
    }
    // A requested stop is not a death.
    tree.env.hermes(["gateway", "restart", "a"]).ok();
    let times = manager.recent_deaths(&name("a")).expect("times");
    assert_eq!((times.len(), &tree.status("a")["deaths"]), (3, &3.into()));
    assert!(times.is_sorted());
    assert!(manager.recent_deaths(&name("nobody")).is_err());
}

#[test]
fn the_boot_time_of_a_tree_is_kept() {
    let env = TestEnv::new();
    env.profile_for_later("a", "exec sleep 600", "running");
    let up = Up::start_in(env);
    let manager = supervisor(&up.env);
    let took = manager.boot_duration().expect("a tree").expect("a boot");
    assert!(!took.is_zero(), "a gateway without readiness is up after a second: {took:?}");
    up.env.hermes(["boot"]).ok();
    assert_eq!(manager.boot_duration().expect("a tree"), Some(took), "it was the first one's");
    let bare = Svscan::start();
    assert_eq!(supervisor(&bare.env).boot_duration().expect("a tree"), None);
}
