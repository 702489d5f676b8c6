//! `hermes up`: a supervision tree in the foreground, from its start to any kind of end.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

use hermes_tests::{
    Snapshot, Svscan, TestEnv, Up, eventually, free_port, hermes_program, is_alive, kill, mounts,
    pid, processes_naming, require_root, supervisors,
};
use rustix::process::{Resource, Signal};
use serde_json::Value;

/// Prints `begun` when it starts and `told` for each SIGTERM.
const TALKER: &str =
    "trap 'echo told; kill $! 2>/dev/null; exit 0' TERM; sleep 600 & echo begun; wait $!";

/// A test environment with two gateways whose intent is `running`, and one that is `stopped`.
fn populated() -> TestEnv {
    let env = TestEnv::new();
    env.profile_for_later("a", TALKER, "running");
    env.profile_for_later("b", TALKER, "running");
    env.profile_for_later("idle", TALKER, "stopped");
    env
}

fn count(env: &TestEnv, profile: &str, word: &str) -> usize {
    env.logged(profile).iter().filter(|line| *line == word).count()
}

#[track_caller]
fn await_words(env: &TestEnv, word: &str, times: usize) {
    for profile in ["a", "b"] {
        eventually(&format!("{profile} has printed `{word}` {times} times"), || {
            (count(env, profile, word) == times).then_some(())
        });
    }
}

fn processes(env: &TestEnv) -> Vec<String> {
    let line = |pid| fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let found = processes_naming(&env.path().to_string_lossy());
    found.into_iter().map(|pid| format!("{pid} {}", line(pid).replace('\0', " "))).collect()
}

#[track_caller]
fn nobody_is_left(env: &TestEnv) {
    assert_eq!(processes(env), Vec::<String>::new());
}

#[test]
fn up_serves_every_command() {
    let up = Up::start_in(populated());
    let env = &up.env;
    for name in ["a", "b"] {
        assert_eq!(up.status(name)["state"], "up");
    }
    assert_eq!(up.status("idle")["state"], "down");
    assert_eq!(up.status("default")["state"], "down");
    env.hermes(["gateway", "start", "idle"]).ok();
    env.hermes(["gateway", "stop", "a"]).ok();
    assert_eq!(up.status("idle")["state"], "up");
    env.hermes(["profile", "create", "new", "--port", &free_port().to_string()]).ok();
    env.hermes(["gateway", "start", "new"]).ok();
    assert_eq!(up.status("new")["ready"], true);
    let (env, code) = up.end(Signal::TERM);
    assert_eq!(code, Some(0));
    let up = Up::start_in(env);
    let states = ["a", "b", "idle", "new"].map(|name| up.status(name)["state"].clone());
    assert_eq!(states, ["down", "up", "up", "up"], "what the operator wanted last");
}

#[test]
fn a_signal_changes_no_intent() {
    let mut env = populated();
    env.profile_for_later("dying", "exit 3", "running");
    for (round, signal) in [Signal::TERM, Signal::INT].into_iter().enumerate() {
        let up = Up::start_in(env);
        await_words(&up.env, "begun", round + 1);
        let code;
        (env, code) = up.end(signal);
        assert_eq!(code, Some(0), "{signal:?}");
        nobody_is_left(&env);
        await_words(&env, "told", round + 1);
        for (name, intent) in [("a", "running"), ("b", "running"), ("idle", "stopped")] {
            let path = env.profile(name).join("gateway.intent");
            assert_eq!(fs::read_to_string(path).unwrap(), intent, "{name}");
        }
    }
    assert_eq!(count(&env, "idle", "begun"), 0);
}

#[test]
fn a_signal_ends_it_during_a_start() {
    let env = TestEnv::new();
    env.profile_for_later("slow", "echo begun; exec sleep 600", "running");
    let config = env.profile("slow").join("config.yaml");
    let text = fs::read_to_string(&config).unwrap();
    let url = format!("http://127.0.0.1:{}/", free_port());
    env.write(&config, &format!("{text}  ready_url: {url}\n"));
    let mut command = env.command(hermes_program());
    command.arg("up");
    let up = Up::launch(env, command);
    eventually("the gateway runs", || (count(&up.env, "slow", "begun") > 0).then_some(()));
    let (env, code) = up.end(Signal::TERM);
    assert_eq!(code, Some(0));
    nobody_is_left(&env);
}

#[test]
fn the_tree_ends_when_up_is_killed() {
    let up = Up::start_in(populated());
    await_words(&up.env, "begun", 1);
    let (env, code) = up.end(Signal::KILL);
    assert_eq!(code, None);
    eventually("the tree is gone", || processes(&env).is_empty().then_some(()));
    await_words(&env, "told", 1);
    let up = Up::start_in(env);
    await_words(&up.env, "begun", 2);
    assert_eq!(up.status("a")["state"], "up");
}

#[test]
fn the_next_up_ends_what_a_killed_one_left() {
    let env = TestEnv::new();
    env.profile_for_later("a", "while :; do echo line; sleep 0.2; done", "running");
    let up = Up::start_in(env);
    eventually("it is up", || (up.status("a")["state"] == "up").then_some(()));
    let orphan = pid(&up.status("a"));
    let [supervisor] = supervisors(&up.env.slot("a"))[..1] else { panic!("a supervisor") };
    // Its gateway holds the pipe of the logger, for which s6-svscan waits.
    kill(supervisor);
    let (env, _) = up.end(Signal::KILL);
    let up = Up::start_in(env);
    eventually("another gateway is up", || {
        let status = up.status("a");
        (status["state"] == "up" && pid(&status) != orphan).then_some(())
    });
    assert!(!is_alive(orphan));
    let (env, code) = up.end(Signal::TERM);
    assert_eq!(code, Some(0));
    nobody_is_left(&env);
}

#[test]
fn a_second_up_is_refused() {
    let up = Up::start_in(populated());
    let before = pid(&up.status("a"));
    let outcome = up.env.hermes(["up"]).run();
    assert_ne!(outcome.code(), Some(0), "{outcome}");
    let home = format!("`{}`", up.env.home().display());
    assert!(outcome.stderr.contains(&up.svscan().to_string()), "{outcome}");
    assert!(outcome.stderr.contains(&home), "{outcome}");
    assert_eq!(pid(&up.status("a")), before);
    let (env, code) = up.end(Signal::TERM);
    assert_eq!(code, Some(0));
    assert_eq!(count(&env, "a", "begun"), 1);
}

#[test]
fn concurrent_ups_make_one_tree() {
    for _ in 0..5 {
        let env = populated();
        let mut rivals: Vec<_> = (0..4).map(|_| env.hermes(["up"]).spawn()).collect();
        eventually("all but one have ended", || {
            let running = rivals.iter_mut().filter_map(|r| (!r.has_ended()).then_some(())).count();
            (running <= 1).then_some(())
        });
        await_words(&env, "begun", 1);
        env.hermes(["down"]).ok();
        let outcomes: Vec<_> = rivals.into_iter().map(hermes_tests::Running::wait).collect();
        let done = outcomes.iter().filter(|outcome| outcome.code() == Some(0)).count();
        let all: String = outcomes.iter().map(ToString::to_string).collect();
        assert_eq!(done, 1, "{all}");
        for name in ["a", "b"] {
            assert_eq!(count(&env, name, "begun"), 1, "{name} was started once: {all}");
        }
        nobody_is_left(&env);
    }
}

#[test]
fn a_scan_directory_that_runs_nothing_is_refused() {
    require_root!();
    mounts::private(|| {
        for (option, words) in [("ro", "read-only"), ("noexec", "noexec")] {
            let env = populated();
            let run = env.path().join("run");
            env.make_directory(&run);
            let run = run.to_str().unwrap();
            mounts::mount(&["-t", "tmpfs", "-o", &format!("mode=777,{option}"), "tmpfs", run]);
            let before = Snapshot::of(&env);
            let refused = env.hermes(["up", "--scandir", &format!("{run}/hermes/service")]);
            let refused = refused.fails_with(5);
            for words in [format!("`{run}` is mounted {words}"), format!("--tmpfs {run}:exec")] {
                assert!(refused.stderr.contains(&words), "{words}: {refused}");
            }
            assert_eq!(fs::read_dir(run).unwrap().count(), 0, "nothing was created");
            assert_eq!(Snapshot::of(&env), before);
            nobody_is_left(&env);
        }
    });
}

#[test]
fn up_stop_ends_it_from_elsewhere() {
    let up = Up::start_in(populated());
    await_words(&up.env, "begun", 1);
    up.env.hermes(["down"]).ok();
    let (env, code) = up.ended();
    assert_eq!(code, Some(0));
    nobody_is_left(&env);
    await_words(&env, "told", 1);
    let outcome = env.hermes(["down"]).fails_with(5);
    assert!(outcome.stderr.contains("no tree runs on"), "{outcome}");
}

#[test]
fn gateways_keep_the_limits_and_the_home_of_the_user() {
    let env = TestEnv::new();
    let say = "echo soft=$(ulimit -Sn) HOME=$HOME; exec sleep 600";
    env.profile_for_later("a", say, "running");
    let mut command = env.command("/bin/sh");
    command.args(["-c", "ulimit -Sn 999; exec \"$0\" up"]).arg(hermes_program());
    let up = Up::launch(env, command).await_up();
    let env = &up.env;
    let expected = format!("soft=999 HOME={}", env.path().display());
    eventually("it has printed its limits", || env.logged("a").contains(&expected).then_some(()));
    let limits = fs::read_to_string(format!("/proc/{}/limits", up.svscan())).unwrap();
    let soft = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    let soft: u64 = soft.split_whitespace().next().unwrap().parse().unwrap();
    let hard = rustix::process::getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    assert!(soft >= hard.min(16_016), "s6-svscan may open {soft}, of at most {hard}");
    let capacity = env.hermes(["doctor", "--json"]).run().json()["capacity"].clone();
    let services = capacity["max_services"].as_u64();
    let services = services.or_else(|| Some(capacity["max_supervisors"].as_u64()? / 2));
    assert_eq!(services, Some(8000), "{capacity}");
    if hard >= 16_016 {
        assert!(capacity["max_loggers"].as_u64().unwrap() >= 8000, "{capacity}");
    }
}

#[test]
fn a_scan_directory_open_to_others_is_refused() {
    let env = populated();
    let scandir = env.scandir();
    let refused = |why: &str| is_refused(&env, why);
    let chmod = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    for mode in [0o777, 0o775, 0o702] {
        chmod(&scandir, mode);
        refused(&format!("mode {mode:o}"));
    }
    chmod(&scandir, 0o755);
    chmod(env.path(), 0o777);
    refused("whoever may write the directory above may put another one there");
    chmod(env.path(), 0o755);
    // In a sticky directory every user may create a service.
    chmod(&scandir, 0o1777);
    refused("mode 1777");
}

#[test]
fn another_users_scan_directory_is_refused() {
    require_root!();
    let env = populated();
    let owner = fs::metadata(env.scandir()).unwrap().uid();
    chown(env.scandir(), Some(owner + 1), None).unwrap();
    is_refused(&env, "it is another user's");
}

/// Asserts that `hermes up` does not run a tree in the scan directory.
#[track_caller]
fn is_refused(env: &TestEnv, why: &str) {
    let outcome = env.hermes(["up", "--timeout", "5"]).spawn();
    let outcome = ended_or_stopped(env, outcome);
    assert_eq!(outcome.code(), Some(5), "{why}: {outcome}");
    assert!(outcome.stderr.contains("or may write to it"), "{outcome}");
    assert!(!env.scandir().join(".s6-svscan").exists(), "{why}");
}

/// The outcome of a `hermes up` that should end by itself; one that doesn't is stopped.
#[track_caller]
fn ended_or_stopped(env: &TestEnv, mut up: hermes_tests::Running) -> hermes_tests::Outcome {
    eventually("it has ended or is up", || {
        let runs = env.hermes(["gateway", "status", "b"]).run().code() == Some(0);
        (up.has_ended() || runs).then_some(())
    });
    if !up.has_ended() {
        env.hermes(["down"]).ok();
    }
    up.wait()
}

#[test]
fn strays_end_before_a_new_tree_starts() {
    let tree = Svscan::start_with(populated(), &[]);
    tree.env.hermes(["boot"]).ok();
    await_words(&tree.env, "begun", 1);
    let gateways = ["a", "b"].map(|name| pid(&tree.status(name)));
    let all = ["a", "b", "idle", "default"];
    let mut old: Vec<_> = all.iter().flat_map(|name| supervisors(&tree.env.slot(name))).collect();
    assert_eq!(old.len(), 8);
    old.extend(gateways);
    let env = tree.kill();
    assert!(old.iter().all(|pid| is_alive(*pid)), "they outlive their s6-svscan");
    // And an unsupervised slot without a profile.
    env.make_directory(&env.slot("gone"));
    let up = Up::start_in(env);
    assert!(!old.iter().any(|pid| is_alive(*pid)), "two trees at once");
    await_words(&up.env, "begun", 2);
    await_words(&up.env, "told", 1);
    assert!(!up.env.slot("gone").exists());
    assert!(!up.log().contains("another instance"), "{}", up.log());
}

#[test]
fn a_killed_s6_svscan_ends_up() {
    let up = Up::start_in(populated());
    await_words(&up.env, "begun", 1);
    kill(up.svscan());
    let (env, code) = up.ended();
    let log = fs::read_to_string(env.path().join("up.log")).unwrap();
    assert!(log.contains("s6-svscan ended"), "{log}");
    assert!(code.is_some_and(|code| code != 0), "{code:?}");
    nobody_is_left(&env);
    await_words(&env, "told", 1);
}

#[test]
fn commands_find_the_users_scan_directory() {
    let env = populated();
    let runtime = env.path().join("runtime");
    env.make_directory(&runtime);
    let mine = |command: &mut Command| {
        command.env_remove("HERMES_SCANDIR").env("XDG_RUNTIME_DIR", &runtime);
    };
    let hermes = |args: &[&str]| {
        let hermes = env.hermes(args.iter().copied()).env_remove("HERMES_SCANDIR");
        hermes.env("XDG_RUNTIME_DIR", runtime.to_str().unwrap())
    };
    let up = hermes(&["up"]).spawn();
    let status = |name| -> Value {
        let mut command = env.command(hermes_program());
        mine(command.args(["gateway", "status", name, "--json"]));
        serde_json::from_slice(&command.output().unwrap().stdout).unwrap_or_default()
    };
    for name in ["a", "b"] {
        eventually("it is up", || (status(name)["state"] == "up").then_some(()));
    }
    let scandir = runtime.join("hermes/service");
    assert_eq!(fs::metadata(&scandir).unwrap().mode() & 0o777, 0o700);
    assert!(scandir.join("gateway-a").is_dir());
    hermes(&["gateway", "stop", "b"]).ok();
    assert_eq!(status("b")["state"], "down");
    hermes(&["profile", "create", "new"]).ok();
    assert!(scandir.join("gateway-new").is_dir());
    let doctor = hermes(&["doctor", "--json"]).run().json();
    assert_eq!(doctor["scandir"], scandir.to_str().unwrap());
    hermes(&["down"]).ok();
    let outcome = up.wait();
    assert_eq!(outcome.code(), Some(0), "{outcome}");
    nobody_is_left(&env);
}

#[test]
fn skipped_profiles_are_reported() {
    let env = populated();
    let bad = env.home().join("profiles/Bad");
    env.make_directory(&bad);
    env.write(&bad.join("SOUL.md"), "");
    env.write(&env.profile("b").join("gateway.intent"), "perhaps");
    let up = Up::start_in(env);
    assert_eq!(up.status("a")["state"], "up");
    let log = up.log();
    assert!(log.contains(bad.to_str().unwrap()), "{log}");
    assert!(log.contains("gateway.intent"), "{log}");
}

#[test]
fn runaway_processes_end_with_the_tree() {
    let env = TestEnv::new();
    // One is in the gateway's process group; two are in their own sessions and hold its pipe, and one of them
    // ignores SIGTERM.
    let gateway =
        "sleep 601 & setsid sleep 602 & (trap '' TERM; exec setsid sleep 603) & echo begun
    exec sleep 600";
    env.profile_for_later("parent", gateway, "running");
    let up = Up::start_in(env);
    eventually("it has begun", || (count(&up.env, "parent", "begun") == 1).then_some(()));
    let (env, code) = up.end(Signal::TERM);
    assert_eq!(code, Some(0));
    nobody_is_left(&env);
    let log = env.logged("parent");
    let named = log.iter().filter(|line| line.contains("(sleep) had left its gateway's process"));
    assert_eq!(named.count(), 2, "{log:?}");
}
