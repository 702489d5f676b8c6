//! A failed registration leaves nothing: no slot, no temporary directory, no supervisor, and no profile that was
//! being created.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use hermes_core::process_lock::holder as lock_holder;
use hermes_tests::{
    Helper, Svscan, TestEnv, eventually, is_alive, pid, processes_naming, supervisors,
};

const SILENT: &str = "exec sleep 600";

/// Hermes's temporary directories in the scan directory and in `profiles/`.
fn hidden(env: &TestEnv) -> Vec<String> {
    let names = |path: &Path| -> Vec<_> {
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    };
    let all =
        [env.scandir(), env.home().join("profiles")].into_iter().flat_map(|path| names(&path));
    all.filter(|name| name.starts_with(".hermes-")).collect()
}

/// The s6-supervise processes of a profile, even if their directory was moved.
fn supervising(env: &TestEnv, name: &str) -> Vec<u64> {
    let mut found = processes_naming(&env.path().to_string_lossy());
    found.retain(|pid| {
        let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let mut words = line.split('\0');
        let supervises = words.next().is_some_and(|word| word.ends_with("s6-supervise"));
        let slot = format!("gateway-{name}");
        supervises && words.next().is_some_and(|at| at == slot || at == format!("{slot}/log"))
    });
    found
}

#[track_caller]
fn nothing_is_left(env: &TestEnv, name: &str) {
    assert!(!env.slot(name).exists(), "the slot is there");
    assert_eq!(hidden(env), Vec::<String>::new());
    assert_eq!(supervising(env, name), Vec::<u64>::new(), "supervised without a slot");
}

/// Creates and registers a profile. After that, s6-svscan has executed all earlier commands.
#[track_caller]
fn await_a_scan(tree: &Svscan, name: &str) {
    tree.env.hermes(["profile", "create", name]).ok();
    // Includes a process that is about to become the logger.
    assert!(supervising(&tree.env, name).len() >= 2, "the test sees supervisors");
}

#[test]
fn without_an_s6_svscan() {
    let tree = Svscan::start();
    tree.env.profile_running("coder", SILENT);
    tree.env.hermes(["gateway", "unregister", "coder"]).ok();
    let env = tree.kill();
    for args in [vec!["gateway", "register", "coder"], vec!["profile", "create", "new"]] {
        let outcome = env.hermes(args).fails_with(5);
        assert!(outcome.stderr.contains("no s6-svscan holds"), "{outcome}");
    }
    nothing_is_left(&env, "coder");
    nothing_is_left(&env, "new");
    assert!(!env.profile("new").exists(), "a profile without service");
    env.end_processes();
}

#[test]
fn when_s6_svscan_does_not_read_its_fifo() {
    let env = TestEnv::new();
    env.profile_for_later("coder", SILENT, "running");
    let own = env.scandir().join(".s6-svscan");
    let lock = own.join("lock");
    env.make_directory(&own);
    assert!(env.command("mkfifo").arg(own.join("control")).status().unwrap().success());
    let _holder = Helper::start(env.s6("s6-setlock").arg(&lock).args(["sleep", "600"]));
    eventually("the lock is held", || lock_holder(&lock).unwrap());
    for args in [["gateway", "register", "coder"], ["profile", "create", "new"]] {
        let outcome = env.hermes(args).fails_with(5);
        assert!(outcome.stderr.contains("no s6-svscan reads"), "{outcome}");
    }
    nothing_is_left(&env, "coder");
    nothing_is_left(&env, "new");
    assert!(!env.profile("new").exists(), "a profile without service");
}

#[test]
fn when_the_fifo_may_not_be_written() {
    let tree = Svscan::start();
    let env = &tree.env;
    env.profile_running("coder", SILENT);
    env.hermes(["gateway", "unregister", "coder"]).ok();
    let control = env.scandir().join(".s6-svscan/control");
    fs::set_permissions(&control, fs::Permissions::from_mode(0o400)).unwrap();
    let registered = env.hermes(["gateway", "register", "coder"]).run();
    let created = env.hermes(["profile", "create", "new"]).run();
    fs::set_permissions(&control, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(!env.profile("new").exists(), "a profile without service");
    await_a_scan(&tree, "after");
    nothing_is_left(env, "coder");
    nothing_is_left(env, "new");
    for outcome in [registered, created] {
        assert_eq!(outcome.code(), Some(5), "{outcome}");
        assert!(outcome.stderr.contains("Permission denied"), "{outcome}");
    }
}

#[test]
fn a_full_scan_directory_is_reported() {
    let tree = Svscan::start_with_room_for(3, TestEnv::new());
    let env = &tree.env;
    for name in ["a", "b", "c"] {
        env.profile_running(name, SILENT);
    }
    let outcome = env.hermes(["profile", "create", "d"]).fails_with(1);
    let limit = tree.words_of_room_for(3);
    assert!(outcome.stderr.contains("full") && outcome.stderr.contains(&limit), "{outcome}");
    nothing_is_left(env, "d");
    assert!(!env.profile("d").exists(), "a profile without service");
    for name in ["a", "b", "c"] {
        env.hermes(["gateway", "start", name]).ok();
        assert_eq!(tree.status(name)["state"], "up");
        env.hermes(["gateway", "stop", name]).ok();
    }
    env.hermes(["gateway", "unregister", "b"]).ok();
    env.profile_running("d", SILENT);
    env.hermes(["gateway", "start", "d"]).ok();
    let outcome = env.hermes(["gateway", "start", "b"]).fails_with(1);
    assert!(outcome.stderr.contains(&limit), "start registers, and says the same: {outcome}");
    nothing_is_left(env, "b");
}

#[test]
fn when_supervision_does_not_come_in_time() {
    let tree = Svscan::start();
    let env = &tree.env;
    env.profile_running("coder", SILENT);
    env.hermes(["gateway", "unregister", "coder"]).ok();
    let held = tree.held();
    let registered = env.hermes(["gateway", "register", "coder", "--timeout", "2"]).run();
    let created = env.hermes(["profile", "create", "new", "--timeout", "2"]).run();
    nothing_is_left(env, "coder");
    nothing_is_left(env, "new");
    drop(held);
    for outcome in [registered, created] {
        assert_eq!(outcome.code(), Some(6), "{outcome}");
        assert!(outcome.stderr.contains("no s6-supervise runs for"), "{outcome}");
    }
    await_a_scan(&tree, "after");
    nothing_is_left(env, "coder");
    nothing_is_left(env, "new");
    assert!(!env.profile("new").exists(), "a profile without service");
    env.hermes(["gateway", "register", "coder"]).ok();
    assert_eq!(supervisors(&env.slot("coder")).len(), 2);
}

#[test]
fn when_supervision_comes_during_the_rollback() {
    let tree = Svscan::start();
    let env = &tree.env;
    env.profile_running("coder", SILENT);
    env.hermes(["gateway", "unregister", "coder"]).ok();
    for round in 0..3 {
        let held = tree.held();
        let mut register = env.hermes(["gateway", "register", "coder", "--timeout", "2"]).spawn();
        eventually("the slot appears", || {
            (env.slot("coder").exists() || register.has_ended()).then_some(())
        });
        eventually("and goes", || {
            (!env.slot("coder").exists() || register.has_ended()).then_some(())
        });
        drop(held);
        let outcome = register.wait();
        await_a_scan(&tree, &format!("after{round}"));
        nothing_is_left(env, "coder");
        assert_eq!(outcome.code(), Some(6), "{outcome}");
    }
}

#[test]
fn when_a_stranger_holds_the_supervision_lock() {
    let tree = Svscan::start();
    let env = &tree.env;
    env.profile_running("coder", SILENT);
    env.hermes(["gateway", "unregister", "coder"]).ok();
    let held = tree.held();
    let register = env.hermes(["gateway", "register", "coder", "--timeout", "15"]).spawn();
    let lock = env.slot("coder").join("supervise/lock");
    eventually("the slot appears", || env.slot("coder").exists().then_some(()));
    let stranger = Helper::start(env.s6("s6-setlock").arg(&lock).args(["sleep", "600"]));
    eventually("the lock is held", || lock_holder(&lock).unwrap());
    drop(held);
    let outcome = register.wait();
    let (holder, svscan) = (stranger.pid(), tree.pid());
    let named = format!("process {holder} (sleep), which is not a child of s6-svscan {svscan}");
    assert!(outcome.stderr.contains(&named), "{outcome}");
    assert!(!env.slot("coder").exists(), "the slot is not published any more");
    assert!(is_alive(stranger.pid().into()), "a stranger is left alone");
    // A locked slot is not removed; boot removes it once it is unlocked.
    drop(stranger);
    env.hermes(["boot"]).ok();
    assert_eq!(hidden(env), Vec::<String>::new());
    assert_eq!(supervisors(&env.slot("coder")).len(), 2);
    assert_eq!(outcome.code(), Some(6), "the time ran out: {outcome}");
}

#[test]
fn in_a_tree_of_another_home() {
    let tree = Svscan::start();
    let env = &tree.env;
    let other = env.path().join("other");
    env.make_directory(&other);
    let other = other.to_str().unwrap();
    let create = env.hermes(["profile", "create", "coder"]).env("HERMES_HOME", other);
    create.env_remove("HERMES_SCANDIR").ok();
    for args in [
        vec!["gateway", "register", "coder"],
        vec!["gateway", "start", "coder"],
        vec!["profile", "create", "new"],
        vec!["boot"],
    ] {
        let outcome = env.hermes(args).env("HERMES_HOME", other).fails_with(5);
        let ours = format!("`{}`", env.home().display());
        assert!(outcome.stderr.contains(&ours), "{outcome}");
        assert!(outcome.stderr.contains(&format!("`{other}`")), "{outcome}");
    }
    nothing_is_left(env, "coder");
    nothing_is_left(env, "new");
    assert!(!Path::new(other).join("profiles/new").exists(), "a profile without service");
}

#[test]
fn the_gateways_of_another_home_are_not_touched() {
    let tree = Svscan::start();
    let env = &tree.env;
    env.profile_running("coder", SILENT);
    env.hermes(["gateway", "start", "coder"]).ok();
    let gateway = pid(&tree.status("coder"));
    let other = env.path().join("other");
    env.make_directory(&other);
    let other = other.to_str().unwrap();
    let create = env.hermes(["profile", "create", "coder"]).env("HERMES_HOME", other);
    create.env_remove("HERMES_SCANDIR").ok();
    let mut done = Vec::new();
    for args in [
        ["gateway", "stop", "coder"].as_slice(),
        &["gateway", "unregister", "coder"],
        &["profile", "delete", "coder", "-y"],
    ] {
        env.hermes(args.iter().copied()).env("HERMES_HOME", other).run();
        if !is_alive(gateway) {
            done.push(args.join(" "));
            break;
        }
    }
    assert_eq!(done, Vec::<String>::new(), "ended the gateway of a profile of another home");
}

#[test]
fn a_name_too_long_is_refused_first() {
    let tree = Svscan::start();
    let env = &tree.env;
    let (longest, too_long) = ("a".repeat(243), "a".repeat(244));
    env.hermes(["profile", "create", &longest]).ok();
    assert_eq!(supervisors(&env.slot(&longest)).len(), 2);
    let create = env.hermes(["profile", "create", &too_long]).env_remove("HERMES_SCANDIR");
    create.ok();
    let profiles = env.home().join("profiles");
    let stamps =
        || [&env.scandir(), &profiles].map(|path| fs::metadata(path).unwrap().modified().unwrap());
    let before = stamps();
    let outcome = env.hermes(["gateway", "register", &too_long]).fails_with(1);
    assert!(outcome.stderr.contains("244 bytes") && outcome.stderr.contains("243"), "{outcome}");
    let longer = "b".repeat(250);
    let outcome = env.hermes(["profile", "create", &longer]).fails_with(1);
    assert!(outcome.stderr.contains("250 bytes"), "{outcome}");
    nothing_is_left(env, &longer);
    assert!(!env.profile(&longer).exists(), "a profile without service");
    assert_eq!(stamps(), before, "something was written, and removed again");
}

#[test]
fn a_scan_directory_that_nobody_holds() {
    let env = TestEnv::new();
    env.profile_for_later("coder", SILENT, "running");
    let elsewhere = env.path().join("elsewhere");
    env.make_directory(&elsewhere);
    let elsewhere = elsewhere.to_str().unwrap();
    for args in [
        ["gateway", "register", "coder"].as_slice(),
        &["gateway", "start", "coder"],
        &["gateway", "status", "coder"],
        &["gateway", "list"],
        &["profile", "create", "new"],
        &["boot"],
        &["boot", "--dry-run"],
    ] {
        let args = args.iter().copied().chain(["--scandir", elsewhere]);
        let outcome = env.hermes(args).env_remove("HERMES_SCANDIR").fails_with(5);
        let named = format!("no s6-svscan holds the scan directory `{elsewhere}`");
        assert!(outcome.stderr.contains(&named), "{outcome}");
    }
    assert_eq!(fs::read_dir(elsewhere).unwrap().count(), 0, "something was written");
    assert!(!env.profile("new").exists(), "a profile without service");
}
