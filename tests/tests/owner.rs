//! One owner per home: a second tree waits, takes over, or names the owner.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Stdio};

use hermes_core::process_lock;
use hermes_tests::doctor::finds;
use hermes_tests::{
    Helper, TestEnv, Up, eventually, hermes_program, is_alive, is_one_clear_error, kill, pid,
    signal,
};
use rustix::process::Signal;

/// A second `hermes up` for a home, on another scan directory.
struct Second {
    child: Child,
    log: PathBuf,
}

impl Second {
    fn start(up: &Up, variable: (&str, &str)) -> Self {
        let log = up.env.path().join("second.log");
        let mut command = up.env.command(hermes_program());
        command.args(["up", "--scandir"]).arg(up.env.path().join("second"));
        command.env(variable.0, variable.1).stdin(Stdio::null()).stdout(Stdio::null());
        let file = fs::File::create(&log).expect("a log");
        let child = command.stderr(file).spawn().expect("hermes runs");
        Self { child, log }
    }

    fn await_output(&self, words: &str) {
        eventually(words, || self.output().contains(words).then_some(()));
    }

    fn output(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    #[track_caller]
    fn ends_with(mut self, code: i32) {
        let status = eventually("it ends", || self.child.try_wait().expect("a child of ours"));
        assert_eq!(status.code(), Some(code), "{}", self.output());
    }

    fn terminate(self) {
        signal(self.child.id().into(), Signal::TERM);
        self.ends_with(0);
    }
}

/// A tree with one running gateway.
fn first() -> Up {
    let env = TestEnv::new();
    env.profile_for_later("coder", "exec sleep 600", "running");
    let up = Up::start_in(env);
    assert_eq!(up.status("coder")["state"], "up");
    up
}

#[test]
fn the_owner_file_names_the_owner() {
    let up = first();
    let text = fs::read_to_string(up.env.home().join("hermes-owner.lock")).unwrap();
    let scandir = format!("scandir={:?}", up.env.scandir());
    for part in ["host=", "container=", "boot=", "since=20", scandir.as_str()] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn a_waiting_tree_names_the_owner() {
    let up = first();
    let gateway = pid(&up.status("coder"));
    let second = Second::start(&up, ("HERMES_OWNER_WAIT", "1"));
    second.await_output("hint:");
    let output = second.output();
    assert!(output.contains(&format!("s6-svscan {}: host=", up.svscan())), "{output}");
    assert!(output.contains("HERMES_ROLE=client"), "{output}");
    second.ends_with(5);
    assert_eq!(pid(&up.status("coder")), gateway, "the first one is as it was");
}

#[test]
fn a_signal_ends_the_wait() {
    let up = first();
    let second = Second::start(&up, ("HERMES_OWNER_WAIT", "600"));
    second.await_output("waiting up to 600 s for the owner");
    second.terminate();
}

#[test]
fn a_second_tree_takes_over_when_the_first_is_killed() {
    let up = first();
    let old = pid(&up.status("coder"));
    let second = Second::start(&up, ("HERMES_OWNER_WAIT", "600"));
    second.await_output("waiting up to 600 s for the owner");
    kill(up.svscan());
    let (env, _) = up.ended();
    second.await_output("the tree is up");
    let scandir = env.path().join("second");
    let status = eventually("its gateway is up", || {
        let command = env.hermes(["gateway", "status", "coder", "--json"]);
        let status = command.env("HERMES_SCANDIR", scandir.to_str().unwrap()).run().json();
        (status["state"] == "up").then_some(status)
    });
    assert!(pid(&status) != old);
    second.terminate();
}

#[test]
fn a_client_supervises_nothing() {
    let up = first();
    let svscan = format!("s6-svscan {}", up.svscan());
    let commands = [
        &["gateway", "start", "coder"][..],
        &["gateway", "stop", "coder"],
        &["gateway", "status", "coder"],
        &["gateway", "register", "coder"],
        &["profile", "create", "other"],
        &["profile", "delete", "coder", "-y"],
        &["boot"],
        &["up"],
    ];
    for args in commands {
        let client = up.env.hermes(args.iter().copied()).env("HERMES_ROLE", "client");
        let outcome = client.fails_with(5);
        is_one_clear_error(&outcome);
        assert!(outcome.stderr.contains(&svscan), "{outcome}");
    }
    let doctor = up.env.hermes(["doctor"]).env("HERMES_ROLE", "client").run();
    let seen = format!("HERMES_ROLE=client supervises nothing; the owner is {svscan}");
    assert!(doctor.stdout.contains(&seen), "{doctor}");
    let list = up.env.hermes(["profile", "list"]).env("HERMES_ROLE", "client").ok();
    assert!(list.stdout.contains("coder") && !list.stdout.contains("other"), "{list}");
    up.env.hermes(["gateway", "start", "coder"]).env("HERMES_ROLE", "boss").fails_with(2);
    up.env.hermes(["gateway", "start", "coder"]).env("HERMES_ROLE", "owner").ok();
}

#[test]
fn a_linked_scan_directory_is_the_same_tree() {
    let up = first();
    let link = up.env.path().join("link");
    std::os::unix::fs::symlink(up.env.scandir(), &link).unwrap();
    let hermes = |args: &[&str]| {
        let command = up.env.hermes(args.iter().copied());
        command.env("HERMES_SCANDIR", link.to_str().unwrap())
    };
    hermes(&["gateway", "stop", "coder"]).ok();
    let by_hand = hermes(&["gateway", "start", "coder", "--foreground"]).spawn();
    let orphan = eventually("it is an orphan", || {
        let status = up.status("coder");
        (status["state"] == "orphan").then(|| pid(&status))
    });
    let doctor = hermes(&["doctor"]).run();
    assert!(!doctor.stdout.contains("error: owner"), "{doctor}");
    hermes(&["gateway", "restart", "coder"]).ok();
    assert!(!is_alive(orphan));
    by_hand.wait();
}

#[test]
fn without_the_lock_a_second_tree_does_not_wait() {
    let up = first();
    let second = Second::start(&up, ("HERMES_OWNER_LOCK", "off"));
    second.await_output("the tree is up");
    let doctor = up.env.hermes(["doctor"]).run();
    assert!(!doctor.stdout.contains("error: owner"), "this one is the owner: {doctor}");
    let other = up.env.path().join("second");
    let doctor = up.env.hermes(["doctor"]).env("HERMES_SCANDIR", other.to_str().unwrap());
    let doctor = doctor.fails_with(1);
    let told = format!("are run by s6-svscan {}: host=", up.svscan());
    assert!(doctor.stdout.contains("error: owner: ") && doctor.stdout.contains(&told), "{doctor}");
    second.terminate();
}

/// While the file is away, a tree could start on the same home.
#[test]
fn a_lock_whose_file_is_removed_or_replaced_is_taken_again() {
    let up = first();
    let lock = up.env.home().join("hermes-owner.lock");
    let holder = || process_lock::holder(&lock).expect("a readable lock");
    for by in ["removed", "replaced"] {
        fs::remove_file(&lock).expect("a file");
        if by == "replaced" {
            up.env.write(&lock, "");
        }
        eventually("the home is locked again", holder);
        let second = Second::start(&up, ("HERMES_OWNER_WAIT", "0"));
        second.await_output("another tree runs its gateways");
        second.ends_with(5);
        up.env.hermes(["gateway", "restart", "coder"]).ok();
        let warned = "the lock of the home was lost with its file; the tree has taken it again";
        eventually("it is reported", || up.log().contains(warned).then_some(()));
    }
    up.env.hermes(["doctor"]).ok();
    up.env.hermes(["down"]).ok();
    let (env, code) = up.ended();
    assert_eq!(code, Some(0));
    assert_eq!(process_lock::holder(&lock).expect("a readable lock"), None);
    assert_eq!(Up::start_in(env).status("coder")["state"], "up");
}

/// Whoever took the home meanwhile keeps it, and is named.
#[test]
fn a_lock_that_another_process_took_is_reported() {
    let up = first();
    let other = up.env.path().join("other.lock");
    let mut command = up.env.s6("s6-setlock");
    command.arg("-n").arg(&other).args(["sleep", "600"]);
    let _other = Helper::start(&mut command);
    eventually("it has the lock", || process_lock::holder(&other).ok().flatten());
    fs::rename(&other, up.env.home().join("hermes-owner.lock")).expect("a file");
    let warned = "the lock of the home was lost with its file: another tree runs its gateways";
    eventually("it is reported", || up.log().contains(warned).then_some(()));
    finds(&up.env, "owner", "error", &["besides this tree"]);
}
