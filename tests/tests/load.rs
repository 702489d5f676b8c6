//! Many gateways at once: all become ready, each answers, a full tree reports so, and all end in order with their
//! last lines in their logs. `cargo xtask load` runs this at full size and prints figures.
#![expect(clippy::print_stdout, reason = "the figures are what a run at full size is for")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};

use hermes_tests::{
    Svscan, TestEnv, Up, chmod, eventually, hermes_program, is_alive, names, processes_naming,
    within,
};
use rustix::process::Signal;
use serde_json::Value;

/// The timeout, long enough for slow machines.
const TIMEOUT: Duration = Duration::from_secs(900);
const FIRST_PORT: usize = 12_000;

/// A loopback address for this test alone, on which all ports are free.
fn host(test: u8) -> String {
    let [.., high, low] = std::process::id().to_be_bytes();
    format!("127.{test}.{high}.{low}")
}

/// The size of a run: with a default s6-svscan, beyond its capacity, and under `hermes up`.
struct Size {
    by_default: usize,
    too_many: usize,
    under_up: usize,
    /// The capacity of s6-svscan; its default without a number.
    room: Option<u64>,
}

/// `cargo xtask load` sets this: `full`, or how many are registered and how many of them run, like `5000,1000`.
const LOAD: &str = "HERMES_TEST_LOAD";

fn size() -> Size {
    if std::env::var_os(LOAD).is_some() {
        return Size { by_default: 450, too_many: 60, under_up: 1000, room: None };
    }
    Size { by_default: 16, too_many: 8, under_up: 40, room: Some(20) }
}

/// How many are registered, and how many of them run.
fn parts() -> (usize, usize) {
    let text = std::env::var(LOAD).unwrap_or_default();
    let parts = text.split_once(',').map(|(all, some)| (all.parse(), some.parse()));
    match parts {
        Some((Ok(registered), Ok(running))) => (registered, running),
        _ => (60, 12),
    }
}

fn name(number: usize) -> String {
    format!("g{number:04}")
}

/// The files of a new profile.
const FILES: [&str; 5] = [".env", "SOUL.md", "config.yaml", "gateway.intent", "logs"];

/// Creates profiles with built-in gateways. `hermes profile create` would be slower: it reads the ports of all profiles.
fn make(env: &TestEnv, host: &str, numbers: Range<usize>, intent: &str) {
    env.make_directory(&env.home().join("profiles"));
    for number in numbers {
        let home = env.profile(&name(number));
        env.make_directory(&home);
        env.make_directory(&home.join("logs"));
        let config = format!("gateway: {{host: {host}, port: {}}}\n", FIRST_PORT + number);
        for (file, text) in [
            ("SOUL.md", ""),
            ("config.yaml", &config),
            (".env", ""),
            ("gateway.intent", &format!("{intent}\n")),
        ] {
            env.write(&home.join(file), text);
        }
        chmod(&home.join(".env"), 0o600);
    }
    // Without the profile `default`.
    env.write(&env.home().join("gateway.intent"), "stopped\n");
}

/// The number of gateways that are up and ready.
fn ready(env: &TestEnv) -> usize {
    let all = env.hermes(["gateway", "status", "--all", "--json", "--timeout", "900"]).run().json();
    let is_ready = |status: &&Value| status["state"] == "up" && status["ready"] == true;
    all.as_array().expect("a list").iter().filter(is_ready).count()
}

/// Whether the gateway of this number answers for itself.
fn answers(host: &str, number: usize) -> bool {
    let ask = || -> std::io::Result<String> {
        let port = u16::try_from(FIRST_PORT + number).expect("a port");
        let mut stream = TcpStream::connect((host, port))?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.write_all(b"GET /health HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map(|_| answer)
    };
    ask().is_ok_and(|answer| answer.contains(&format!("\"profile\":\"{}\"", name(number))))
}

/// The processes of the test environment by program: their number and memory (PSS) in KiB.
fn census(env: &TestEnv) -> BTreeMap<String, (usize, u64)> {
    let mut census = BTreeMap::new();
    for pid in processes_naming(env.path().to_str().expect("UTF-8")) {
        let read =
            |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let rollup = read("smaps_rollup");
        let pss = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap_or_default();
        let pss: u64 = pss.trim().trim_end_matches(" kB").parse().unwrap_or_default();
        let (count, sum) = census.entry(read("comm").trim().to_owned()).or_insert((0, 0));
        *count += 1;
        *sum += pss;
    }
    census
}

/// Whether the last lines of this gateway show an orderly end.
fn ended_in_order(env: &TestEnv, number: usize) -> bool {
    let name = name(number);
    env.logged(&name)
        .last()
        .is_some_and(|line| line.contains(&format!("gateway `{name}` has ended")))
}

/// That `running` gateways are ready and answer, and that each of those `registered` has its supervisors.
#[track_caller]
fn all_are_well(env: &TestEnv, host: &str, registered: usize, running: usize, begun: Instant) {
    assert_eq!(ready(env), running);
    let took = begun.elapsed();
    let silent: Vec<_> = (0..running).filter(|number| !answers(host, *number)).collect();
    assert_eq!(silent, [] as [usize; 0], "these don't answer");
    // The last loggers may have only just started.
    let loggers = || census(env).get("s6-log").is_some_and(|(loggers, _)| *loggers > registered);
    eventually("each has its logger", || loggers().then_some(()));
    let census = census(env);
    let pss: u64 = census.values().map(|(_, pss)| pss).sum();
    let processes: usize = census.values().map(|(count, _)| count).sum();
    println!("{running} gateways ready after {:.1} s", took.as_secs_f64());
    println!("{processes} processes, PSS {} MiB: {census:?} (KiB)", pss / 1024);
    // Each has exactly its supervisors and its logger.
    assert_eq!(census["s6-log"].0, registered + 1, "{census:?}");
    assert_eq!(census["s6-supervise"].0, 2 * (registered + 1), "{census:?}");
}

fn descriptors(pid: u64) -> String {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).expect("a process of ours");
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    line.expect("the limit").split_whitespace().take(2).collect::<Vec<_>>().join(" of ")
}

#[test]
fn a_full_s6_svscan_refuses_more() {
    let (size, host) = (size(), &host(64));
    let env = TestEnv::new();
    make(&env, host, 0..size.by_default, "running");
    let tree = match size.room {
        Some(services) => Svscan::start_with_room_for(services, env),
        None => Svscan::start_with(env, &[]),
    };
    let env = &tree.env;
    println!("s6-svscan's descriptors: {}", descriptors(tree.pid().into()));
    let begun = Instant::now();
    env.hermes(["boot", "--timeout", "900"]).ok();
    all_are_well(env, host, size.by_default, size.by_default, begun);
    // A gateway beyond the capacity fails, and affects no other.
    let capacity = &env.hermes(["doctor", "--json"]).run().json()["capacity"];
    println!("capacity: {capacity}");
    let last = size.by_default + size.too_many;
    make(env, host, size.by_default..last, "running");
    let outcome = env.hermes(["boot", "--timeout", "60"]).fails_with(1);
    let refused = outcome.stderr.matches("` is full: ").count();
    println!("{refused} of {} more refused", size.too_many);
    let registered = names(&env.scandir());
    let slots = registered.iter().filter(|name| name.starts_with("gateway-")).count();
    assert_eq!(refused, last + 1 - slots, "{outcome}");
    assert!(refused > 0 && refused < size.too_many, "{outcome}");
    assert_eq!(ready(env), slots - 1);
    let begun = Instant::now();
    env.hermes(["gateway", "stop", "--all", "--timeout", "900"]).run();
    println!("{} stopped after {:.1} s", slots - 1, begun.elapsed().as_secs_f64());
    let ended = within(TIMEOUT, "every last line is logged", || {
        let ended = (0..last).filter(|number| ended_in_order(env, *number)).count();
        (ended == slots - 1).then_some(ended)
    });
    assert_eq!(ended, slots - 1);
}

/// `hermes up`, once it has started `count` gateways, and when it began.
fn up(env: TestEnv, count: usize) -> (Up, Instant) {
    let mut command = env.command(hermes_program());
    command.arg("up");
    let begun = Instant::now();
    let up = Up::launch(env, command);
    within(TIMEOUT, "`hermes up` says that it is up", || {
        assert!(is_alive(up.pid().into()), "{}", up.log());
        up.log().contains(&format!("gateways started: {count}")).then_some(())
    });
    println!("s6-svscan's descriptors: {}", descriptors(up.svscan()));
    (up, begun)
}

/// Ends the tree, which leaves no process, and no gateway that did not end in order.
fn end(up: Up, running: usize) -> TestEnv {
    let begun = Instant::now();
    let pid = up.pid().into();
    hermes_tests::signal(pid, Signal::TERM);
    within(TIMEOUT, "`hermes up` ends", || (!is_alive(pid)).then_some(()));
    println!("all ended after {:.1} s", begun.elapsed().as_secs_f64());
    let (env, code) = up.ended();
    assert_eq!(code, Some(0));
    let cut_off: Vec<_> = (0..running).filter(|number| !ended_in_order(&env, *number)).collect();
    assert_eq!(cut_off, [] as [usize; 0], "these did not end in order");
    let left = processes_naming(env.path().to_str().expect("UTF-8"));
    assert_eq!(left, [] as [u64; 0]);
    env
}

/// Those of these numbers whose intent is another one.
fn without_intent(env: &TestEnv, numbers: Range<usize>, intent: &str) -> Vec<usize> {
    let has = |number: &usize| read(&env.profile(&name(*number)).join("gateway.intent")) == intent;
    numbers.filter(|number| !has(number)).collect()
}

#[test]
fn up_starts_and_stops_many() {
    let (count, host) = (size().under_up, &host(65));
    let env = TestEnv::new();
    make(&env, host, 0..count, "running");
    let (up, begun) = up(env, count);
    all_are_well(&up.env, host, count, count, begun);
    let env = end(up, count);
    assert_eq!(without_intent(&env, 0..count, "running\n"), [] as [usize; 0]);
}

#[test]
fn some_of_many_run() {
    let ((registered, running), host) = (parts(), &host(66));
    let env = TestEnv::new();
    make(&env, host, 0..running, "running");
    make(&env, host, running..registered, "stopped");
    let (up, begun) = up(env, running);
    all_are_well(&up.env, host, registered, running, begun);
    let begun = Instant::now();
    let listed = up.env.hermes(["gateway", "list", "--json"]).run().json();
    println!("listed after {:.2} s", begun.elapsed().as_secs_f64());
    let states = listed.as_array().expect("a list").iter().map(|status| &status["state"]);
    let up_or_down = states.fold([0, 0], |[up, down], state| match state.as_str() {
        Some("up") => [up + 1, down],
        Some("down") => [up, down + 1],
        _ => panic!("neither up nor down: {state}"),
    });
    // With the profile `default`.
    assert_eq!(up_or_down, [running, registered - running + 1]);
    let begun = Instant::now();
    up.env.hermes(["gateway", "stop", "--all", "--timeout", "900"]).ok();
    println!("{running} stopped after {:.1} s", begun.elapsed().as_secs_f64());
    assert_eq!(ready(&up.env), 0);
    let env = end(up, running);
    assert_eq!(without_intent(&env, 0..registered, "stopped\n"), [] as [usize; 0]);
    // Nothing is lost, and nothing is left: not in the scan directory, and not beside what never ran.
    let slots = if env.scandir().exists() { names(&env.scandir()) } else { Vec::new() };
    assert!(!slots.iter().any(|name| name.starts_with("gateway-")), "{slots:?}");
    let files = |number: usize| names(&env.profile(&name(number)));
    let lacks = |number: &usize| FILES.iter().any(|file| !files(*number).contains(&(*file).into()));
    assert_eq!((0..registered).filter(lacks).collect::<Vec<_>>(), [] as [usize; 0]);
    let others = |number: &usize| files(*number).len() != FILES.len();
    assert_eq!((running..registered).filter(others).collect::<Vec<_>>(), [] as [usize; 0]);
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).expect("a file")
}
