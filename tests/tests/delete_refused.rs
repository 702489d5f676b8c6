//! `profile delete` where something stands in the way: it finds that first, goes another way, or undoes what it did.

#![cfg(target_os = "linux")]

use std::fs;
use std::io::Write;
use std::os::unix::fs::{chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use hermes_tests::{
    Outcome, Svscan, TestEnv, chmod, eventually, is_one_clear_error, mounts, names, pid,
    require_root,
};

const DELETE: [&str; 4] = ["profile", "delete", "a", "-y"];

/// Asserts that a deletion is refused while the gateway keeps running, and that nothing has changed.
#[track_caller]
fn refused(tree: &Svscan, words: &str) -> Outcome {
    let env = &tree.env;
    let before = (pid(&tree.status("a")), names(&env.profile("a")), names(&env.scandir()));
    let deleted = env.hermes(DELETE).run();
    // 5: permission denied.
    assert!(matches!(deleted.code(), Some(1 | 5)), "{deleted}");
    is_one_clear_error(&deleted);
    assert!(deleted.stderr.contains(words), "{words}: {deleted}");
    let after = (pid(&tree.status("a")), names(&env.profile("a")), names(&env.scandir()));
    assert_eq!(after, before, "{deleted}");
    assert!(env.home().join("active_profile").exists(), "{deleted}");
    deleted
}

/// Deletes the profile, and asserts that no trace is left, and that its name can be used again.
#[track_caller]
fn is_deleted(tree: &Svscan) {
    let env = &tree.env;
    let deleted = env.hermes(DELETE).ok();
    assert_eq!(names(&env.home().join("profiles")), Vec::<String>::new(), "{deleted}");
    is_forgotten(env, &deleted);
    env.hermes(["profile", "create", "a"]).ok();
    env.hermes(["boot"]).ok();
}

#[track_caller]
fn is_forgotten(env: &TestEnv, deleted: &Outcome) {
    assert_eq!(names(&env.home().join("logs/gateways")), Vec::<String>::new(), "{deleted}");
    assert_eq!(names(&env.scandir()), [".s6-svscan"], "{deleted}");
    assert!(!env.home().join("active_profile").exists(), "{deleted}");
}

/// Writes until the file system at `path` is full.
fn fill(path: &Path) {
    let mut file = fs::File::create(path).expect("a file");
    for size in [4096, 1] {
        while file.write_all(&vec![0; size]).is_ok() {}
    }
}

fn given(env: &TestEnv, path: PathBuf) -> PathBuf {
    env.make_directory(&path);
    path
}

#[test]
fn a_full_disk_keeps_nothing() {
    require_root!();
    for keep_logs in [false, true] {
        mounts::private(|| {
            // The scan directory is on another file system, as `/run` is.
            let env = TestEnv::new();
            let home = env.home();
            let options = "size=1m,mode=755,uid=10000,gid=10000";
            mounts::mount(&["-t", "tmpfs", "-o", options, "tmpfs", home.to_str().unwrap()]);
            let tree = Svscan::start_with_a(env);
            fill(&tree.env.profile("a").join("filler"));
            let error = fs::write(home.join("full"), "x").unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
            fs::remove_file(home.join("full")).unwrap();
            if keep_logs {
                tree.env.hermes(["profile", "delete", "a", "-y", "--keep-logs"]).ok();
                assert_eq!(names(&home.join("profiles")), Vec::<String>::new());
                assert_eq!(names(&home.join("logs/gateways")), ["a"]);
            } else {
                is_deleted(&tree);
            }
            tree.stop()
        });
    }
}

#[test]
fn own_directories_without_the_write_bit_are_removed() {
    let tree = Svscan::start_with_a(TestEnv::new());
    let env = &tree.env;
    let module = given(env, env.profile("a").join("go")).join("mod");
    for path in [module.clone(), module.join("example.org"), module.join("closed")] {
        env.write(&given(env, path).join("go.sum"), "");
    }
    for (path, mode) in [("example.org", 0o555), ("closed", 0), ("", 0o555)] {
        chmod(&module.join(path), mode);
    }
    chmod(&env.profile("a"), 0o555);
    is_deleted(&tree);
}

#[test]
fn files_of_another_user_are_named_first() {
    require_root!();
    let tree = Svscan::start_with_a(TestEnv::new());
    let env = &tree.env;
    let below = env.profile("a").join("it's work");
    let (closed, sticky) = (given(env, below.clone()).join("closed"), below.join("sticky"));
    let logs = env.home().join("logs/gateways/a/theirs");
    // An empty directory and a file in an own one can be removed.
    for path in [below.join("empty"), closed.clone(), sticky.clone(), logs.clone()] {
        fs::create_dir(path).unwrap();
    }
    for path in [below.join("file"), closed.join("file"), sticky.join("file"), logs.join("file")] {
        fs::write(path, "").unwrap();
    }
    chmod(&sticky, 0o1777);
    let log_is_named = "logs/gateways/a/theirs";
    let named = refused(&tree, "belongs to user 0, as 1 more");
    assert_eq!(named.code(), Some(5), "{named}");
    let hint = named.stderr.lines().last().unwrap();
    assert!(hint.starts_with("hint: `sudo rm -rf -- '"), "{named}");
    for path in ["/closed'", "/sticky/file'"] {
        assert!(hint.contains(path), "{path}: {named}");
    }
    assert!(closed.join("file").exists() && sticky.join("file").exists());
    follow(&named);
    follow(&refused(&tree, log_is_named));
    is_deleted(&tree);
}

/// Does what the hint of an error says, as root.
#[track_caller]
fn follow(refused: &Outcome) {
    let hint = refused.stderr.lines().find_map(|line| line.strip_prefix("hint: `sudo "));
    let command = hint.and_then(|hint| hint.rsplit_once('`')).expect("a command").0;
    let status = Command::new("/bin/sh").args(["-c", command]).status().expect("a shell");
    assert!(status.success(), "{refused}");
}

#[test]
fn a_mount_in_the_home_is_named_first() {
    require_root!();
    mounts::private(|| {
        let tree = Svscan::start_with_a(TestEnv::on_disk_of(16));
        let env = &tree.env;
        let file = env.profile("a").join("config.yaml");
        let mounted = given(env, env.profile("a").join("work"));
        let precious = mounted.join("precious");
        env.write(&precious, "");
        for mount in [&mounted, &file] {
            mounts::bind(mount);
            let path = mount.display();
            let named = refused(&tree, &format!("`{path}` is a mount point"));
            assert!(precious.exists());
            follow(&named);
        }
        is_deleted(&tree);
        tree.stop()
    });
}

#[test]
fn a_home_that_is_a_mount_point_loses_its_content() {
    require_root!();
    mounts::private(|| {
        let env = TestEnv::on_disk_of(16);
        env.profile_for_later("a", "echo begun; exec sleep 600", "stopped");
        mounts::bind(&env.profile("a"));
        let tree = Svscan::start_with_a(env);
        let env = &tree.env;
        mounts::bind(&env.home().join("logs/gateways/a"));
        let deleted = env.hermes(DELETE).ok();
        assert_eq!(names(&env.profile("a")), Vec::<String>::new(), "{deleted}");
        assert_eq!(names(&env.home().join("logs/gateways/a")), Vec::<String>::new());
        assert_eq!(names(&env.scandir()), [".s6-svscan"], "{deleted}");
        assert!(!env.home().join("active_profile").exists(), "{deleted}");
        env.hermes(["boot"]).ok();
        env.hermes(["gateway", "status", "a"]).fails_with(4);
        // Empty, both take a new profile.
        let archive = env.path().join("a.tar.zst").display().to_string();
        env.hermes(["profile", "create", "a", "--start"]).ok();
        let files = names(&env.profile("a"));
        assert!(!files.iter().any(|name| name.starts_with(".hermes-")), "{files:?}");
        env.hermes(["profile", "export", "a", "-o", &archive]).ok();
        env.hermes(["profile", "create", "a"]).fails_with(1);
        env.hermes(DELETE).ok();
        env.hermes_injected(&["renameat2:error=EIO:when=3"], ["profile", "import", &archive])
            .fails_with(1);
        assert_eq!(names(&env.profile("a")), Vec::<String>::new());
        env.hermes(["profile", "import", &archive]).ok();
        env.hermes(["gateway", "start", "a"]).ok();
        env.hermes(DELETE).ok();
        env.write(&env.profile("a").join("notes"), "");
        let outcome = env.hermes(["profile", "create", "a"]).fails_with(1);
        assert!(outcome.stderr.contains("is in the way"), "{outcome}");
        assert_eq!(names(&env.profile("a")), ["notes"]);
        tree.stop()
    });
}

#[test]
fn a_home_in_a_lower_layer_is_deleted_where_it_is() {
    require_root!();
    mounts::private(|| {
        let env = TestEnv::on_disk_of(16);
        env.profile_for_later("a", "echo begun; exec sleep 600", "stopped");
        env.make_directory(&env.home().join("logs"));
        env.make_directory(&env.home().join("logs/gateways"));
        env.make_directory(&env.home().join("logs/gateways/a"));
        mounts::overlay(&env.home());
        let tree = Svscan::start_with_a(env);
        is_deleted(&tree);
        tree.stop()
    });
}

#[test]
fn a_home_that_is_a_link_goes_with_its_target() {
    let env = TestEnv::new();
    env.profile_for_later("a", "exec sleep 600", "stopped");
    let elsewhere = given(&env, env.path().join("elsewhere"));
    fs::rename(env.profile("a"), elsewhere.join("a")).unwrap();
    symlink(elsewhere.join("a"), env.profile("a")).unwrap();
    let tree = Svscan::start_with_a(env);
    is_deleted(&tree);
    assert_eq!(names(&tree.env.path().join("elsewhere")), Vec::<String>::new());
}

#[test]
fn a_link_of_another_user_goes_alone() {
    require_root!();
    let env = TestEnv::new();
    let elsewhere = env.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::write(elsewhere.join("SOUL.md"), "").unwrap();
    env.hermes(["profile", "create", "b"]).env_remove("HERMES_SCANDIR").ok();
    symlink(&elsewhere, env.profile("a")).unwrap();
    std::os::unix::fs::lchown(env.profile("a"), Some(10_000), Some(10_000)).unwrap();
    let mut command = Command::new(hermes_tests::hermes_program());
    command.env("HERMES_HOME", env.home()).env("HERMES_AS_ROOT", "1");
    command.env_remove("HERMES_SCANDIR").args(DELETE);
    hermes_tests::Hermes::new(command).run();
    assert!(elsewhere.join("SOUL.md").exists(), "root follows no link of another user's");
}

#[test]
fn a_link_to_a_directory_in_use_goes_alone() {
    let env = TestEnv::new();
    let elsewhere = env.path().join("elsewhere");
    env.make_directory(&elsewhere);
    env.make_directory(&env.home().join("profiles"));
    for below in ["profiles", "profiles/living", "user", "user/home"] {
        env.make_directory(&elsewhere.join(below));
    }
    for (target, home) in [
        // Another root home, and a profile in it.
        ("", "user"),
        ("profiles/living", "user"),
        // The user's home directory, and one around it.
        ("user/home", "user/home"),
        ("user", "user/home"),
    ] {
        let target = elsewhere.join(target);
        env.write(&target.join("SOUL.md"), "kept");
        symlink(&target, env.profile("a")).unwrap();
        env.give(&env.profile("a"));
        let home = elsewhere.join(home);
        env.hermes(DELETE).env("HOME", home.to_str().unwrap()).env_remove("HERMES_SCANDIR").ok();
        assert!(!env.profile("a").is_symlink(), "{}", target.display());
        assert_eq!(fs::read_to_string(target.join("SOUL.md")).unwrap(), "kept");
        fs::remove_file(target.join("SOUL.md")).unwrap();
    }
}

#[test]
fn a_home_that_stays_is_registered_again_as_it_was() {
    let tree = Svscan::start_with_a(TestEnv::new());
    let env = &tree.env;
    for state in ["up", "down"] {
        // The first such call of a deletion hides the slot, the second moves the home.
        for call in ["renameat2:error=EIO:when=1", "renameat2:error=EIO:when=2"] {
            let failed = env.hermes_injected(&[call], DELETE).fails_with(1);
            is_one_clear_error(&failed);
            assert!(failed.stderr.contains("failed to delete profile `a`"), "{failed}");
            let status = tree.status("a");
            assert_eq!((&status["state"], &status["registered"]), (&state.into(), &true.into()));
            assert!(env.home().join("active_profile").exists());
        }
        env.hermes(["gateway", "stop", "a"]).ok();
    }
    env.hermes(["gateway", "unregister", "a"]).ok();
    env.hermes_injected(&["renameat2:error=EIO:when=1"], DELETE).fails_with(1);
    assert_eq!(tree.status("a")["registered"], false);
    is_deleted(&tree);
}

#[test]
fn no_command_comes_between_unregistering_and_removing() {
    let tree = Svscan::start_with_a(TestEnv::new());
    let env = &tree.env;
    let slow = "renameat2:delay_enter=1000000";
    let deleting = env.hermes_injected(&[slow], DELETE).spawn();
    eventually("it is unregistered", || (!env.slot("a").exists()).then_some(()));
    env.hermes(["gateway", "start", "a"]).fails_with(4);
    assert_eq!(deleting.wait().code(), Some(0));
    assert_eq!(names(&env.home().join("profiles")), Vec::<String>::new());
    assert_eq!(names(&env.scandir()), [".s6-svscan"]);
    // A creation that is undone: its service can't be made, and its home is removed slowly.
    let faults = ["mknodat:error=EIO", "renameat2:delay_enter=1000000:when=2+"];
    let creating = env.hermes_injected(&faults, ["profile", "create", "a"]).spawn();
    eventually("it exists", || env.profile("a").join("SOUL.md").exists().then_some(()));
    env.hermes(["gateway", "start", "a"]).fails_with(4);
    let created = creating.wait();
    assert_eq!(created.code(), Some(1), "{created}");
    assert_eq!(names(&env.home().join("profiles")), Vec::<String>::new(), "{created}");
    assert_eq!(names(&env.scandir()), [".s6-svscan"], "{created}");
}

#[test]
fn what_could_not_be_removed_blocks_nobody() {
    require_root!();
    let tree = Svscan::start_with_a(TestEnv::new());
    let env = &tree.env;
    let theirs = env.profile("a").join("theirs");
    fs::create_dir(&theirs).unwrap();
    fs::write(theirs.join("file"), "").unwrap();
    // As an earlier version or a late write of root's leaves it.
    fs::rename(env.profile("a"), env.home().join("profiles/.rm-a")).unwrap();
    chown(env.home().join("profiles/.rm-a"), Some(10_000), Some(10_000)).unwrap();
    env.hermes(["gateway", "unregister", "a"]).ok();
    env.hermes(["profile", "create", "a"]).ok();
    assert!(!env.home().join("active_profile").exists(), "a new profile inherits nothing");
    env.hermes(["profile", "use", "a"]).ok();
    env.hermes(["gateway", "start", "a"]).ok();
    let booted = env.hermes(["boot"]).fails_with(1);
    assert!(booted.stderr.contains("sudo rm -rf -- "), "{booted}");
    assert_eq!(tree.status("a")["state"], "up");
    assert!(!env.logged("a").is_empty() && env.home().join("active_profile").exists());
    env.hermes(DELETE).ok();
    env.hermes(["profile", "create", "a"]).ok();
}
