//! `hermes doctor` on homes, configurations, ports and disks: each fault is caused, found with its evidence, and
//! repaired by the printed command.
//!
//! Only root can create files of another user and small file systems: those tests need root.

use std::fs;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use hermes_tests::doctor::{finds, finds_nothing, printed_findings, repairs, run_remedy};
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
    let remedy = repairs(env, "ownership", "error", &evidence);
    assert!(remedy.starts_with("as root: chown -hR 10000:10000 "), "{remedy}");
    // One command changes the owner of many files, at any depth.
    let deep = env.home().join("logs/gateways/a");
    for i in 0..9 {
        fs::create_dir_all(deep.join("deeper")).unwrap();
        fs::write(deep.join(format!("{i}")), "").unwrap();
    }
    let remedy = repairs(env, "ownership", "error", &["of `default`", "and 6 more"]);
    assert!(remedy.starts_with("as root: find "), "{remedy}");
    assert!(
        remedy.contains(" -execdir chown -h 10000:10000 {} +"),
        "root follows no link: {remedy}"
    );
    // Files that can still be read and written are a warning.
    let soul = env.profile("a").join("SOUL.md");
    chown(&soul, Some(7), Some(7)).unwrap();
    chmod(&soul, 0o666);
    repairs(env, "ownership", "warning", &[text(&soul), "(uid 7)"]);
}

#[test]
fn a_home_of_another_user() {
    require_root!();
    let tree = tree();
    let home = tree.env.home();
    chown(&home, Some(4321), Some(4321)).unwrap();
    repairs(&tree.env, "home", "error", &[text(&home), "belongs to uid 4321", "is 10000"]);
}

#[test]
fn an_unwritable_or_missing_home() {
    let tree = tree();
    let env = &tree.env;
    chmod(&env.home(), 0o500);
    repairs(env, "home", "error", &[text(&env.home()), "mode 500"]);
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
    repairs(env, "profiles", "error", &[text(&env.profile("a")), "failed to read it"]);
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
    repairs(env, "ownership", "error", &[text(&logs), "can't be read"]);
}

#[test]
fn readable_secrets_are_a_warning() {
    let tree = tree();
    let env = &tree.env;
    env.profile_serving("a");
    let dotenv = env.profile("a").join(".env");
    chmod(&dotenv, 0o640);
    env.hermes(["doctor"]).ok();
    repairs(env, "dotenv", "warning", &[text(&dotenv), "mode 640"]);
    assert_eq!(fs::metadata(&dotenv).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_chosen_profile_that_does_not_exist() {
    let tree = tree();
    let env = &tree.env;
    let choice = env.home().join("active_profile");
    env.write(&choice, "ghost\n");
    repairs(env, "active-profile", "error", &[text(&choice), "`ghost`, which does not exist"]);
    env.write(&choice, "No Name\n");
    repairs(env, "active-profile", "error", &[text(&choice)]);
}

#[test]
fn an_unwritable_boot_log() {
    let tree = tree();
    let env = &tree.env;
    let log = env.home().join("logs/container-boot.log");
    chmod(&log, 0o400);
    repairs(env, "boot-log", "warning", &[text(&log), "not writable"]);
    fs::remove_file(&log).unwrap();
    env.make_directory(&log);
    repairs(env, "boot-log", "warning", &[text(&log), "is a directory"]);
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
    repairs(env, "config", "error", &["`a`", text(&config)]);
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
    repairs(env, "command", "error", &["`a` can't be run", text(&program)]);
    names("no-such-program");
    finds(env, "command", "error", &["`no-such-program`"]);
    // The program is searched in the gateway's PATH and relative to its working directory.
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
        let remedy = repairs(env, "intent", "error", &["`a`", text(&intent)]);
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
    // The listener is a known gateway.
    env.write(&env.profile("a").join("gateway.intent"), "running\n");
    finds_nothing(env, "port-holders");
    env.write(&env.profile("a").join("gateway.intent"), "stopped\n");
    // The running gateway keeps the port.
    let evidence = [&*format!("port {port}"), "`a`, `b`"];
    let remedy = repairs(env, "ports", "error", &evidence);
    assert!(remedy.starts_with("hermes profile port a "), "{remedy}");
    for config in ["gateway: {}\n", "gateway: {command: [sleep, '{port}']}\n"] {
        env.write(&env.profile("a").join("config.yaml"), config);
        repairs(env, "ports", "error", &["`a` names no port"]);
    }
    env.write(&env.profile("a").join("config.yaml"), "gateway: {command: [sleep, '9']}\n");
    finds_nothing(env, "ports");
    // Of three profiles, two need another port.
    for name in ["c", "d"] {
        env.hermes(["profile", "create", name]).ok();
        env.hermes(["profile", "port", name, &port.to_string()]).ok();
    }
    let found = printed_findings(env, "ports");
    assert_eq!(found.len(), 2, "{found:#?}");
    found.iter().for_each(|finding| run_remedy(env, &finding.remedy));
    finds_nothing(env, "ports");
}

#[test]
fn a_gateway_without_its_supervisor_is_no_stranger_on_its_port() {
    let tree = tree();
    let env = &tree.env;
    let port = free_port();
    // A child of the gateway listens.
    let listen = format!("python3 -m http.server {port} --bind 127.0.0.1 & wait");
    env.profile_running("a", &listen);
    let config = env.profile("a").join("config.yaml");
    let text = fs::read_to_string(&config).unwrap();
    env.write(&config, &format!("{text}  port: {port}\n"));
    env.hermes(["gateway", "start", "a"]).ok();
    eventually("it listens", || TcpStream::connect(("127.0.0.1", port)).is_ok().then_some(()));
    env.lose_supervisors("a");
    finds_nothing(env, "port-holders");
    env.hermes(["gateway", "stop", "a"]).ok();
    eventually("it is ended", || TcpStream::connect(("127.0.0.1", port)).is_err().then_some(()));
}

#[test]
fn a_closed_hidden_directory_is_named() {
    require_root!();
    let tree = tree();
    let path = tree.env.home().join("profiles/.hermes-theirs");
    fs::create_dir(&path).unwrap();
    chmod(&path, 0o700);
    repairs(&tree.env, "leftovers", "warning", &[text(&path), "closed to this user"]);
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

/// Another user's process can't be identified, only its port.
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

/// Once, however many gateways there are.
#[test]
fn a_port_whose_owner_cant_be_seen_is_reported_once() {
    require_root!();
    let tree = tree();
    let env = &tree.env;
    // The listener of this process answers, which is root's.
    let port = free_port();
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\n");
        }
    });
    let evidence = || {
        let report = env.hermes(["doctor", "--json"]).run().json();
        let checks = report["checks"].as_array().unwrap().clone();
        let check = checks.into_iter().find(|check| check["check"] == "port-holders").unwrap();
        (check["ok"].clone(), check["evidence"].as_str().unwrap().to_owned())
    };
    for name in ["a", "b"] {
        env.profile_serving(&format!("own-{name}"));
        env.hermes(["gateway", "start", &format!("own-{name}")]).ok();
    }
    assert_eq!(evidence().0, true);
    for name in ["a", "b"] {
        env.profile_running(name, "exec sleep 600");
        let config = env.profile(name).join("config.yaml");
        let text = fs::read_to_string(&config).unwrap();
        env.write(&config, &format!("{text}  ready_url: 'http://127.0.0.1:{port}/'\n"));
        env.hermes(["gateway", "start", name]).ok();
    }
    let (ok, evidence) = evidence();
    let once = "not checked: the process that listens on the port of `a` and of 1 more, which is another user's";
    assert_eq!((ok, evidence.matches("not checked").count()), (serde_json::Value::Null, 1));
    assert!(evidence.contains(once), "{evidence}");
}

/// A mounted file system of this size; dropping it unmounts it.
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
        // A child that another test has just forked keeps files open until exec.
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
    // A small share of the disk, but enough space.
    let disk = SmallDisk::mount(env.home(), "size=400m");
    finds_nothing(env, "disk");
    let free = || rustix::fs::statvfs(env.home()).unwrap().f_bfree;
    let (big, before) = (env.home().join("big"), free());
    let file = fs::File::create(&big).unwrap();
    rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, 382 << 20).unwrap();
    finds(env, "disk", "warning", &["18.0 MiB free of 400.0 MiB"]);
    drop(file);
    fs::remove_file(&big).unwrap();
    // A child that another test has just forked keeps the file open until exec.
    eventually("its space is free again", || (free() == before).then_some(()));
    finds_nothing(env, "disk");
    drop(disk);
}
