//! The system calls of commands, counted on a live tree of two sizes: a constant number for each additional
//! profile, and no process. Nothing here measures time.

use std::collections::BTreeMap;
use std::fs;

use hermes_tests::{Svscan, TestEnv, Up, eventually};

/// Pairs of profiles, one with a running and one with a stopped gateway.
const SIZES: [usize; 2] = [2, 8];

/// The system calls that a command makes, by name, but for those that allocate memory, in steps. It must succeed.
#[track_caller]
fn calls(env: &TestEnv, args: &[&str]) -> BTreeMap<String, usize> {
    let mut calls = BTreeMap::new();
    for line in env.trace(args.iter().copied()).lines() {
        // `PID NAME(…`; resumed calls were counted when they began.
        let call = line.split_once(' ').and_then(|(_, call)| call.trim_start().split_once('('));
        let Some((name, arguments)) = call else { continue };
        // A debug build checks each descriptor before closing it.
        let counts = !name.starts_with('<') && !arguments.contains("F_GETFD");
        if counts && !["brk", "mmap", "munmap"].contains(&name) {
            *calls.entry(name.to_owned()).or_default() += 1;
        }
    }
    assert!(calls["openat"] > 5, "the trace was not understood: {calls:?}");
    calls
}

/// The calls of a command for each additional pair of profiles. It must start no process, and no thread, as so
/// few profiles don't need one.
#[track_caller]
fn cost_of_a_pair(few: &BTreeMap<String, usize>, many: &BTreeMap<String, usize>) -> usize {
    for started in ["clone", "clone3", "fork", "vfork"] {
        assert_eq!(many.get(started), None, "{many:?}");
    }
    assert_eq!(many["execve"], 1, "its own");
    let total = |calls: &BTreeMap<String, usize>| calls.values().sum::<usize>();
    let more = total(many).checked_sub(total(few)).expect("more profiles cost more");
    more.div_ceil(SIZES[1] - SIZES[0])
}

#[test]
fn each_profile_costs_a_constant_number_of_calls() {
    let tree = Svscan::start();
    // Each with the allowed cost of a pair: a few more calls than now.
    let commands = [
        (&["profile", "list"][..], 72),
        (&["gateway", "list", "--json"], 72),
        (&["gateway", "status", "--all", "--json"], 74),
        // Searches each home and slot for leftovers of a crash, for a logger that outlived its supervisor, and for
        // suspended processes.
        (&["boot"], 124),
    ];
    let [few, many] = SIZES;
    tree.grow(0..few);
    let small = commands.map(|(args, _)| calls(&tree.env, args));
    tree.grow(few..many);
    for ((args, allowed), small) in commands.into_iter().zip(&small) {
        let cost = cost_of_a_pair(small, &calls(&tree.env, args));
        assert!(cost <= allowed, "{args:?}: {cost} calls for a pair of profiles, of {allowed}");
    }
}

#[test]
fn one_profile_costs_the_same_among_many() {
    let tree = Svscan::start();
    let env = &tree.env;
    let status = |env: &TestEnv| calls(env, &["gateway", "status", "runs-0"]);
    let [few, many] = SIZES;
    tree.grow(0..few);
    env.profile_for_later("one", "exec sleep 600", "stopped");
    // The number of checks for a supervisor varies.
    let register = |env: &TestEnv| {
        let trace = env.trace(["gateway", "register", "one"]);
        let look = |line: &&str| line.contains("statx(AT_FDCWD, ") || line.contains("getdents64(");
        let waits = |line: &&str| line.contains("/supervise") || line.contains("\"/proc/");
        trace.lines().filter(look).filter(|line| !waits(line)).count()
    };
    let before = (status(env), register(env));
    env.hermes(["gateway", "unregister", "one"]).ok();
    tree.grow(few..many);
    env.hermes(["gateway", "unregister", "one"]).ok();
    assert_eq!(status(env), before.0);
    assert_eq!(register(env), before.1);
}

#[test]
fn each_configuration_is_read_once() {
    let tree = Svscan::start();
    let env = &tree.env;
    tree.grow(0..SIZES[0]);
    let notify = env.home().join("config.yaml").display().to_string();
    for args in [
        &["profile", "list"][..],
        &["profile", "show", "runs-0"],
        &["gateway", "list"],
        &["gateway", "status", "--all"],
        &["gateway", "status", "runs-0"],
        &["gateway", "stop", "runs-0"],
        &["gateway", "start", "runs-0"],
        &["gateway", "restart", "runs-0"],
        &["gateway", "unregister", "idle-0"],
        &["gateway", "register", "idle-0"],
        &["profile", "port", "runs-0", "4711"],
        &["profile", "rename", "runs-1", "b"],
        &["profile", "delete", "b", "--yes"],
        &["boot"],
        &["doctor"],
    ] {
        let mut reads = BTreeMap::<_, usize>::new();
        let trace = env.trace(args.iter().copied());
        let opened = trace.lines().filter(|line| line.contains("config.yaml\", O_RDONLY"));
        for path in opened.filter_map(|line| line.split('"').nth(1)) {
            *reads.entry(path).or_default() += 1;
        }
        // Of the root home, `notify` is checked apart from the gateway's keys, so that it keeps no gateway down, and so
        // is whether the gateway of `default` may serve other profiles.
        let of_root = reads.remove(&*notify).unwrap_or_default();
        assert!(of_root <= 4, "{args:?}: {of_root}");
        assert!(reads.values().all(|times| *times == 1), "{args:?}: {reads:?}");
    }
}

#[test]
fn each_process_is_read_once() {
    let tree = Svscan::start();
    let env = &tree.env;
    tree.grow(0..SIZES[1]);
    env.profile_for_later("one", "exec sleep 600", "stopped");
    let looked_at = |verb| {
        let trace = env.trace(["gateway", verb, "one"]);
        trace.lines().filter(|line| line.contains("/environ\"")).count()
    };
    // The tree's owner is read, too.
    let hardly_any = 2;
    // Each gateway of the tree has two supervisors and a logger.
    let all = 3 * 2 * SIZES[1];
    let run = |verb| env.hermes(["gateway", verb, "one"]).ok();
    run("register");
    assert!(looked_at("unregister") <= hardly_any, "it never ran");
    run("register");
    run("start");
    assert!(looked_at("stop") > all);
    assert!(looked_at("stop") <= hardly_any, "it has not run since");
    assert!(looked_at("unregister") <= hardly_any, "nor until now");
    run("register");
    run("start");
    assert!(looked_at("unregister") > all);
}

/// The survey of a boot includes the tree's look at what lies beside the slots.
#[test]
fn a_survey_reads_the_scan_directory_once() {
    let tree = Svscan::start();
    tree.grow(0..SIZES[0]);
    let trace = tree.env.trace(["boot", "--dry-run"]);
    let opens = format!("openat(AT_FDCWD, {:?}, ", tree.env.scandir());
    let times = trace.lines().filter(|line| line.contains(&opens)).count();
    assert_eq!(times, 1, "{trace}");
}

/// The files of the world's time zones, some six hundred, are listed for none of them.
#[test]
fn a_status_lists_no_time_zones() {
    let tree = Svscan::start_with_a(TestEnv::new());
    tree.env.hermes(["gateway", "start", "a"]).ok();
    let trace = tree.env.trace(["gateway", "status", "a"]);
    assert!(trace.contains("\"/etc/localtime\""), "{trace}");
    assert!(!trace.contains("/zoneinfo"), "{trace}");
}

#[test]
fn a_tree_reads_no_configuration_of_an_idle_gateway() {
    let env = TestEnv::new();
    for i in 0..SIZES[0] {
        env.profile_for_later(&format!("idle-{i}"), "exec sleep 600", "stopped");
    }
    let up = Up::start_traced_in(env);
    let look_at_all = || {
        let leftover = up.env.home().join("profiles/.hermes-left");
        up.env.make_directory(&leftover);
        eventually("the leftover is cleared", || (!leftover.exists()).then_some(()));
        fs::read_to_string(up.env.strace_log()).expect("a trace")
    };
    // The services are new at the first look.
    let first = look_at_all();
    let trace = look_at_all();
    let trace = trace.strip_prefix(&first).expect("the trace grows");
    // Its children are the loggers' launchers, too.
    let strace = up.pid();
    let children = fs::read_to_string(format!("/proc/{strace}/task/{strace}/children"));
    let children = children.expect("its child");
    let threads = fs::read_dir(format!("/proc/{}/task", children.trim())).expect("threads");
    let threads: Vec<_> = threads
        .map(|thread| thread.expect("a thread").file_name().into_string().expect("a number"))
        .collect();
    let is_own = |line: &&str| {
        let thread = line.split_whitespace().next().unwrap_or_default();
        threads.iter().any(|own| own == thread)
    };
    let own: Vec<_> = trace.lines().filter(is_own).collect();
    assert!(own.iter().any(|line| line.contains("/supervise/status")), "{trace}");
    let is_configuration =
        |line: &&&str| line.contains("/profiles/") && line.contains("/config.yaml\"");
    assert_eq!(own.iter().find(is_configuration), None, "{first}{trace}");
    up.env.hermes(["down"]).ok();
    assert_eq!(up.ended().1, Some(0));
}
