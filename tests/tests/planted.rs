//! Entries of every kind in each place that a command reads: they are their profile's fault, and the other
//! profiles come up and go down.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use hermes_tests::{TestEnv, Up, chmod, is_alive, kill, pid, require_root};
use rustix::process::Signal;

/// A kind of entry, and how to make one.
type Entry = (&'static str, fn(&TestEnv, &Path));

const ENTRIES: [Entry; 12] = [
    ("file", |env, path| env.write(path, "planted\n")),
    ("closed", |env, path| {
        env.write(path, "planted\n");
        chmod(path, 0o000);
    }),
    ("theirs", |_, path| {
        fs::write(path, "planted\n").expect("root may");
        chmod(path, 0o600);
    }),
    ("directory", |env, path| env.make_directory(path)),
    ("sealed", |env, path| {
        env.make_directory(path);
        env.write(&path.join("planted"), "");
        chmod(path, 0o000);
    }),
    ("theirs-too", |_, path| {
        fs::create_dir(path).expect("root may");
        fs::write(path.join("planted"), "").expect("root may");
        chmod(path, 0o700);
    }),
    ("link", |env, path| {
        let elsewhere = env.path().join("elsewhere");
        env.make_directory(&elsewhere);
        symlink(elsewhere, path).expect("a link");
    }),
    ("loop", |_, path| symlink(path, path).expect("a link")),
    ("dangling", |env, path| symlink(env.path().join("nowhere"), path).expect("a link")),
    ("fifo", |env, path| run(Command::new("mkfifo").arg(path), env, path)),
    ("socket", |env, path| {
        drop(UnixListener::bind(path).expect("a socket"));
        env.give(path);
    }),
    ("device", |env, path| run(Command::new("mknod").arg(path).args(["c", "1", "3"]), env, path)),
];

fn run(command: &mut Command, env: &TestEnv, path: &Path) {
    assert!(command.status().expect("it is installed").success());
    env.give(path);
}

/// Puts one entry of each kind into `place` of a profile of that name, and runs all commands that read it. What is
/// neither harmless there nor gives way is one of `faults`, in this order, which doctor names.
fn plant(place: fn(&TestEnv, &str) -> PathBuf, faults: &str) {
    let env = TestEnv::new();
    env.profile_for_later("well", "exec sleep 600", "running");
    let mut planted = Vec::new();
    for (name, entry) in ENTRIES {
        env.profile_for_later(name, "exec sleep 600", "running");
        let path = place(&env, name);
        env.make_directory(path.parent().expect("it has one"));
        let _ = fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path));
        entry(&env, &path);
        planted.push(path);
    }
    let up = Up::start_in(env);
    let state = |up: &Up| up.status("well")["state"].clone();
    assert_eq!(state(&up), "up", "{}", up.log());
    for (command, expected) in [
        ("gateway stop --all", "down"),
        ("gateway start --all", "up"),
        ("gateway restart --all", "up"),
        ("boot", "up"),
        ("doctor --fix", "up"),
        ("gateway status --all", "up"),
        ("profile list", "up"),
    ] {
        let outcome = up.env.hermes(command.split(' ')).run();
        assert!(matches!(outcome.code(), Some(0..=9)), "{outcome}");
        assert_eq!(state(&up), expected, "{outcome}");
    }
    let report = up.env.hermes(["doctor"]).run();
    let is_named = |path: &Path| {
        let path = path.display();
        ["`", "/", " ", "\n"].iter().any(|end| report.stdout.contains(&format!("{path}{end}")))
    };
    let entries = planted.iter().zip(ENTRIES);
    let named = entries.filter(|(path, _)| is_named(path)).map(|(_, (name, _))| name);
    assert_eq!(named.collect::<Vec<_>>().join(" "), faults, "{report}");
    // A tree that died leaves its gateways to the next one.
    let gateway = pid(&up.status("well"));
    kill(up.svscan());
    let (env, _) = up.ended();
    let up = Up::start_in(env);
    assert_eq!(state(&up), "up", "{}", up.log());
    assert!(!is_alive(gateway));
    let gateway = pid(&up.status("well"));
    let (env, _) = up.end(Signal::TERM);
    assert!(!is_alive(gateway));
    // The killed s6-svscan's supervisor of a slot that is a link, which no command follows.
    env.end_processes();
}

/// Tests one place each.
macro_rules! places {
    ($($test:ident: $place:expr => $faults:expr;)*) => {$(
        #[test]
        fn $test() {
            require_root!();
            plant($place, $faults);
        }
    )*};
}

places! {
    in_place_of_the_log_directory: |env, name| env.home().join("logs/gateways").join(name) => "file closed theirs sealed theirs-too loop dangling fifo socket device";
    in_place_of_the_home: |env, name| env.profile(name) => "file closed theirs sealed theirs-too loop dangling fifo socket device";
    in_place_of_the_gateways_lock: |env, name| env.home().join("profiles/.gateways").join(name) => "closed theirs directory sealed theirs-too link loop dangling fifo socket device";
    in_place_of_the_configuration: |env, name| env.profile(name).join("config.yaml") => "file closed theirs directory sealed theirs-too link loop dangling fifo socket device";
    in_place_of_the_secrets: |env, name| env.profile(name).join(".env") => "closed theirs directory sealed theirs-too link loop dangling fifo socket device";
    in_place_of_the_intent: |env, name| env.profile(name).join("gateway.intent") => "directory sealed theirs-too";
    in_place_of_the_persona: |env, name| env.profile(name).join("SOUL.md") => "theirs theirs-too link loop dangling";
    in_place_of_the_fault: |env, name| env.profile(name).join("gateway.fault") => "directory sealed theirs-too";
    in_place_of_a_lock: |env, name| env.home().join("profiles/.locks").join(name) => "closed theirs sealed theirs-too";
    in_place_of_an_unknown_lock: |env, name| env.home().join(format!("profiles/.locks/zz-{name}")) => "closed theirs sealed theirs-too";
    in_place_of_a_journal: |env, name| env.home().join(format!("profiles/.mv-{name}")) => "closed theirs directory sealed theirs-too link loop fifo socket device";
    in_place_of_a_hidden_home: |env, name| env.home().join(format!("profiles/.hermes-{name}")) => "sealed theirs-too";
    in_place_of_an_unfinished_file: |env, name| env.home().join(format!(".hermes-new-{name}")) => "theirs theirs-too";
    in_place_of_the_slot: |env, name| env.slot(name) => "sealed theirs-too";
    in_place_of_an_unknown_slot: |env, name| env.slot(&format!("zz-{name}")) => "sealed theirs-too";
    in_place_of_a_hidden_slot: |env, name| env.scandir().join(format!(".hermes-{name}")) => "theirs-too";
    in_place_of_an_unfinished_slot: |env, name| env.scandir().join(format!(".hermes-new-{name}")) => "theirs-too";
}
