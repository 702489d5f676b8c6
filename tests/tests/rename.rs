//! `profile rename` with and without a live tree: what moves, what is refused, and concurrent commands. Crashes
//! and failing steps are in `rename_crash`.

use std::fs;

use hermes_tests::{
    Helper, Svscan, TestEnv, alone, eventually, free_port, hermes_program, is_alive,
    is_one_clear_error, pid, supervisors,
};
use serde_json::json;

const SILENT: &str = "exec sleep 600";

/// The sorted names in a directory.
fn names(directory: &std::path::Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    let mut names: Vec<_> = entries
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
        .filter(|name| name != ".gateways")
        .collect();
    names.sort();
    names
}

/// Asserts that `a` exists and no trace of a rename.
#[track_caller]
fn is_untouched(env: &TestEnv, others: &[&str]) {
    let all = [&[".locks", "a"], others].concat();
    assert_eq!(names(&env.home().join("profiles")), all);
}

#[test]
fn a_running_gateway_runs_under_the_new_name() {
    let tree = Svscan::start();
    let env = &tree.env;
    let port = env.profile_serving("a");
    env.hermes(["gateway", "start", "a"]).ok();
    env.hermes(["profile", "use", "a"]).ok();
    let old = pid(&tree.status("a"));
    let mut ended = supervisors(&env.slot("a"));
    ended.push(old);
    let said = eventually("its log begins", || Some(env.logged("a")).filter(|log| !log.is_empty()));
    let renamed = env.hermes(["profile", "rename", "a", "b"]).ok();
    assert_eq!(renamed.stdout, "");
    let told = "renamed profile `a` to `b`\nits gateway is registered and up\n";
    assert_eq!(renamed.stderr, told);
    assert!(!ended.iter().any(|pid| is_alive(*pid)), "nothing of the old service is left");
    let status = tree.status("b");
    assert_eq!((&status["state"], &status["intent"]), (&"up".into(), &"running".into()));
    assert_eq!(status["port"], port);
    assert!(!env.slot("a").exists() && !env.profile("a").exists());
    assert_eq!(names(&env.home().join("profiles")), [".locks", "b"]);
    assert_eq!(names(&env.home().join("logs/gateways")), ["b"]);
    assert_eq!(fs::read_to_string(env.home().join("active_profile")).unwrap(), "b\n");
    let listens = |line: &String| line.contains("gateway `b` listens");
    let logs = eventually("its log goes on", || {
        Some(env.logged("b")).filter(|logs| logs.iter().any(listens))
    });
    assert!(!said.is_empty() && logs.starts_with(&said), "{logs:?}");
    env.hermes(["gateway", "status", "a"]).fails_with(4);
    let shown = env.hermes(["profile", "rename", "b", "c", "--json"]).ok().json();
    let expected = json!({ "profile": "c", "home": env.profile("c"), "chosen": true,
        "port": port, "intent": "running", "state": "up", "problem": null });
    assert_eq!(shown, expected);
}

#[test]
fn a_stopped_gateway_stays_down() {
    let tree = Svscan::start();
    let env = &tree.env;
    env.profile_running("a", SILENT);
    let renamed = env.hermes(["profile", "rename", "a", "b"]).ok();
    assert!(renamed.stderr.ends_with("its gateway is registered and down\n"), "{renamed}");
    let status = tree.status("b");
    assert_eq!((&status["state"], &status["intent"]), (&"down".into(), &"stopped".into()));
    env.hermes(["gateway", "unregister", "b"]).ok();
    env.hermes(["profile", "rename", "b", "c"]).ok();
    assert_eq!(tree.status("c")["state"], "down");
    assert_eq!(env.hermes(["profile", "show", "--json"]).json()["profile"], "default");
}

#[test]
fn a_crashing_gateway_is_not_waited_for() {
    let tree = Svscan::start();
    let env = &tree.env;
    env.profile_running("a", "exit 78");
    env.hermes(["gateway", "start", "a"]).fails_with(1);
    env.hermes(["profile", "rename", "a", "b"]).ok();
    eventually("it is tried under its new name", || {
        (tree.status("b")["state"] == "parked").then_some(())
    });
    assert_eq!(tree.status("b")["intent"], "running");
}

#[test]
fn refused_renames_change_nothing() {
    let tree = Svscan::start();
    let env = &tree.env;
    env.profile_running("a", SILENT);
    env.profile_running("taken", SILENT);
    env.hermes(["gateway", "start", "a"]).ok();
    let gateway = pid(&tree.status("a"));
    for mine in [env.profile("dir"), env.home().join("logs/gateways/kept")] {
        env.make_directory(&mine);
        env.write(&mine.join("notes"), "");
    }
    env.make_directory(&env.slot("stale"));
    let long = "a".repeat(244);
    for (from, to, code, said) in [
        ("default", "b", 1, "can't be deleted or renamed"),
        ("nope", "b", 4, "profile `nope` does not exist"),
        ("a", "a", 1, "profile `a` already exists"),
        ("a", "taken", 1, "profile `taken` already exists"),
        ("a", "default", 1, "profile `default` already exists"),
        ("a", "root", 1, "the name `root` is reserved"),
        ("a", "dir", 1, "profiles/dir` is in the way"),
        ("a", "kept", 1, "logs/gateways/kept` is in the way"),
        ("a", "stale", 1, "belongs to no profile"),
        ("a", &long, 1, "243"),
    ] {
        let refused = env.hermes(["profile", "rename", from, to]).fails_with(code);
        is_one_clear_error(&refused);
        assert!(refused.stderr.contains(said), "{said}: {refused}");
    }
    for wrong in ["B", "", "a/b", "-b"] {
        env.hermes(["profile", "rename", "--", "a", wrong]).fails_with(2);
    }
    assert_eq!(pid(&tree.status("a")), gateway, "it was never touched");
    is_untouched(env, &["dir", "taken"]);
    env.hermes(["boot"]).ok();
    // As `profile create` does, it replaces empty directories.
    env.make_directory(&env.profile("stale"));
    env.make_directory(&env.home().join("logs/gateways/stale"));
    env.hermes(["profile", "rename", "a", "stale"]).ok();
}

#[test]
fn the_variables_of_a_registration_stay() {
    let tree = Svscan::start();
    let env = &tree.env;
    env.profile_running(
        "a",
        "case $HERMES_PROFILE in c) exit 9;; esac; echo \"it is $WORD\"; exec sleep 600",
    );
    env.hermes(["gateway", "unregister", "a"]).ok();
    let word = "WORD=two words, 'quoted'";
    env.hermes(["gateway", "register", "a", "--env", word, "--start"]).ok();
    let has_said = |name: &str, times| {
        eventually("it has its word", || {
            let words = env.logged(name);
            let said = words.iter().filter(|line| line.contains("it is two words, 'quoted'"));
            (said.count() == times).then_some(())
        });
    };
    has_said("a", 1);
    env.hermes(["profile", "rename", "a", "b"]).ok();
    has_said("b", 2);
    env.hermes(["profile", "rename", "b", "c"]).fails_with(1);
    has_said("b", 3);
    env.hermes_injected(&["renameat2:error=EIO:when=2"], ["profile", "delete", "b", "-y"])
        .fails_with(1);
    has_said("b", 4);
}

#[test]
fn an_unreachable_tree_changes_nothing() {
    let env = TestEnv::new();
    alone(&env, ["profile", "create", "a"]).ok();
    let refused = env.hermes(["profile", "rename", "a", "b"]).fails_with(5);
    is_one_clear_error(&refused);
    is_untouched(&env, &[]);
}

#[test]
fn rename_works_without_a_tree() {
    let env = TestEnv::new();
    alone(&env, ["profile", "create", "a"]).ok();
    alone(&env, ["profile", "use", "a"]).ok();
    let renamed = alone(&env, ["profile", "rename", "a", "b"]).ok();
    let told = "renamed profile `a` to `b`\n`hermes up` runs a supervision tree, `hermes gateway start b` then starts its gateway\n";
    assert_eq!((renamed.stdout.as_str(), renamed.stderr.as_str()), ("", told));
    assert_eq!(names(&env.home().join("profiles")), [".locks", "b"]);
    assert_eq!(fs::read_to_string(env.home().join("active_profile")).unwrap(), "b\n");
    is_one_clear_error(&alone(&env, ["profile", "rename", "a", "c"]).fails_with(4));
}

#[test]
fn a_gateway_run_by_hand_keeps_its_profile() {
    let env = TestEnv::new();
    let port = free_port().to_string();
    alone(&env, ["profile", "create", "a", "--port", &port]).ok();
    let mut gateway = env.command(hermes_program());
    gateway.args(["-p", "a", "gateway", "start", "--foreground"]).env_remove("HERMES_SCANDIR");
    let gateway = Helper::start(gateway.stderr(std::process::Stdio::null()));
    let lock = env.home().join("profiles/.gateways/a");
    eventually("it holds its lock", || hermes_core::process_lock::holder(&lock).ok()?);
    let refused = alone(&env, ["profile", "rename", "a", "b"]).fails_with(1);
    is_one_clear_error(&refused);
    let said = format!("its gateway runs as {}", gateway.pid());
    assert!(refused.stderr.contains(&said), "{refused}");
    is_untouched(&env, &[]);
    drop(gateway);
    alone(&env, ["profile", "rename", "a", "b"]).ok();
}

#[test]
fn a_full_scan_directory_changes_nothing() {
    let tree = Svscan::start_with_room_for(3, TestEnv::new());
    let env = &tree.env;
    env.profile_running("a", SILENT);
    env.hermes(["gateway", "unregister", "a"]).ok();
    env.hermes(["profile", "use", "a"]).ok();
    let fill = (0..8).map(|n| format!("p{n}"));
    let made =
        fill.take_while(|name| env.hermes(["profile", "create", name]).run().code() == Some(0));
    let made: Vec<_> = made.collect();
    assert!(!made.is_empty() && made.len() < 8, "it is full: {made:?}");
    let refused = env.hermes(["profile", "rename", "a", "b"]).fails_with(1);
    is_one_clear_error(&refused);
    assert!(refused.stderr.contains("is full"), "{refused}");
    is_untouched(env, &made.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(fs::read_to_string(env.home().join("active_profile")).unwrap(), "a\n");
    // A profile with a slot frees that slot.
    env.hermes(["profile", "rename", "p0", "b"]).ok();
}

#[test]
fn a_death_under_the_new_name_is_undone() {
    let tree = Svscan::start();
    let env = &tree.env;
    env.profile_running("a", "test $HERMES_PROFILE = a && exec sleep 600; echo only a; exit 1");
    env.hermes(["gateway", "start", "a"]).ok();
    env.hermes(["profile", "use", "a"]).ok();
    let before = pid(&tree.status("a"));
    let refused = env.hermes(["profile", "rename", "a", "b"]).fails_with(1);
    is_one_clear_error(&refused);
    let status = tree.status("a");
    assert_eq!((&status["state"], &status["intent"]), (&"up".into(), &"running".into()));
    assert_ne!(pid(&status), before);
    is_untouched(env, &[]);
    assert!(!env.slot("b").exists());
    assert_eq!(names(&env.home().join("logs/gateways")), ["a"]);
    assert!(env.logged("a").contains(&"only a".to_owned()), "its log can be read");
    assert_eq!(fs::read_to_string(env.home().join("active_profile")).unwrap(), "a\n");
}

#[test]
fn a_taken_port_is_seen_before_the_stop() {
    let tree = Svscan::start();
    let env = &tree.env;
    env.profile_serving("a");
    let port = env.profile_serving("rival").to_string();
    env.hermes(["gateway", "start", "a", "rival"]).ok();
    let gateway = pid(&tree.status("a"));
    env.hermes(["profile", "port", "a", &port]).ok();
    let refused = env.hermes(["profile", "rename", "a", "b"]).fails_with(1);
    is_one_clear_error(&refused);
    assert!(refused.stderr.contains(&format!("port {port} belongs to `rival`")), "{refused}");
    assert_eq!(pid(&tree.status("a")), gateway);
}

#[test]
fn an_invalid_journal_holds_up_nobody() {
    let tree = Svscan::start();
    let env = &tree.env;
    env.profile_for_later("a", SILENT, "running");
    let journal = env.profile(".mv-gone");
    env.write(&journal, "\u{1}\u{2}");
    let booted = env.hermes(["boot"]).fails_with(1);
    assert!(booted.stderr.contains("no journal of a rename"), "{booted}");
    assert_eq!(tree.status("a")["state"], "up");
    let log = fs::read_to_string(env.home().join("logs/container-boot.log")).unwrap();
    assert!(log.contains("action=unreadable") && log.contains(".mv-gone"), "{log}");
    let doctor = env.hermes(["doctor"]).run();
    assert!(doctor.stdout.contains(&format!("rm -rf -- {}", journal.display())), "{doctor}");
    env.hermes(["profile", "rename", "a", "b"]).ok();
}

#[test]
fn start_settles_an_interrupted_rename() {
    let tree = Svscan::start();
    let env = &tree.env;
    env.profile_for_later("a", SILENT, "running");
    env.make_directory(&env.home().join("logs/gateways"));
    env.make_directory(&env.home().join("logs/gateways/a"));
    env.write(&env.profile(".mv-a"), "b\n");
    let plan = || env.hermes(["boot", "--dry-run"]).ok().stdout;
    assert!(plan().starts_with("undo the rename of a: it was to be `b`\n"), "{}", plan());
    fs::rename(env.profile("a"), env.profile("b")).unwrap();
    assert!(plan().starts_with("finish the rename of b: it was `a`\n"), "{}", plan());
    assert!(env.profile(".mv-a").exists());
    env.hermes(["gateway", "start", "b"]).ok();
    assert!(!env.profile(".mv-a").exists());
    assert_eq!(names(&env.home().join("logs/gateways")), ["b"]);
    assert!(!plan().contains("rename"), "{}", plan());
}

#[test]
fn concurrent_renames_and_commands_lose_nothing() {
    let tree = Svscan::start();
    let env = &tree.env;
    env.profile_running("a", SILENT);
    env.write(&env.profile("a").join("memory"), "mine");
    env.hermes(["gateway", "start", "a"]).ok();
    let lines: [&[&str]; 6] = [
        &["profile", "rename", "a", "b"],
        &["profile", "rename", "b", "a"],
        &["gateway", "start", "a"],
        &["gateway", "restart", "b"],
        &["gateway", "stop", "a"],
        &["boot"],
    ];
    let done = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for line in lines {
            let done = &done;
            scope.spawn(move || {
                for _ in 0..6 {
                    let outcome = env.hermes(line.iter().copied()).run();
                    // One command finds the profile under its other name.
                    assert!(matches!(outcome.code(), Some(0 | 4)), "{outcome}");
                    if line.contains(&"rename") && outcome.code() == Some(0) {
                        done.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert!(done.into_inner() > 0, "some were renamed");
    env.hermes(["boot"]).ok();
    let profiles = names(&env.home().join("profiles"));
    let [_, name] = &profiles[..] else { panic!("{profiles:?}") };
    assert_eq!(fs::read_to_string(env.profile(name).join("memory")).unwrap(), "mine");
    let slots = names(&env.scandir()).into_iter().filter(|slot| slot.contains("gateway-"));
    assert_eq!(slots.collect::<Vec<_>>(), [&format!("gateway-{name}"), "gateway-default"]);
    let other = if name == "a" { "b" } else { "a" };
    assert!(!env.home().join("logs/gateways").join(other).exists());
    env.hermes(["gateway", "start", name]).ok();
}
