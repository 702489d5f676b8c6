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
    tree.world.hermes(["boot"]).ok();
    tree
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a UTF-8 path")
}

#[test]
fn files_that_root_left_are_given_back() {
    require_root!();
    let tree = tree();
    let world = &tree.world;
    world.profile_serving("a");
    finds_nothing(world, "ownership");
    let (config, logs) = (world.profile("a").join("config.yaml"), world.profile("a").join("logs"));
    for path in [&config, &logs] {
        chown(path, Some(0), Some(0)).unwrap();
    }
    let evidence = ["2 files of `a`", text(&config), text(&logs), "(uid 0)"];
    let remedy = mends(world, "ownership", "error", &evidence);
    assert!(remedy.starts_with("as root: chown -hR 10000:10000 "), "{remedy}");
    // Many are given back by one command, however deep they are.
    let deep = world.home().join("logs/gateways/a");
    for i in 0..9 {
        fs::create_dir_all(deep.join("deeper")).unwrap();
        fs::write(deep.join(format!("{i}")), "").unwrap();
    }
    let remedy = mends(world, "ownership", "error", &["of `default`", "and 6 more"]);
    assert!(remedy.starts_with("as root: find "), "{remedy}");
    assert!(
        remedy.contains(" -execdir chown -h 10000:10000 {} +"),
        "root follows no link: {remedy}"
    );
    // What can be read and written all the same is a warning.
    let soul = world.profile("a").join("SOUL.md");
    chown(&soul, Some(7), Some(7)).unwrap();
    chmod(&soul, 0o666);
    mends(world, "ownership", "warning", &[text(&soul), "(uid 7)"]);
}

#[test]
fn a_home_of_another_user_is_named_with_both_users() {
    require_root!();
    let tree = tree();
    let home = tree.world.home();
    chown(&home, Some(4321), Some(4321)).unwrap();
    mends(&tree.world, "home", "error", &[text(&home), "belongs to uid 4321", "is 10000"]);
}

#[test]
fn a_home_that_can_not_be_written_or_is_not_there() {
    let tree = tree();
    let world = &tree.world;
    chmod(&world.home(), 0o500);
    mends(world, "home", "error", &[text(&world.home()), "mode 500"]);
    let elsewhere = world.path().join("elsewhere");
    let outcome = world.hermes(["doctor"]).env("HERMES_HOME", text(&elsewhere)).fails_with(1);
    let said = format!("error: home: the home `{}` does not exist\n", elsewhere.display());
    assert!(outcome.stdout.contains(&said), "{outcome}");
}

#[test]
fn a_profile_that_can_not_be_read_is_an_error_and_one_that_is_none_a_warning() {
    let tree = tree();
    let world = &tree.world;
    world.profile_serving("a");
    chmod(&world.profile("a"), 0o000);
    mends(world, "profiles", "error", &[text(&world.profile("a")), "can't be read"]);
    for (name, reason) in [("default", "lives in the root home itself"), ("Bad", "lower case")] {
        let path = world.profile(name);
        world.make_directory(&path);
        world.write(&path.join("SOUL.md"), "");
        finds(world, "profiles", "warning", &[text(&path), reason]);
        fs::remove_dir_all(&path).unwrap();
    }
    finds_nothing(world, "profiles");
    let logs = world.profile("a").join("logs");
    chmod(&logs, 0o000);
    mends(world, "ownership", "error", &[text(&logs), "can't be read"]);
}

#[test]
fn secrets_that_others_may_read_are_closed_and_warnings_alone_are_no_failure() {
    let tree = tree();
    let world = &tree.world;
    world.profile_serving("a");
    let dotenv = world.profile("a").join(".env");
    chmod(&dotenv, 0o640);
    world.hermes(["doctor"]).ok();
    mends(world, "dotenv", "warning", &[text(&dotenv), "mode 640"]);
    assert_eq!(fs::metadata(&dotenv).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_choice_of_what_is_no_more_is_undone() {
    let tree = tree();
    let world = &tree.world;
    let choice = world.home().join("active_profile");
    world.write(&choice, "ghost\n");
    mends(world, "active-profile", "error", &[text(&choice), "`ghost`, which is no more"]);
    world.write(&choice, "No Name\n");
    mends(world, "active-profile", "error", &[text(&choice)]);
}

#[test]
fn a_boot_log_that_can_not_be_written() {
    let tree = tree();
    let world = &tree.world;
    let log = world.home().join("logs/container-boot.log");
    chmod(&log, 0o400);
    mends(world, "boot-log", "warning", &[text(&log), "not writable"]);
    fs::remove_file(&log).unwrap();
    world.make_directory(&log);
    mends(world, "boot-log", "warning", &[text(&log), "is a directory"]);
}

#[test]
fn a_configuration_that_is_wrong_or_misspelt() {
    let tree = tree();
    let world = &tree.world;
    let port = world.profile_serving("a");
    let config = world.profile("a").join("config.yaml");
    let right = fs::read_to_string(&config).unwrap();
    world.write(&config, &format!("gateway:\n  port: {port}\n  stop_timout: 9\n"));
    finds(world, "config", "error", &[text(&config), "`gateway.stop_timout`", "line 3"]);
    world.write(&config, "gateway: {port: no}\n");
    finds(world, "config", "error", &[text(&config), "gateway.port"]);
    world.write(&config, &right);
    finds_nothing(world, "config");
    chmod(&config, 0o000);
    mends(world, "config", "error", &["`a`", text(&config)]);
}

#[test]
fn a_program_that_is_not_there_or_can_not_be_run() {
    let tree = tree();
    let world = &tree.world;
    world.profile_serving("a");
    let config = world.profile("a").join("config.yaml");
    let program = world.path().join("agent");
    let names =
        |program: &str| world.write(&config, &format!("gateway: {{command: ['{program}']}}\n"));
    names(text(&program));
    finds(world, "command", "error", &["`a` is not there", text(&program)]);
    world.write(&program, "#!/bin/sh\n");
    chmod(&program, 0o644);
    mends(world, "command", "error", &["`a` can't be run", text(&program)]);
    names("no-such-program");
    finds(world, "command", "error", &["`no-such-program`"]);
    // Found on the PATH that the gateway gets, and in the directory that it works in.
    let path =
        format!("gateway: {{command: [agent], env: {{PATH: '{}'}}}}\n", world.path().display());
    world.write(&config, &path);
    finds_nothing(world, "command");
    for found in ["sh", "../agent"] {
        names(found);
        finds_nothing(world, "command");
    }
}

#[test]
fn an_intent_that_makes_no_sense_is_recorded_anew_without_a_change() {
    let tree = tree();
    let world = &tree.world;
    world.profile_serving("a");
    let intent = world.profile("a").join("gateway.intent");
    for (verb, state) in [("stop", "down"), ("start", "up")] {
        world.hermes(["gateway", verb, "a"]).ok();
        world.write(&intent, "maybe\n");
        let remedy = mends(world, "intent", "error", &["`a`", text(&intent)]);
        assert_eq!(remedy, format!("hermes gateway {verb} a"));
        assert_eq!(tree.status("a")["state"], state);
    }
}

#[test]
fn ports_that_are_named_twice_or_not_at_all() {
    let tree = tree();
    let world = &tree.world;
    let port = world.profile_serving("b");
    world.profile_serving("a");
    world.hermes(["gateway", "start", "b"]).ok();
    world.hermes(["profile", "port", "a", &port.to_string()]).ok();
    // Who has it is known, and is no stranger.
    world.write(&world.profile("a").join("gateway.intent"), "running\n");
    finds_nothing(world, "port-holders");
    world.write(&world.profile("a").join("gateway.intent"), "stopped\n");
    // The one that is up keeps it.
    let evidence = [&*format!("port {port}"), "`a`, `b`"];
    let remedy = mends(world, "ports", "error", &evidence);
    assert!(remedy.starts_with("hermes profile port a "), "{remedy}");
    for config in ["gateway: {}\n", "gateway: {command: [sleep, '{port}']}\n"] {
        world.write(&world.profile("a").join("config.yaml"), config);
        mends(world, "ports", "error", &["`a` names no port"]);
    }
    world.write(&world.profile("a").join("config.yaml"), "gateway: {command: [sleep, '9']}\n");
    finds_nothing(world, "ports");
    // Of three, two have to give way.
    for name in ["c", "d"] {
        world.hermes(["profile", "create", name, "--port", &port.to_string()]).ok();
    }
    let found = told(world, "ports");
    assert_eq!(found.len(), 2, "{found:#?}");
    found.iter().for_each(|told| run_remedy(world, &told.remedy));
    finds_nothing(world, "ports");
}

#[test]
fn a_stranger_on_the_port_of_a_wanted_gateway_is_named() {
    let tree = tree();
    let (world, stranger) = (&tree.world, TestEnv::new());
    let port = world.profile_serving("a");
    alone(&stranger, ["profile", "create", "other", "--port", &port.to_string()]).ok();
    let mut command = stranger.command(hermes_program());
    command.args(["-p", "other", "gateway", "run"]).env_remove("HERMES_SCANDIR");
    let mut child = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    eventually("it listens", || TcpStream::connect(("127.0.0.1", port)).is_ok().then_some(()));
    finds_nothing(world, "port-holders");
    world.write(&world.profile("a").join("gateway.intent"), "running\n");
    let holder = format!("process {} (hermes)", child.id());
    let evidence = ["`a` is wanted and not up", &format!("port {port}"), "127.0.0.1", &holder];
    finds(world, "port-holders", "error", &evidence);
    child.kill().unwrap();
    child.wait().unwrap();
    world.hermes(["gateway", "start", "a"]).ok();
    finds_nothing(world, "port-holders");
}

/// Whose process it is can't be seen, but that there is one.
#[test]
fn another_users_listener_is_reported() {
    require_root!();
    let tree = tree();
    let world = &tree.world;
    let port = free_port();
    let _listener = TcpListener::bind(("0.0.0.0", port)).unwrap();
    world.hermes(["profile", "create", "b", "--port", &port.to_string()]).ok();
    world.write(&world.profile("b").join("gateway.intent"), "running\n");
    finds(world, "port-holders", "error", &["a process that this user may not see"]);
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
fn a_disk_that_is_full_or_soon_will_be() {
    require_root!();
    let tree = tree();
    let world = &tree.world;
    finds_nothing(world, "disk");
    for (options, severity, evidence) in [
        ("size=4m", "error", "4.0 MiB free of 4.0 MiB"),
        ("size=64m,nr_inodes=20", "error", "19 inodes free of 20"),
    ] {
        let disk = SmallDisk::mount(world.home(), options);
        finds(world, "disk", severity, &[text(&world.home()), evidence]);
        drop(disk);
    }
    // Little of it all, and enough for now.
    let disk = SmallDisk::mount(world.home(), "size=400m");
    finds_nothing(world, "disk");
    let free = || rustix::fs::statvfs(world.home()).unwrap().f_bfree;
    let (big, before) = (world.home().join("big"), free());
    let file = fs::File::create(&big).unwrap();
    rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, 382 << 20).unwrap();
    finds(world, "disk", "warning", &["18.0 MiB free of 400.0 MiB"]);
    drop(file);
    fs::remove_file(&big).unwrap();
    // A child that another test has just forked holds the file until it is a program.
    eventually("its space is free again", || (free() == before).then_some(()));
    finds_nothing(world, "disk");
    drop(disk);
}
