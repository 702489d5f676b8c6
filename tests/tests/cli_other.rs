//! `hermes up`, `boot`, `doctor`, `completions`, `man`, and rules for all commands.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

use hermes_s6::protocol::events::Process;
use hermes_tests::{
    Outcome, Svscan, TestEnv, Up, alone, chmod, eventually, free_port, hermes_program, is_alive,
    pid, short,
};
use rustix::process::Signal;
use serde_json::json;

/// Checks the error of an invalid command line.
#[track_caller]
fn is_usage_error(outcome: &Outcome) {
    assert_eq!(outcome.code(), Some(2), "{outcome}");
    assert_eq!(outcome.stdout, "", "{outcome}");
    assert!(outcome.stderr.starts_with("error: "), "{outcome}");
}

#[test]
fn help_is_data_and_wrong_usage_is_exit_2() {
    let env = TestEnv::new();
    for (args, commands) in [
        (vec!["--help"], "profile gateway up boot doctor completions man"),
        (vec!["profile", "--help"], "create delete list show use port"),
        (vec!["gateway", "--help"], "start stop restart status list logs register unregister"),
    ] {
        let outcome = env.hermes(args).ok();
        assert_eq!(outcome.stderr, "");
        for command in commands.split(' ') {
            let line = format!("\n  {command} ");
            assert!(outcome.stdout.contains(&line), "{command}: {outcome}");
        }
        assert!(!outcome.stdout.contains("after-death"), "{outcome}");
    }
    let version = env.hermes(["--version"]).ok();
    assert_eq!(version.stdout, format!("hermes {}\n", env!("CARGO_PKG_VERSION")));
    for line in [
        "nope",
        "profile",
        "profile nope",
        "profile create",
        "profile create a b",
        "gateway start --nope",
        "gateway start --foreground --all",
        "--timeout 0 doctor",
        "--timeout x doctor",
        "completions csh",
        "gateway register a --env 1A=b",
        "gateway register a --env HERMES_HOME=/x",
        "boot --dry-run --delegate",
    ] {
        let outcome = env.hermes(line.split(' ')).run();
        assert_eq!(outcome.stdout, "", "{outcome}");
        assert_eq!(outcome.code(), Some(2), "{outcome}");
    }
    is_usage_error(&env.hermes(["nope"]).run());
    is_usage_error(&env.hermes(["doctor"]).env("HERMES_HOME", "relative").run());
    let wrong = env.home().join("profiles/Bad");
    is_usage_error(&env.hermes(["doctor"]).env("HERMES_HOME", wrong.to_str().unwrap()).run());
}

#[test]
fn foreground_start_refuses_ignored_names() {
    let env = TestEnv::new();
    for name in ["a", "b"] {
        alone(&env, ["profile", "create", name]).ok();
        // A gateway that ends at once, for every profile.
        env.write(&env.profile(name).join("config.yaml"), "gateway: {command: [/bin/true]}\n");
    }
    alone(&env, ["gateway", "start", "--foreground", "a"]).ok();
    is_usage_error(&alone(&env, ["gateway", "start", "--foreground", "a", "b"]).run());
    is_usage_error(&alone(&env, ["gateway", "start", "--foreground", "a", "-p", "b"]).run());
}

#[test]
fn no_colour_without_a_terminal() {
    let env = TestEnv::new();
    for line in ["profile show nope", "profile list", "doctor", "nope", "--help", "man"] {
        let plain = alone(&env, line.split(' ')).run();
        let bidden = alone(&env, line.split(' ')).env("CLICOLOR_FORCE", "1").env("NO_COLOR", "1");
        for outcome in [plain, bidden.run()] {
            assert!(!outcome.stdout.contains('\u{1b}'), "{outcome}");
            assert!(!outcome.stderr.contains('\u{1b}'), "{outcome}");
        }
    }
    let forced = alone(&env, ["profile", "show", "nope"]).env("CLICOLOR_FORCE", "1").run();
    assert!(forced.stderr.contains("\u{1b}["), "there is something to leave out: {forced}");
}

#[test]
fn a_closed_stdout_is_not_a_panic() {
    let env = TestEnv::new();
    let full = |line: &str| env.shell(&format!("unset HERMES_SCANDIR; exec hermes {line}"));
    full("profile list 2>/dev/full").ok();
    full("profile create a 2>/dev/full").ok();
    full("profile show nope 2>/dev/full").fails_with(4);
    full("profile show nope 2>&-").fails_with(4);
    let piped = env.shell("{ hermes man; echo $? >&2; } | :").run();
    assert_eq!(piped.stderr, "0\n", "a reader that has had enough is no failure");
}

#[test]
fn unwritten_output_is_a_failure() {
    let env = TestEnv::new();
    for line in ["profile list --json", "man", "completions bash"] {
        let line = format!("unset HERMES_SCANDIR; exec hermes {line} >/dev/full");
        let outcome = env.shell(&line).fails_with(1);
        assert!(outcome.stderr.contains("No space left on device"), "{outcome}");
    }
}

#[test]
fn a_gateway_whose_log_is_full_goes_on() {
    let env = TestEnv::new();
    let port = free_port();
    alone(&env, ["profile", "create", "a", "--port", &port.to_string()]).ok();
    let mut command = env.command(hermes_program());
    command.args(["-p", "a", "gateway", "run"]).env_remove("HERMES_SCANDIR");
    command.stderr(fs::OpenOptions::new().write(true).open("/dev/full").unwrap());
    let mut child = command.stdin(Stdio::null()).spawn().unwrap();
    let answer = eventually("it answers or ends", || {
        if let Some(status) = child.try_wait().ok()? {
            return Some(format!("it ended: {status}"));
        }
        let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
        stream.write_all(b"GET /health HTTP/1.0\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok().map(|_| answer)
    });
    let process = Process::open(child.id()).unwrap();
    let _ = process.map(|process| process.signal(Signal::TERM));
    let status = child.wait().unwrap();
    assert!(answer.contains("\"profile\":\"a\""), "{answer}");
    assert_eq!(status.code(), Some(0));
}

#[test]
fn permission_denied_is_exit_5_and_changes_nothing() {
    let tree = Svscan::start();
    let env = &tree.env;
    env.profile_serving("a");
    env.hermes(["gateway", "start", "a"]).ok();
    let before = pid(&tree.status("a"));
    let home = env.profile("a");
    let mut wrong = Vec::new();
    for (path, line) in [
        (env.slot("a").join("supervise/control"), "gateway stop a"),
        (home.clone(), "gateway stop a"),
        (home.clone(), "profile port a 9000"),
        (home.join("config.yaml"), "profile port a"),
        (env.home(), "profile use a"),
        (env.home().join("logs/gateways/a"), "gateway logs a"),
    ] {
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        env.write(&home.join("gateway.intent"), "running\n");
        chmod(&path, if path.is_dir() && !line.contains("logs") { 0o500 } else { 0o000 });
        let outcome = env.hermes(line.split(' ')).run();
        chmod(&path, mode);
        if outcome.code() != Some(5) || !outcome.stderr.contains("Permission denied") {
            wrong.push(outcome.to_string());
        }
    }
    assert_eq!(pid(&tree.status("a")), before);
    // Nor is one ended among others that can be stopped.
    env.profile_serving("b");
    env.hermes(["gateway", "start", "b"]).ok();
    let control = env.slot("a").join("supervise/control");
    chmod(&control, 0o000);
    env.hermes(["gateway", "stop", "a", "b"]).fails_with(5);
    chmod(&control, 0o600);
    assert_eq!(pid(&tree.status("a")), before);
    assert_eq!(tree.status("b")["state"], "down");
    let place = env.path().join("closed");
    env.make_directory(&place);
    chmod(&place, 0o500);
    let pages = place.join("man").display().to_string();
    let outcome = env.hermes(["man", &pages]).run();
    if outcome.code() != Some(5) {
        wrong.push(outcome.to_string());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn man_prints_a_page_or_writes_one_for_each_command() {
    let env = TestEnv::new();
    let page = env.hermes(["man"]).ok();
    assert!(page.stdout.contains("\n.TH hermes 1"), "{page}");
    assert_eq!(page.stderr, "");
    let directory = env.path().join("man/man1");
    env.hermes(["man", directory.to_str().unwrap()]).ok();
    for name in ["hermes", "hermes-profile", "hermes-profile-create", "hermes-gateway-start"] {
        let text = fs::read_to_string(directory.join(format!("{name}.1"))).unwrap();
        assert!(text.contains(&format!(".TH {name} 1")), "{name}: {text}");
    }
    let hidden = directory.join("hermes-gateway-after-death.1");
    assert!(!hidden.exists(), "a hidden command has no page");
}

#[test]
fn missing_s6_is_told_with_the_ways_to_install_it() {
    assert!(!Path::new("/command").exists(), "this test is about a machine without s6-overlay");
    let env = TestEnv::new();
    env.hermes(["profile", "list"]).env("PATH", "/nonexistent").ok();
    for args in
        [vec!["up"], vec!["gateway", "status"], vec!["profile", "create", "a"], vec!["boot"]]
    {
        let outcome = env.hermes(args).env("PATH", "/nonexistent").fails_with(5);
        let told = "error: failed to use s6\n  s6 is not installed: no s6-svscan was found in /command or on PATH\n\
            hint: install it with one of: apt install s6 · apk add s6 · brew install s6 · \
            pacman -S s6\n";
        assert_eq!(outcome.stderr, told);
    }
    assert!(!env.profile("a").exists());
    let doctor = env.hermes(["doctor"]).env("PATH", "/nonexistent").fails_with(1);
    assert!(doctor.stdout.contains("apt install s6"), "{doctor}");
}

#[test]
fn up_refuses_a_second_and_is_ended_by_stop() {
    let up = Up::start();
    let env = &up.env;
    env.profile_serving("a");
    env.hermes(["gateway", "start", "a"]).ok();
    let gateway = pid(&env.hermes(["gateway", "status", "a", "--json"]).json());
    let outcome = env.hermes(["up"]).fails_with(1);
    let told = short(env, &outcome.stderr);
    assert!(told.starts_with("error: a tree already runs on `W/service`\n"), "{outcome}");
    assert!(told.contains("for `W/home`\nhint: `hermes down` ends it"), "{outcome}");
    let outcome = env.hermes(["up", "--stop"]).ok();
    assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("", "the tree is down\n"));
    assert!(!is_alive(gateway), "on return all of it is down");
    let outcome = env.hermes(["up", "--stop"]).fails_with(5);
    insta::assert_snapshot!(short(env, &outcome.stderr), @r"
    error: failed to stop the tree
      no tree runs on `W/service`
    hint: `--scandir DIR` names the scan directory of another tree
    ");
    let intent = fs::read_to_string(env.profile("a").join("gateway.intent")).unwrap();
    assert_eq!(intent, "running\n", "the end of the tree is no stop");
}

#[test]
fn up_ends_in_order_on_both_signals() {
    for signal in [Signal::INT, Signal::TERM] {
        let (env, code) = Up::start().end(signal);
        assert_eq!(code, Some(0));
        env.hermes(["gateway", "status"]).fails_with(5);
    }
}

#[test]
fn boot_does_what_its_dry_run_prints() {
    let tree = Svscan::start();
    let env = &tree.env;
    env.profile_serving("up");
    env.profile_serving("down");
    env.hermes(["gateway", "start", "up"]).ok();
    env.hermes(["gateway", "unregister", "up", "down"]).ok();
    env.profile_serving("gone");
    fs::remove_dir_all(env.profile("gone")).unwrap();
    let dry = env.hermes(["boot", "--dry-run"]).ok();
    for said in ["remove gone", "register default", "register down", "start up"] {
        assert!(dry.stdout.lines().any(|line| line.starts_with(said)), "{said}: {dry}");
    }
    assert!(!env.slot("up").exists() && env.slot("gone").exists(), "it only says so");
    assert!(env.hermes(["boot", "--dry-run", "--json"]).json().is_array());
    let boot = env.hermes(["boot"]).ok();
    assert_eq!((boot.stdout.as_str(), boot.stderr.as_str()), (dry.stdout.as_str(), ""));
    assert_eq!(tree.status("up")["state"], "up");
    assert_eq!(tree.status("down")["state"], "down");
    assert!(!env.slot("gone").exists());
    let again = env.hermes(["boot"]).ok();
    assert_eq!(again.stdout, "keep default\nkeep down\nkeep up\n");
    drop(env.hermes(["boot", "--json"]).json());
    let env = tree.stop();
    env.hermes(["boot"]).fails_with(5);
    alone(&env, ["boot"]).fails_with(5);
    alone(&env, ["boot", "--dry-run"]).fails_with(5);
}

#[test]
fn doctor_names_what_is_wrong_and_what_mends_it() {
    let tree = Svscan::start();
    let env = &tree.env;
    env.hermes(["boot"]).ok();
    let healthy = env.hermes(["doctor"]).ok();
    assert!(healthy.stdout.ends_with("\nno problems found\n"), "{healthy}");
    assert_eq!(healthy.stderr, "");
    let report = env.hermes(["doctor", "--json"]).json();
    assert_eq!((&report["backend"], &report["findings"]), (&json!("s6"), &json!([])));
    let scandir = env.scandir();
    assert_eq!(report["facts"]["named_scandir"], scandir.to_str().unwrap());
    for name in ["a", "b", "c"] {
        env.hermes(["profile", "create", name]).ok();
        env.hermes(["profile", "port", name, "9000"]).ok();
    }
    env.write(&env.profile("c").join("config.yaml"), "gateway:\n  prot: 9000\n");
    env.make_directory(&env.profile("Bad"));
    env.write(&env.profile("Bad").join("SOUL.md"), "");
    env.hermes(["gateway", "unregister", "a"]).ok();
    let outcome = env.hermes(["doctor"]).fails_with(1);
    for said in [
        "ports: port 9000 is named by `a`, `b`\n  fix: hermes profile port b ",
        "`gateway.prot`",
        "ports: `c` names no port, and its built-in gateway needs one\n  fix: hermes profile port c",
        "Bad` is not a profile: invalid profile name `Bad`: it must be lower case",
        "slots: `a` has no slot\n  fix: hermes gateway register a",
    ] {
        assert!(outcome.stdout.contains(said), "{said}: {outcome}");
    }
    assert_eq!(outcome.stderr, "", "its findings are data");
    let report = env.hermes(["doctor", "--json"]).fails_with(1).json();
    assert_eq!(report["findings"].as_array().unwrap().len(), 5, "{report}");
    let env = tree.stop();
    let outcome = env.hermes(["doctor"]).fails_with(1);
    assert!(outcome.stdout.contains("no s6-svscan holds the scan directory"), "{outcome}");
}
