//! `hermes boot` on empty and dirty scan directories, with valid and invalid profiles, and after a restart of the
//! whole tree.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use hermes_tests::{Svscan, TestEnv, eventually, free_port, is_alive, pid, supervisors};
use serde_json::{Value, json};

const SILENT: &str = "exec sleep 600";

/// The profiles `default` and `idle`, whose intent is `stopped`, and `wanted`.
fn populated() -> TestEnv {
    let env = TestEnv::new();
    env.profile_for_later("idle", SILENT, "stopped");
    env.profile_for_later("wanted", SILENT, "running");
    env
}

/// A tree in which a new slot has no supervisor until s6-svscan is told: it has looked at the directory.
fn past_its_first_look() -> Svscan {
    let env = populated();
    let first = env.scandir().join("first");
    env.make_directory(&first);
    env.write(&first.join("down"), "");
    let tree = Svscan::start_with(env, &[]);
    let is_seen = || first.join("supervise/status").exists().then_some(());
    eventually("s6-svscan has looked at the directory", is_seen);
    tree
}

/// The actions that `boot` prints with these options, each with its object.
#[track_caller]
fn boot(env: &TestEnv, options: &[&str]) -> Vec<(String, String)> {
    let args = ["boot", "--json"].into_iter().chain(options.iter().copied());
    let outcome = env.hermes(args).ok().json();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let about = |action: &Value| {
        ["profile", "what", "path"].iter().find_map(|key| text(&action[key])).expect("an object")
    };
    let actions = outcome.as_array().expect("a list").iter();
    actions.map(|action| (text(&action["action"]).expect("a verb"), about(action))).collect()
}

fn did(actions: &[(&str, &str)]) -> Vec<(String, String)> {
    actions.iter().map(|(verb, about)| ((*verb).to_owned(), (*about).to_owned())).collect()
}

/// The lines of container-boot.log, each as its fields by name.
fn boot_log(env: &TestEnv) -> Vec<BTreeMap<String, String>> {
    let path = env.home().join("logs/container-boot.log");
    let text = fs::read_to_string(path).unwrap_or_default();
    let words = |line: &str| {
        let words = line.splitn(5, ' ').filter_map(|word| word.split_once('='));
        words.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    };
    text.lines().map(words).collect()
}

/// All paths below a directory, with their type and change time.
fn snapshot(directory: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut pending = vec![directory.to_owned()];
    while let Some(path) = pending.pop() {
        let metadata = fs::symlink_metadata(&path).expect("metadata");
        let changed = metadata.modified().expect("a time");
        if metadata.is_dir() {
            let entries = fs::read_dir(&path).expect("a directory");
            // Every command creates and removes locks.
            let locks = |path: &Path| path.ends_with(".locks");
            pending.extend(entries.map(|entry| entry.expect("an entry").path()));
            pending.retain(|path| !locks(path));
        }
        let what =
            format!("{} {:o} {} {changed:?}", metadata.ino(), metadata.mode(), metadata.len());
        found.insert(path, what);
    }
    found
}

fn states<const N: usize>(tree: &Svscan, profiles: [&str; N]) -> [Value; N] {
    profiles.map(|profile| tree.status(profile)["state"].clone())
}

#[test]
fn boot_fills_an_empty_scan_directory() {
    let tree = Svscan::start_with(populated(), &[]);
    let env = &tree.env;
    let first = boot(env, &[]);
    assert_eq!(first, did(&[("register", "default"), ("register", "idle"), ("start", "wanted")]));
    let all = ["default", "idle", "wanted"];
    assert_eq!(states(&tree, all), ["down", "down", "up"]);
    let log = boot_log(env);
    let lines: Vec<_> = log.iter().map(|l| [&l["profile"], &l["prior"], &l["action"]]).collect();
    let expected = [
        ["default", "stopped", "registered"],
        ["idle", "stopped", "registered"],
        ["wanted", "running", "started"],
    ];
    assert_eq!(lines, expected);
    assert!(log.iter().all(|line| line["detail"] == "\"\""), "{log:?}");

    let pids = || all.map(|profile| supervisors(&env.slot(profile)));
    let everything = || (snapshot(&env.scandir()), snapshot(&env.home()), pids());
    // A boot does not wait for the start of loggers.
    let logs = all.map(|profile| env.home().join("logs/gateways").join(profile).join("current"));
    eventually("each has its log", || logs.iter().all(|log| log.exists()).then_some(()));
    let before = everything();
    assert!(before.2.iter().all(|pids| pids.len() == 2));
    let second = boot(env, &[]);
    assert_eq!(second, did(&[("keep", "default"), ("keep", "idle"), ("keep", "wanted")]));
    assert_eq!(everything(), before);
}

#[test]
fn a_dry_run_changes_nothing() {
    let tree = past_its_first_look();
    let env = &tree.env;
    env.make_directory(&env.scandir().join(".hermes-left"));
    env.make_directory(&env.slot("gone"));
    env.write(&env.profile("wanted").join("gateway.pid"), "1");
    let before = [snapshot(&env.scandir()), snapshot(&env.home())];
    let said = boot(env, &["--dry-run"]);
    assert_eq!([snapshot(&env.scandir()), snapshot(&env.home())], before);
    let left = env.scandir().join(".hermes-left").display().to_string();
    let expected = did(&[
        ("clear", &left),
        ("register", "default"),
        ("register", "idle"),
        ("remove", "gone"),
        ("start", "wanted"),
        ("sweep", "wanted"),
    ]);
    let sorted = |mut actions: Vec<_>| {
        actions.sort();
        actions
    };
    assert_eq!(sorted(said), expected);
    assert_eq!(sorted(boot(env, &[])), expected, "and the same is done");
    assert_eq!(states(&tree, ["default", "idle", "wanted"]), ["down", "down", "up"]);
}

#[test]
fn leftovers_are_cleared_with_their_supervisors() {
    let tree = Svscan::start_with(populated(), &[]);
    let env = &tree.env;
    boot(env, &[]);
    let gateway = pid(&tree.status("wanted"));
    let mut old = supervisors(&env.slot("wanted"));
    old.push(gateway);
    // As after a crash between the move to a dot name and the removal.
    fs::rename(env.slot("wanted"), env.scandir().join(".hermes-live")).unwrap();
    let staged = env.scandir().join(".hermes-staged");
    env.make_directory(&staged);
    env.make_directory(&staged.join("supervise"));
    let half_made = env.home().join("profiles/.hermes-half");
    env.make_directory(&half_made);
    env.write(&half_made.join("SOUL.md"), "");
    boot(env, &[]);
    let hidden = |path: PathBuf| -> Vec<_> {
        let names = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_string_lossy().starts_with(".hermes-")).collect()
    };
    assert_eq!(hidden(env.scandir()), Vec::<std::ffi::OsString>::new());
    assert_eq!(hidden(env.home().join("profiles")), Vec::<std::ffi::OsString>::new());
    assert!(!old.iter().any(|pid| is_alive(*pid)), "what was hidden has ended");
    assert_eq!(tree.status("wanted")["state"], "up");
    assert_eq!(supervisors(&env.slot("wanted")).len(), 2);
}

#[test]
fn a_bad_profile_is_skipped_with_a_warning() {
    let tree = Svscan::start_with(populated(), &[]);
    let env = &tree.env;
    for name in ["broken", "rubbish", "locked"] {
        env.profile_for_later(name, SILENT, "running");
    }
    fs::remove_file(env.profile("broken").join("gateway.intent")).unwrap();
    env.write(&env.profile("broken").join("gateway_state.json"), "{\"desired_state\": ");
    env.write(&env.profile("rubbish").join("gateway.intent"), "perhaps\n");
    for name in ["Bad", "default"] {
        env.make_directory(&env.profile(name));
        env.write(&env.profile(name).join("SOUL.md"), "");
    }
    fs::set_permissions(env.profile("locked"), fs::Permissions::from_mode(0o000)).unwrap();
    let outcome = env.hermes(["boot", "--json"]).fails_with(1);
    let actions = outcome.json();
    let bad = ["Bad", "default", "locked"].map(|name| env.profile(name).display().to_string());
    let bad: Vec<_> = bad.iter().map(String::as_str).chain(["broken", "rubbish"]).collect();
    for (what, expected) in
        bad.iter().zip(["skip", "skip", "unreadable", "unreadable", "unreadable"])
    {
        let found = actions.as_array().unwrap().iter().find(|action| action["what"] == *what);
        let found = found.unwrap_or(&Value::Null);
        assert_eq!(found["action"], expected, "{what}: {outcome}");
        assert!(found["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{outcome}");
    }
    assert_eq!(states(&tree, ["default", "idle", "wanted"]), ["down", "down", "up"]);
    assert!(!env.slot("broken").exists() && !env.slot("rubbish").exists());
    let log = boot_log(env);
    assert_eq!(log.len(), 3 + bad.len(), "one line each: {log:?}");
    env.hermes(["boot"]).fails_with(1);
    let again = boot_log(env);
    let warned = bad.iter().filter(|what| outcome.stderr.contains(**what)).count();
    fs::set_permissions(env.profile("locked"), fs::Permissions::from_mode(0o755)).unwrap();
    let new_lines = again.len() - log.len();
    let wrong = format!("(new lines of a second boot, warnings on stderr): {outcome}");
    assert_eq!((new_lines, warned), (0, bad.len()), "{wrong}");
}

#[test]
fn an_unreadable_profile_keeps_its_gateway() {
    let tree = Svscan::start_with(populated(), &[]);
    let env = &tree.env;
    boot(env, &[]);
    let gateway = pid(&tree.status("wanted"));
    let home = env.profile("wanted");
    fs::set_permissions(&home, fs::Permissions::from_mode(0o000)).unwrap();
    let outcome = env.hermes(["boot"]).run();
    fs::set_permissions(&home, fs::Permissions::from_mode(0o755)).unwrap();
    assert!(is_alive(gateway) && env.slot("wanted").exists(), "it is not gone: {outcome}");
}

#[test]
fn a_slot_without_a_profile_is_removed() {
    let tree = Svscan::start_with(populated(), &[]);
    let env = &tree.env;
    boot(env, &[]);
    let mut old = supervisors(&env.slot("wanted"));
    old.push(pid(&tree.status("wanted")));
    fs::remove_dir_all(env.profile("wanted")).unwrap();
    let actions = boot(env, &[]);
    assert_eq!(actions, did(&[("remove", "wanted"), ("keep", "default"), ("keep", "idle")]));
    assert!(!env.slot("wanted").exists());
    assert!(!old.iter().any(|pid| is_alive(*pid)));
    let log = boot_log(env);
    assert_eq!(log.len(), 4, "only what changed: {log:?}");
    assert_eq!([&log[3]["profile"], &log[3]["action"]], ["wanted", "removed"]);
}

#[test]
fn pid_files_of_dead_gateways_are_removed() {
    let tree = Svscan::start_with(populated(), &[]);
    let env = &tree.env;
    boot(env, &[]);
    let homes = [env.home(), env.profile("idle"), env.profile("wanted")];
    let files: Vec<_> = ["gateway.pid", "processes.json"]
        .iter()
        .flat_map(|name| homes.iter().map(move |home| home.join(name)))
        .collect();
    files.iter().for_each(|file| env.write(file, "1"));
    boot(env, &[]);
    let left: Vec<_> = files.iter().filter(|file| file.exists()).collect();
    let expected: Vec<_> =
        files.iter().filter(|file| file.parent() == Some(&env.profile("wanted"))).collect();
    assert_eq!(left, expected, "those of the gateway that is up");
}

#[test]
fn one_of_two_on_a_port_comes_up() {
    let env = TestEnv::new();
    let config = format!("gateway:\n  port: {}\n", free_port());
    for name in ["a", "b"] {
        env.profile_for_later(name, SILENT, "running");
        env.write(&env.profile(name).join("config.yaml"), &config);
    }
    let tree = Svscan::start_with(env, &[]);
    let env = &tree.env;
    boot(env, &[]);
    assert_eq!(states(&tree, ["a", "b"]), ["up", "down"]);
    let log = boot_log(env);
    let line = log.iter().find(|line| line["profile"] == "b").unwrap();
    assert!(line["detail"].contains("belongs to `a`"), "{line:?}");
    let outcome = env.hermes(["gateway", "start", "b"]).fails_with(1);
    assert!(outcome.stderr.contains("`a`"), "{outcome}");
    env.hermes(["gateway", "stop", "a"]).ok();
    env.hermes(["gateway", "start", "b"]).ok();
    env.write(&env.profile("a").join("gateway.intent"), "running");
    boot(env, &[]);
    assert_eq!(states(&tree, ["a", "b"]), ["down", "up"]);
}

#[test]
fn a_new_tree_starts_the_running_intents() {
    for clean in [true, false] {
        let tree = Svscan::start_with(populated(), &[]);
        boot(&tree.env, &[]);
        let before = pid(&tree.status("wanted"));
        let env = tree.stop();
        assert!(!is_alive(before));
        if clean {
            fs::remove_dir_all(env.scandir()).unwrap();
            env.make_directory(&env.scandir());
        } else {
            env.make_directory(&env.scandir().join(".hermes-left"));
        }
        let tree = Svscan::start_with(env, &[]);
        boot(&tree.env, &[]);
        assert_eq!(states(&tree, ["default", "idle", "wanted"]), ["down", "down", "up"]);
        assert_eq!(tree.status("wanted")["intent"], "running");
        assert!(!tree.env.scandir().join(".hermes-left").exists());
        let log = boot_log(&tree.env);
        let wanted = log.iter().filter(|line| line["profile"] == "wanted").count();
        assert_eq!(wanted, 2, "one line for each of two first boots: {log:?}");
        assert_eq!(boot(&tree.env, &[]).iter().filter(|(verb, _)| verb != "keep").count(), 0);
        // An intent that was recorded while no tree ran counts, too.
        let env = tree.stop();
        env.write(&env.profile("wanted").join("gateway.intent"), "stopped");
        env.write(&env.profile("idle").join("gateway.intent"), "running");
        let tree = Svscan::start_with(env, &[]);
        boot(&tree.env, &[]);
        assert_eq!(states(&tree, ["default", "idle", "wanted"]), ["down", "up", "down"]);
    }
}

#[test]
fn a_stopped_gateway_outlives_its_supervisor() {
    let tree = Svscan::start_with(populated(), &[]);
    let env = &tree.env;
    boot(env, &[]);
    // Only down temporarily, as a new supervisor leaves the service of a dirty slot.
    assert!(
        tree.s6("s6-svc").args(["-wD", "-d"]).arg(env.slot("wanted")).status().unwrap().success()
    );
    env.write(&env.profile("wanted").join("gateway.intent"), "stopped");
    boot(env, &[]);
    assert_eq!(tree.status("wanted")["state"], "down");
    tree.env.lose_supervisors("wanted");
    assert_eq!(tree.status("wanted")["state"], "down");
}

#[test]
fn an_unsupervised_slot_is_replaced() {
    let tree = past_its_first_look();
    let env = &tree.env;
    // As after a crash between the rename and the trigger: s6-svscan does not know it.
    env.make_directory(&env.slot("wanted"));
    boot(env, &[]);
    assert_eq!(tree.status("wanted")["state"], "up");
    assert_eq!(supervisors(&env.slot("wanted")).len(), 2);
    let log = boot_log(env);
    let lines: Vec<_> = log.iter().filter(|line| line["profile"] == "wanted").collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
}

#[test]
fn an_unreadable_slot_costs_one_profile() {
    let tree = Svscan::start_with(populated(), &[]);
    let env = &tree.env;
    env.hermes(["gateway", "register", "idle"]).ok();
    let data = env.slot("idle").join("data");
    fs::set_permissions(&data, fs::Permissions::from_mode(0o000)).unwrap();
    let outcome = env.hermes(["boot", "--json"]).run();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(tree.status("wanted")["state"], "up", "{outcome}");
    assert!(outcome.to_string().contains("idle"), "{outcome}");
}

#[test]
fn a_slot_of_another_version_stays() {
    let tree = Svscan::start_with(populated(), &[]);
    let env = &tree.env;
    boot(env, &[]);
    let before = pid(&tree.status("wanted"));
    env.write(&env.slot("wanted").join("data/generation"), "0\n");
    let outcome = env.hermes(["boot", "--json"]).json();
    let of = |a: &&Value| a["profile"] == "wanted";
    let action = outcome.as_array().unwrap().iter().find(of).unwrap();
    assert_eq!(action["action"], json!("keep"));
    assert!(action["detail"].as_str().unwrap().contains("--refresh"), "{action}");
    assert_eq!(pid(&tree.status("wanted")), before);
    env.hermes(["gateway", "register", "wanted", "--refresh"]).ok();
    let status = eventually("it is up again", || {
        let status = tree.status("wanted");
        (status["state"] == "up").then_some(status)
    });
    assert_ne!(pid(&status), before);
    assert_eq!(boot(env, &[]).iter().filter(|(verb, _)| verb != "keep").count(), 0);
}
