//! Concurrent commands, and two trees on one home.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use hermes_core::RootHome;
use hermes_core::lock::Lock;
use hermes_tests::{
    Outcome, SOON, SeededRng, Snapshot, Svscan, TestEnv, answered, eventually, free_port, is_alive,
    is_one_clear_error, pid, processes_naming, tell,
};
use proptest::sample::select;

#[test]
fn concurrent_starts_on_one_port_leave_one_up() {
    let tree = Svscan::start();
    let env = &tree.env;
    let port = free_port().to_string();
    for name in ["a", "b"] {
        env.hermes(["profile", "create", name]).ok();
        env.hermes(["profile", "port", name, &port]).ok();
    }
    let outcome = env.hermes(["gateway", "start", "a", "b"]).fails_with(1);
    assert!(outcome.stderr.contains(&format!("port {port} belongs to")), "{outcome}");
    let states = ["a", "b"].map(|name| tree.status(name)["state"].clone());
    assert!(states.contains(&"up".into()) && states.contains(&"down".into()), "{states:?}");
    let intents = ["a", "b"].map(|name| tree.status(name)["intent"].clone());
    assert!(intents.contains(&"stopped".into()), "the refused one is not wanted: {intents:?}");
    let outcome = env.hermes(["profile", "create", "c", "--port", &port, "--start"]);
    let outcome = outcome.fails_with(1);
    assert!(outcome.stderr.contains(&format!("port {port} belongs to")), "{outcome}");
    assert!(!env.profile("c").exists() && !env.slot("c").exists());
}

#[test]
fn a_boot_starts_no_second_gateway_on_a_port() {
    let tree = Svscan::start();
    let env = &tree.env;
    env.profile_for_later("a", "exec sleep 600", "running");
    let config = |name: &str| env.profile(name).join("config.yaml");
    let text = fs::read_to_string(config("a")).unwrap() + "  port: 9000\n";
    env.write(&config("a"), &text);
    env.profile_running("b", "");
    env.write(&config("b"), &text);
    // It has made its plan, and waits for the profile.
    let lock = RootHome::new(env.home()).profile_lock(&"a".parse().unwrap());
    let held = Lock::acquire(&lock, SOON).unwrap();
    env.give(&lock);
    let booting = env.hermes(["boot"]).spawn();
    eventually("it acts", || env.slot("default").exists().then_some(()));
    env.hermes(["gateway", "start", "b"]).ok();
    drop(held);
    let booted = booting.wait();
    assert_eq!(tree.status("a")["state"], "down", "{booted}");
    assert!(
        booted.to_string().contains("port 9000 belongs to `b`, whose gateway is up"),
        "{booted}"
    );
}

#[test]
fn delete_refuses_a_gateway_of_another_tree() {
    let tree = Svscan::start();
    let env = &tree.env;
    env.profile_serving("coder");
    env.hermes(["gateway", "start", "coder"]).ok();
    let gateway = pid(&tree.status("coder"));
    let elsewhere = env.path().join("elsewhere");
    env.make_directory(&elsewhere);
    let delete = env.hermes(["profile", "delete", "coder", "-y"]).env_remove("HERMES_SCANDIR");
    let outcome = delete.env("XDG_RUNTIME_DIR", elsewhere.to_str().unwrap()).fails_with(1);
    assert!(outcome.stderr.contains(&format!("its gateway runs as {gateway}")), "{outcome}");
    assert!(is_alive(gateway) && env.profile("coder").join("SOUL.md").exists());
    env.hermes(["profile", "delete", "coder", "-y"]).ok();
    assert!(!is_alive(gateway));
}

#[test]
fn a_wrong_port_can_be_replaced() {
    let env = TestEnv::new();
    env.hermes(["profile", "create", "a"]).env_remove("HERMES_SCANDIR").ok();
    let config = env.profile("a").join("config.yaml");
    env.write(&config, "gateway:\n  port: high # mine\n");
    env.hermes(["profile", "port", "a"]).fails_with(1);
    env.hermes(["profile", "port", "a", "9000"]).ok();
    assert_eq!(fs::read_to_string(&config).unwrap(), "gateway:\n  port: 9000 # mine\n");
}

#[test]
fn concurrent_creates_and_deletes_leave_nothing() {
    let tree = Svscan::start();
    let env = &tree.env;
    std::thread::scope(|scope| {
        for i in 0..4 {
            scope.spawn(move || {
                let (name, port) = (format!("p{i}"), free_port().to_string());
                for _ in 0..3 {
                    env.hermes(["profile", "create", &name, "--port", &port, "--start"]).ok();
                    env.hermes(["gateway", "restart", &name]).ok();
                    env.hermes(["profile", "delete", &name, "-y"]).ok();
                }
            });
        }
    });
    let slots = fs::read_dir(env.scandir()).unwrap().flatten();
    let left: Vec<_> = slots
        .map(|entry| entry.file_name().into_string().unwrap())
        .filter(|name| name != ".s6-svscan" && name != ".hermes.booted")
        .collect();
    assert_eq!(left, [""; 0]);
    eventually("only s6-svscan is left", || {
        let processes = processes_naming(&env.path().to_string_lossy());
        (processes == [u64::from(tree.pid())]).then_some(())
    });
}

/// The number of concurrent commands, the profiles, and the duration.
const JOBS: u64 = 16;
const PROFILES: [&str; 4] = ["a", "b", "c", "d"];
const STORM: Duration = Duration::from_secs(30);
/// The errors that concurrent commands on the same profiles may cause.
const EXPLAINED: [(i32, &str); 3] = [
    // `register`, after another command has registered the profile.
    (1, "is already registered"),
    // Other commands held the profile's lock all the time, on a slow machine.
    (6, "held the lock"),
    // A start timed out on a slow machine.
    (6, "running, not ready"),
];

fn is_explained(outcome: &Outcome) -> bool {
    let explains = |(code, words): &(i32, &str)| {
        outcome.code() == Some(*code) && outcome.stderr.contains(words)
    };
    outcome.code() == Some(0) || EXPLAINED.iter().any(explains)
}

#[test]
fn concurrent_commands_serialize() {
    let tree = Svscan::start();
    let env = &tree.env;
    for name in PROFILES {
        env.profile_serving(name);
    }
    env.hermes(["boot"]).ok();
    let every = |verb| env.hermes(["gateway", verb].into_iter().chain(PROFILES));
    every("start").ok();
    every("stop").ok();
    let before = Snapshot::of(env);
    let (seed, end) = (SeededRng::seed(), Instant::now() + STORM);
    let counts = Mutex::new(BTreeMap::<(String, Option<i32>), usize>::new());
    std::thread::scope(|scope| {
        for number in 0..JOBS {
            let counts = &counts;
            scope.spawn(move || {
                let mut rng = SeededRng::new(seed + number);
                let verbs =
                    select(vec!["register", "unregister", "start", "stop", "restart", "boot"]);
                while Instant::now() < end {
                    let (verb, name) = (rng.roll(&verbs), rng.roll(&select(&PROFILES[..])));
                    let args =
                        if verb == "boot" { vec![verb] } else { vec!["gateway", verb, name] };
                    let outcome = env.hermes(args).run();
                    assert!(is_explained(&outcome), "seed {seed}: {outcome}");
                    if outcome.code() != Some(0) {
                        is_one_clear_error(&outcome);
                    }
                    let key = (verb.to_owned(), outcome.code());
                    *counts.lock().expect("no panic").entry(key).or_default() += 1;
                }
            });
        }
    });
    let counts = counts.into_inner().expect("no panic");
    let done: usize = counts.values().sum();
    tell(format_args!("races: {done} commands, {JOBS} at once, seed {seed}: {counts:?}"));
    assert!(done >= 50, "so many commands at least: {counts:?}");
    // The state is that of the last commands, and all profiles still work.
    env.hermes(["boot"]).ok();
    for name in PROFILES {
        let status = tree.status(name);
        let wanted = if status["intent"] == "running" { "up" } else { "down" };
        assert_eq!(status["state"], wanted, "seed {seed}: {status}");
    }
    every("start").ok();
    every("stop").ok();
    let mut after = before.clone();
    let same = answered(hermes_tests::SOON, || {
        after = Snapshot::of(env);
        (after == before).then_some(())
    });
    assert!(same.is_some(), "seed {seed}:\n{}", after.difference(&before));
}
