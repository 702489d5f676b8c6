//! `profile rename` where the file system or the kernel refuses a step: it goes another way, or touches nothing.

#![cfg(target_os = "linux")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use hermes_tests::seccomp::{RENAMEAT2, refusing};
use hermes_tests::{
    Svscan, TestEnv, chmod, is_one_clear_error, mounts, names, pid, require_root, short,
};
use rustix::io::Errno;

/// Asserts that a rename is refused with these words while the gateway keeps running, and that nothing has changed.
#[track_caller]
fn refused(tree: &Svscan, words: &str) {
    let env = &tree.env;
    let (gateway, slots) = (pid(&tree.status("a")), names(&env.scandir()));
    let renamed = env.hermes(["profile", "rename", "a", "b"]).run();
    // 5: permission denied.
    assert!(matches!(renamed.code(), Some(1 | 5)), "{renamed}");
    is_one_clear_error(&renamed);
    assert!(short(env, &renamed.stderr).contains(words), "{words}: {renamed}");
    assert_eq!(pid(&tree.status("a")), gateway, "{renamed}");
    assert_eq!(names(&env.scandir()), slots, "{renamed}");
    assert_eq!(names(&env.home().join("profiles")), ["a"], "{renamed}");
    assert_eq!(names(&env.home().join("logs/gateways")), ["a"], "{renamed}");
    let chosen = fs::read_to_string(env.home().join("active_profile"));
    assert_eq!(chosen.expect("a choice"), "a\n");
}

/// A disk of its own, which can be the upper layer of an overlay.
fn disk() -> TestEnv {
    TestEnv::on_disk_of(16)
}

fn in_logs(env: &TestEnv) -> std::path::PathBuf {
    env.home().join("logs/gateways/a")
}

#[test]
fn where_renameat2_is_refused_all_commands_work() {
    for errno in [Errno::INVAL, Errno::NOSYS, Errno::PERM, Errno::OPNOTSUPP] {
        refusing(&[RENAMEAT2], errno, || {
            let tree = Svscan::start_with_a(TestEnv::new());
            let env = &tree.env;
            let taken = env.hermes(["profile", "create", "a"]).fails_with(1);
            assert!(taken.stderr.contains("already exists"), "{errno}: {taken}");
            env.make_directory(&env.profile("mine"));
            env.write(&env.profile("mine").join("notes"), "");
            let in_the_way = env.hermes(["profile", "create", "mine"]).fails_with(1);
            assert!(in_the_way.stderr.contains("is in the way"), "{errno}: {in_the_way}");
            let archive = env.path().join("a.tar.zst");
            let archive = archive.to_str().unwrap();
            env.hermes(["profile", "export", "a", "-o", archive]).ok();
            env.hermes(["profile", "export", "a", "-o", archive]).fails_with(1);
            env.hermes(["profile", "import", archive, "--name", "copy"]).ok();
            // The first FIFO is for the events of the stop, the second is in the new slot.
            let fails = ["mknodat:error=EIO:when=2"];
            let undone = env.hermes_injected(&fails, ["profile", "rename", "a", "b"]);
            let undone = undone.fails_with(1);
            assert!(!undone.stderr.contains("not everything"), "{errno}: {undone}");
            assert_eq!(tree.status("a")["state"], "up", "{errno}: {undone}");
            env.hermes(["profile", "rename", "a", "b"]).ok();
            assert_eq!(tree.status("b")["state"], "up", "{errno}");
            env.hermes(["profile", "delete", "b", "-y"]).ok();
            env.hermes(["profile", "delete", "copy", "-y"]).ok();
            assert_eq!(names(&env.home().join("profiles")), ["mine"], "{errno}");
            env.hermes(["boot"]).ok();
        });
    }
}

#[test]
fn a_home_in_a_lower_layer_is_refused_before_it_stops() {
    require_root!();
    mounts::private(|| {
        let env = disk();
        env.profile_for_later("a", "echo begun; exec sleep 600", "stopped");
        mounts::overlay(&env.home());
        let tree = Svscan::start_with_a(env);
        refused(&tree, "`W/home/profiles/a` can't be renamed: it lies in a lower layer");
        refused(&tree, "put a copy (`cp -a`) in its place");
        tree.stop()
    });
}

#[test]
fn logs_in_a_lower_layer_are_refused_before_it_stops() {
    require_root!();
    mounts::private(|| {
        let env = disk();
        let logs = in_logs(&env);
        env.make_directory(&env.home().join("logs"));
        env.make_directory(logs.parent().unwrap());
        env.make_directory(&logs);
        mounts::overlay(&env.home());
        let tree = Svscan::start_with_a(env);
        refused(&tree, "`W/home/logs/gateways/a` can't be renamed: it lies in a lower layer");
        tree.stop()
    });
}

#[test]
fn a_mount_point_is_refused_before_it_stops() {
    require_root!();
    let of_home: fn(&TestEnv) -> std::path::PathBuf = |env| env.profile("a");
    for (place, words) in [
        (of_home, "`W/home/profiles/a` can't be renamed: it is a mount point"),
        (in_logs, "`W/home/logs/gateways/a` can't be renamed: it is a mount point"),
    ] {
        mounts::private(|| {
            let tree = Svscan::start_with_a(disk());
            mounts::bind(&place(&tree.env));
            refused(&tree, words);
            refused(&tree, "mount it under the new name instead");
            tree.stop()
        });
    }
}

#[test]
fn a_directory_that_can_not_be_changed_is_refused_before_it_stops() {
    let tree = Svscan::start_with_a(TestEnv::new());
    for place in ["profiles", "logs/gateways", ""] {
        let closed = tree.env.home().join(place);
        chmod(&closed, 0o555);
        refused(&tree, "ermission denied");
        chmod(&closed, 0o755);
    }
    tree.env.hermes(["profile", "rename", "a", "b"]).ok();
}

#[test]
fn a_read_only_directory_is_refused_before_it_stops() {
    require_root!();
    mounts::private(|| {
        let tree = Svscan::start_with_a(disk());
        let logs = tree.env.home().join("logs/gateways");
        mounts::bind(&logs);
        mounts::mount(&["-o", "remount,bind,ro", logs.to_str().unwrap()]);
        refused(&tree, "ead-only file system");
        tree.stop()
    });
}

#[test]
fn a_home_that_is_a_link_is_renamed_as_a_link() {
    let env = TestEnv::new();
    let elsewhere = env.path().join("elsewhere");
    env.profile_for_later("a", "exec sleep 600", "stopped");
    fs::rename(env.profile("a"), &elsewhere).unwrap();
    for target in ["../../elsewhere", elsewhere.to_str().unwrap()] {
        symlink(target, env.profile("a")).unwrap();
        env.hermes(["profile", "rename", "a", "b"]).env_remove("HERMES_SCANDIR").ok();
        assert_eq!(fs::read_link(env.profile("b")).unwrap(), Path::new(target));
        assert!(elsewhere.join("SOUL.md").exists() && !env.profile("a").exists());
        fs::remove_file(env.profile("b")).unwrap();
    }
}
