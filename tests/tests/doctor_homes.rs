//! `hermes doctor` on homes, configurations, ports and disks: each fault is made, seen with its
//! evidence, mended by the command that was printed, and gone.
//!
//! Files of another user, and small file systems, are root's alone to make: those tests need root.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use hermes_tests::doctor::{finds, finds_nothing, mends, run_remedy, told};
use hermes_tests::{
    Svscan, TestEnv, alone, chmod, eventually, free_port, hermes_program, require_root,
};
use rustix::fs::FallocateFlags;

/// A booted tree without gateways.
fn tree() -> Svscan {
    let tree = Svscan::start();
    tree.env.hermes(["boot"]).ok();
    tree
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a UTF-8 path")
}

#[test]
fn files_that_root_left_are_given_back() {
    require_root!();
    let tree = tree();
    let env = &tree.env;
    env.profile_serving("a");
    finds_nothing(env, "ownership");
    let (config, logs) = (env.profile("a").join("config.yaml"), env.profile("a").join("logs"));
    for path in [&config, &logs] {
        chown(path, Some(0), Some(0)).unwrap();
    }
    let evidence = ["2 files of `a`", text(&config), text(&logs), "(uid 0)"];
    let remedy = mends(env, "ownership", "error", &evidence);
    assert!(remedy.starts_with("as root: chown -hR 10000:10000 "), "{remedy}");
    // Many are given back by one command, however deep they are.
    let deep = env.home().join("logs/gateways/a");
    for i in 0..9 {
        fs::create_dir_all(deep.join("deeper")).unwrap();
        fs::write(deep.join(format!("{i}")), "").unwrap();
    }
    let remedy = mends(env, "ownership", "error", &["of `default`", "and 6 more"]);
    assert!(remedy.starts_with("as root: find "), "{remedy}");
    assert!(
        remedy.contains(" -execdir chown -h 10000:10000 {} +"),
        "root follows no link: {remedy}"
    );
    // What can be read and written all the same is a warning.
    let soul = env.profile("a").join("SOUL.md");
    chown(&soul, Some(7), Some(7)).unwrap();
    chmod(&soul, 0o666);
    mends(env, "ownership", "warning", &[text(&soul), "(uid 7)"]);
}

#[test]
fn a_home_of_another_user() {
    require_root!();
    let tree = tree();
    let home = tree.env.home();
    chown(&home, Some(4321), Some(4321)).unwrap();
    mends(&tree.env, "home", "error", &[text(&home), "belongs to uid 4321", "is 10000"]);
}

#[test]
fn an_unwritable_or_missing_home() {
    let tree = tree();
    let env = &tree.env;
    chmod(&env.home(), 0o500);
    mends(env, "home", "error", &[text(&env.home()), "mode 500"]);
    let elsewhere = env.path().join("elsewhere");
    let outcome = env.hermes(["doctor"]).env("HERMES_HOME", text(&elsewhere)).fails_with(1);
    let said = format!("error: home: the home `{}` does not exist\n", elsewhere.display());
    assert!(outcome.stdout.contains(&said), "{outcome}");
}

#[test]
fn an_unreadable_profile_is_an_error() {
    let tree = tree();
    let env = &tree.env;
    env.profile_serving("a");
    chmod(&env.profile("a"), 0o000);
    mends(env, "profiles", "error", &[text(&env.profile("a")), "failed to read it"]);
    for (name, reason) in [("default", "lives in the root home itself"), ("Bad", "lower case")] {
        let path = env.profile(name);
        env.make_directory(&path);
        env.write(&path.join("SOUL.md"), "");
        finds(env, "profiles", "warning", &[text(&path), reason]);
        fs::remove_dir_all(&path).unwrap();
    }
    finds_nothing(env, "profiles");
    let logs = env.profile("a").join("logs");
    chmod(&logs, 0o000);
    mends(env, "ownership", "error", &[text(&logs), "can't be read"]);
}

#[test]
fn readable_secrets_are_a_warning() {
    let tree = tree();
    let env = &tree.env;
    env.profile_serving("a");
    let dotenv = env.profile("a").join(".env");
    chmod(&dotenv, 0o640);
    env.hermes(["doctor"]).ok();
    mends(env, "dotenv", "warning", &[text(&dotenv), "mode 640"]);
    assert_eq!(fs::metadata(&dotenv).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_chosen_profile_that_does_not_exist() {
    let tree = tree();
    let env = &tree.env;
    let choice = env.home().join("active_profile");
    env.write(&choice, "ghost\n");
    mends(env, "active-profile", "error", &[text(&choice), "`ghost`, which is no more"]);
    env.write(&choice, "No Name\n");
    mends(env, "active-profile", "error", &[text(&choice)]);
}

#[test]
fn an_unwritable_boot_log() {
    let tree = tree();
    let env = &tree.env;
    let log = env.home().join("logs/container-boot.log");
    chmod(&log, 0o400);
    mends(env, "boot-log", "warning", &[text(&log), "not writable"]);
    fs::remove_file(&log).unwrap();
    env.make_directory(&log);
    mends(env, "boot-log", "warning", &[text(&log), "is a directory"]);
}

#[test]
fn a_wrong_or_misspelt_configuration() {
    let tree = tree();
    let env = &tree.env;
    let port = env.profile_serving("a");
    let config = env.profile("a").join("config.yaml");
    let right = fs::read_to_string(&config).unwrap();
    env.write(&config, &format!("gateway:\n  port: {port}\n  stop_timout: 9\n"));
    finds(env, "config", "error", &[text(&config), "`gateway.stop_timout`", "line 3"]);
    env.write(&config, "gateway: {port: no}\n");
    finds(env, "config", "error", &[text(&config), "gateway.port"]);
    env.write(&config, &right);
    finds_nothing(env, "config");
    chmod(&config, 0o000);
    mends(env, "config", "error", &["`a`", text(&config)]);
}

#[test]
fn a_missing_or_unexecutable_program() {
    let tree = tree();
    let env = &tree.env;
    env.profile_serving("a");
    let config = env.profile("a").join("config.yaml");
    let program = env.path().join("agent");
    let names =
        |program: &str| env.write(&config, &format!("gateway: {{command: ['{program}']}}\n"));
    names(text(&program));
    finds(env, "command", "error", &["`a` is not there", text(&program)]);
    env.write(&program, "#!/bin/sh\n");
    chmod(&program, 0o644);
    mends(env, "command", "error", &["`a` can't be run", text(&program)]);
    names("no-such-program");
    finds(env, "command", "error", &["`no-such-program`"]);
    // Found on the PATH that the gateway gets, and in the directory that it works in.
    let path =
        format!("gateway: {{command: [agent], env: {{PATH: '{}'}}}}\n", env.path().display());
    env.write(&config, &path);
    finds_nothing(env, "command");
    for found in ["sh", "../agent"] {
        names(found);
        finds_nothing(env, "command");
    }
}

#[test]
fn an_invalid_intent_is_recorded_again() {
    let tree = tree();
    let env = &tree.env;
    env.profile_serving("a");
    let intent = env.profile("a").join("gateway.intent");
    for (verb, state) in [("stop", "down"), ("start", "up")] {
        env.hermes(["gateway", verb, "a"]).ok();
        env.write(&intent, "maybe\n");
        let remedy = mends(env, "intent", "error", &["`a`", text(&intent)]);
        assert_eq!(remedy, format!("hermes gateway {verb} a"));
        assert_eq!(tree.status("a")["state"], state);
    }
}

#[test]
fn missing_and_duplicate_ports() {
    let tree = tree();
    let env = &tree.env;
    let port = env.profile_serving("b");
    env.profile_serving("a");
    env.hermes(["gateway", "start", "b"]).ok();
    env.hermes(["profile", "port", "a", &port.to_string()]).ok();
    // Who has it is known, and is no stranger.
    env.write(&env.profile("a").join("gateway.intent"), "running\n");
    finds_nothing(env, "port-holders");
    env.write(&env.profile("a").join("gateway.intent"), "stopped\n");
    // The one that is up keeps it.
    let evidence = [&*format!("port {port}"), "`a`, `b`"];
    let remedy = mends(env, "ports", "error", &evidence);
    assert!(remedy.starts_with("hermes profile port a "), "{remedy}");
    for config in ["gateway: {}\n", "gateway: {command: [sleep, '{port}']}\n"] {
        env.write(&env.profile("a").join("config.yaml"), config);
        mends(env, "ports", "error", &["`a` names no port"]);
    }
    env.write(&env.profile("a").join("config.yaml"), "gateway: {command: [sleep, '9']}\n");
    finds_nothing(env, "ports");
    // Of three, two have to give way.
    for name in ["c", "d"] {
        env.hermes(["profile", "create", name, "--port", &port.to_string()]).ok();
    }
    let found = told(env, "ports");
    assert_eq!(found.len(), 2, "{found:#?}");
    found.iter().for_each(|told| run_remedy(env, &told.remedy));
    finds_nothing(env, "ports");
}

#[test]
fn a_foreign_listener_is_named() {
    let tree = tree();
    let (env, stranger) = (&tree.env, TestEnv::new());
    let port = env.profile_serving("a");
    alone(&stranger, ["profile", "create", "other", "--port", &port.to_string()]).ok();
    let mut command = stranger.command(hermes_program());
    command.args(["-p", "other", "gateway", "run"]).env_remove("HERMES_SCANDIR");
    let mut child = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    eventually("it listens", || TcpStream::connect(("127.0.0.1", port)).is_ok().then_some(()));
    finds_nothing(env, "port-holders");
    env.write(&env.profile("a").join("gateway.intent"), "running\n");
    let holder = format!("process {} (hermes)", child.id());
    let evidence = ["`a` is wanted and not up", &format!("port {port}"), "127.0.0.1", &holder];
    finds(env, "port-holders", "error", &evidence);
    child.kill().unwrap();
    child.wait().unwrap();
    env.hermes(["gateway", "start", "a"]).ok();
    finds_nothing(env, "port-holders");
}

/// Whose process it is can't be seen, but that there is one.
#[test]
fn another_users_listener_is_reported() {
    require_root!();
    let tree = tree();
    let env = &tree.env;
    let port = free_port();
    let _listener = TcpListener::bind(("0.0.0.0", port)).unwrap();
    env.hermes(["profile", "create", "b", "--port", &port.to_string()]).ok();
    env.write(&env.profile("b").join("gateway.intent"), "running\n");
    finds(env, "port-holders", "error", &["a process that this user may not see"]);
}

/// A file system of so many bytes, for as long as this lives.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: PathBuf, options: &str) -> Self {
        let options = format!("uid=10000,gid=10000,mode=755,{options}");
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "hermes-test"])
            .arg(&at)
            .status();
        assert!(status.expect("mount runs").success());
        Self(at)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // A child that another test has just forked holds what was open here until it is a program.
        let status = Command::new("umount").arg("--lazy").arg(&self.0).status();
        assert!(std::thread::panicking() || status.is_ok_and(|status| status.success()));
    }
}

#[test]
fn a_full_or_nearly_full_disk() {
    require_root!();
    let tree = tree();
    let env = &tree.env;
    finds_nothing(env, "disk");
    for (options, severity, evidence) in [
        ("size=4m", "error", "4.0 MiB free of 4.0 MiB"),
        ("size=64m,nr_inodes=20", "error", "19 inodes free of 20"),
    ] {
        let disk = SmallDisk::mount(env.home(), options);
        finds(env, "disk", severity, &[text(&env.home()), evidence]);
        drop(disk);
    }
    // Little of it all, and enough for now.
    let disk = SmallDisk::mount(env.home(), "size=400m");
    finds_nothing(env, "disk");
    let free = || rustix::fs::statvfs(env.home()).unwrap().f_bfree;
    let (big, before) = (env.home().join("big"), free());
    let file = fs::File::create(&big).unwrap();
    rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, 382 << 20).unwrap();
    finds(env, "disk", "warning", &["18.0 MiB free of 400.0 MiB"]);
    drop(file);
    fs::remove_file(&big).unwrap();
    // A child that another test has just forked holds the file until it is a program.
    eventually("its space is free again", || (free() == before).then_some(()));
    finds_nothing(env, "disk");
    drop(disk);
}
