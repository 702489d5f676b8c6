//! The system calls of commands on many gateways, counted on a live tree of two sizes: what concerns all of them is read
//! and requested once. Nothing here measures time.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::ops::Range;

use hermes_tests::doctor::finds_nothing;
use hermes_tests::{Svscan, TestEnv, Up, eventually, free_port, pid, supervisors};

/// The numbers of the gateways that there are at first, and of those that are added.
const GROWTH: [Range<usize>; 2] = [0..2, 2..8];

#[test]
fn many_are_stopped_and_restarted_with_one_look_at_the_processes() {
    let tree = Svscan::start();
    let env = &tree.env;
    for grown in GROWTH {
        let size = grown.end;
        tree.grow(grown);
        let bystander = supervisors(&env.slot("idle-0"))[0];
        let names: Vec<_> = (0..size).map(|i| format!("runs-{i}")).collect();
        let counts = |verb| {
            let names = names.iter().map(String::as_str);
            let trace = env.trace(["gateway", verb].into_iter().chain(names));
            let count = |text: &str| trace.lines().filter(|line| line.contains(text)).count();
            assert!(count("/profiles\", O_RDONLY") <= 3, "{verb}: lists of {size} profiles");
            assert!(count("/self/mountinfo") <= 3, "{verb}: mounts, for {size}");
            // A restart waits for the events of each start.
            assert!(verb == "restart" || count("mknod") == 0, "one wait for all {size}");
            count(&format!("\"/proc/{bystander}/environ\""))
        };
        for (verb, state) in [("restart", "up"), ("stop", "down")] {
            let times = counts(verb);
            // Until nothing is left, it looks again.
            assert!((1..=3).contains(&times), "{verb}: {times} looks for {size} gateways");
            for name in &names {
                assert_eq!(tree.status(name)["state"], state, "{verb}: {name}");
            }
        }
        assert_eq!(counts("stop"), 0, "none has run since");
    }
}

#[test]
fn a_gateway_that_printed_nothing_keeps_no_other_from_its_turn() {
    let tree = Svscan::start();
    let env = &tree.env;
    let names: Vec<_> = (0..3).map(|i| format!("dies-{i}")).collect();
    for name in &names {
        env.profile_for_later(name, "exit 1", "running");
    }
    env.hermes_traced(["boot", "--jobs", "1"]).fails_with(1);
    let trace = fs::read_to_string(env.strace_log()).expect("a trace");
    let lines: Vec<_> = trace.lines().collect();
    let last_start = lines.iter().rposition(|line| line.contains(", \"U\", 1"));
    let is_look = |line: &&str| line.contains("/logs/gateways/dies-") && line.contains("/current");
    let first_look = lines.iter().position(is_look);
    assert!(last_start.expect("a start") < first_look.expect("a look at a log"));
}

#[test]
fn many_are_registered_and_unregistered_with_one_scan() {
    let tree = Svscan::start();
    let env = &tree.env;
    for grown in GROWTH {
        let size = grown.end;
        tree.grow(grown);
        let bystander = supervisors(&env.slot("idle-0"))[0];
        let names: Vec<_> = (0..size).map(|i| format!("runs-{i}")).collect();
        for (verb, state, looks) in
            [("unregister", "unsupervised", 1..=3), ("register", "up", 0..=0)]
        {
            let arguments = ["gateway", verb].into_iter().chain(names.iter().map(String::as_str));
            let trace = env.trace(arguments);
            let count = |text: &str| trace.lines().filter(|line| line.contains(text)).count();
            assert_eq!(count(", \"an\", 2"), 1, "{verb}: scans");
            assert_eq!(count("execve("), 1, "{verb}: its own");
            let times = count(&format!("\"/proc/{bystander}/environ\""));
            assert!(looks.contains(&times), "{verb}: {times} looks for {size} gateways");
            for name in &names {
                let is_so = || (tree.status(name)["state"] == state).then_some(());
                eventually(&format!("{name} is {state}"), is_so);
            }
        }
    }
}

#[test]
fn a_boot_of_many_takes_one_look_and_one_scan() {
    let tree = Svscan::start();
    let env = &tree.env;
    env.profile_for_later("bystander", "exec sleep 600", "stopped");
    env.hermes(["gateway", "register", "bystander"]).ok();
    let bystander = supervisors(&env.slot("bystander"))[0];
    for grown in GROWTH {
        let size = grown.end;
        for i in grown {
            env.profile_for_later(&format!("runs-{i}"), "exec sleep 600", "stopped");
        }
        let names: Vec<_> = (0..size).map(|i| format!("runs-{i}")).collect();
        for (intent, state, looks) in [("running", "up", 0..=0), ("stopped", "down", 1..=3)] {
            for name in &names {
                env.write(&env.profile(name).join("gateway.intent"), intent);
            }
            if intent == "running" {
                let unregister = ["gateway", "unregister"].into_iter();
                env.hermes(unregister.chain(names.iter().map(String::as_str))).ok();
            }
            let trace = env.trace(["boot"]);
            let count = |text: &str| trace.lines().filter(|line| line.contains(text)).count();
            assert_eq!(count(", \"an\", 2"), usize::from(intent == "running"), "{intent}: scans");
            assert_eq!(count("execve("), 1, "{intent}: its own");
            let times = count(&format!("\"/proc/{bystander}/environ\""));
            assert!(looks.contains(&times), "{intent}: {times} looks for {size} gateways");
            for name in &names {
                assert_eq!(tree.status(name)["state"], state, "{name}");
            }
        }
    }
}

/// How often `hermes up` and the gateways that it starts read the environment of a process that is none of theirs. All
/// are up then, and down in the end.
fn looks_of_up(env: TestEnv) -> usize {
    let up = Up::start_traced_in(env);
    let trace = fs::read_to_string(up.env.strace_log()).expect("a trace");
    let look = format!("\"/proc/{}/environ\"", std::process::id());
    up.env.hermes(["down"]).ok();
    assert_eq!(up.ended().1, Some(0));
    trace.lines().filter(|line| line.contains(&look)).count()
}

#[test]
fn many_slots_of_a_dead_tree_are_cleared_with_one_look() {
    for Range { end: size, .. } in GROWTH {
        let tree = Svscan::start();
        tree.grow(0..size);
        let times = looks_of_up(tree.kill());
        assert!((1..=4).contains(&times), "{times} looks for {size} gateways");
    }
}

#[test]
fn what_many_killed_gateways_left_is_looked_for_once() {
    for (Range { end: size, .. }, keeps_scandir) in
        GROWTH.into_iter().flat_map(|grown| [(grown.clone(), true), (grown, false)])
    {
        let tree = Svscan::start();
        tree.grow(0..size);
        let env = tree.kill();
        env.end_processes();
        if !keeps_scandir {
            fs::remove_dir_all(env.scandir()).expect("no process is left in it");
        }
        let times = looks_of_up(env);
        assert!((1..=3).contains(&times), "{times} looks for {size} gateways, {keeps_scandir}");
    }
}

#[test]
fn a_start_of_many_reads_each_configuration_a_few_times() {
    let tree = Svscan::start();
    let env = &tree.env;
    let names: Vec<_> = (0..GROWTH[1].end).map(|i| format!("serves-{i}")).collect();
    for name in &names {
        env.profile_serving(name);
    }
    for verb in ["start", "restart"] {
        let mut reads = BTreeMap::<_, usize>::new();
        // Not of all: other tests use the port of `default`.
        let names = names.iter().map(String::as_str);
        let trace = env.trace(["gateway", verb].into_iter().chain(names));
        let opened = trace.lines().filter(|line| line.contains("config.yaml\", O_RDONLY"));
        for path in opened.filter_map(|line| line.split('"').nth(1)) {
            *reads.entry(path).or_default() += 1;
        }
        assert!(reads.len() >= GROWTH[1].end, "{reads:?}");
        // Its own start reads it, and that of all reads which port it names; `default` may serve others.
        let others: Vec<_> = reads.iter().filter(|(path, _)| path.contains("/profiles/")).collect();
        assert!(others.iter().all(|(_, times)| **times <= 4), "{verb}: {reads:?}");
    }
}

#[test]
fn many_are_replaced_with_one_look_and_two_scans() {
    let tree = Svscan::start();
    let env = &tree.env;
    for grown in GROWTH {
        let size = grown.end;
        tree.grow(grown);
        let bystander = supervisors(&env.slot("idle-0"))[0];
        let former: Vec<_> = (0..size).map(|i| pid(&tree.status(&format!("runs-{i}")))).collect();
        let age = |kind: &str, numbers: Range<usize>| {
            for i in numbers {
                let slot = env.slot(&format!("{kind}-{i}"));
                env.write(&slot.join("data/generation"), "0\n");
            }
        };
        let counts = |trace: &str| {
            let count = |text: &str| trace.lines().filter(|line| line.contains(text)).count();
            (count(", \"an\", 2"), count(&format!("\"/proc/{bystander}/environ\"")))
        };
        age("runs", 0..size);
        let (scans, looks) =
            counts(&env.trace(["gateway", "register", "--refresh", "--all", "--jobs", "75"]));
        assert_eq!(scans, 2, "one without the former services, one with the new ones");
        assert!((1..=3).contains(&looks), "{looks} looks for {size} gateways");
        age("runs", 0..2);
        let by_one = ["gateway", "register", "--refresh", "runs-0", "runs-1", "--jobs", "1"];
        assert_eq!(counts(&env.trace(by_one)).0, 4, "the second is replaced after the first");
        for (i, former) in former.into_iter().enumerate() {
            let again = || {
                let status = tree.status(&format!("runs-{i}"));
                (status["state"] == "up" && pid(&status) != former).then_some(())
            };
            eventually("it is up again", again);
        }
        age("idle", 1..size);
        let (scans, _) = counts(&env.trace(["doctor", "--fix"]));
        assert_eq!(scans, 2, "of {size} idle ones");
        finds_nothing(env, "stale-slots");
    }
}

/// Adds profiles whose gateways are parked, and whose ports this process has; and others whose gateways were not seen to
/// leave nothing.
fn neglect(env: &TestEnv, numbers: Range<usize>) -> Vec<TcpListener> {
    let mut ports = Vec::new();
    for i in numbers.clone() {
        let parked = format!("parked-{i}");
        env.profile_for_later(&parked, "", "running");
        let port = free_port();
        let config = format!("gateway: {{command: [/bin/sh, -c, exit 78], port: {port}}}\n");
        env.write(&env.profile(&parked).join("config.yaml"), &config);
        env.profile_for_later(&format!("unclean-{i}"), "exec sleep 600", "stopped");
        ports.push(port);
    }
    env.hermes(["boot"]).fails_with(1);
    for i in numbers {
        for kind in ["parked", "unclean"] {
            let lock = env.home().join(format!("profiles/.gateways/{kind}-{i}"));
            env.write(&lock, "pid 1\n");
        }
    }
    let listen = |port: u16| TcpListener::bind(("127.0.0.1", port)).expect("a free port");
    ports.into_iter().map(listen).collect()
}

#[test]
fn the_checks_of_many_take_one_look() {
    let tree = Svscan::start();
    let env = &tree.env;
    tree.grow(0..1);
    let bystander = supervisors(&env.slot("idle-0"))[0];
    let mut listeners = Vec::new();
    for grown in GROWTH {
        let size = grown.end;
        listeners.extend(neglect(env, grown));
        let report = env.hermes_traced(["doctor", "--json"]).fails_with(1).json();
        let trace = fs::read_to_string(env.strace_log()).expect("a trace");
        let count = |text: &str| trace.lines().filter(|line| line.contains(text)).count();
        assert_eq!(count(&format!("\"/proc/{bystander}/environ\"")), 1, "{size}");
        assert_eq!(count("\"/proc/net/tcp\""), 1, "{size}");
        assert!(count(&format!("\"/proc/{bystander}/fd\"")) <= 1, "{size}");
        let stats = count(&format!("\"/proc/{bystander}/stat\""));
        assert!(stats <= 3, "{stats} reads of the same process");
        for check in ["parked", "port-holders"] {
            let findings = report["findings"].as_array().expect("findings").iter();
            let found = findings.filter(|finding| finding["check"] == check).count();
            assert_eq!(found, size, "{check}");
        }
    }
}

#[test]
fn the_health_of_many_takes_one_look_at_the_sockets() {
    let tree = Svscan::start();
    let env = &tree.env;
    for grown in GROWTH {
        let size = grown.end;
        let names: Vec<_> = grown.map(|i| format!("serves-{i}")).collect();
        for name in &names {
            env.profile_serving(name);
        }
        env.hermes(["gateway", "start"].into_iter().chain(names.iter().map(String::as_str))).ok();
        let trace = env.trace(["doctor", "--health"]);
        let count = |text: &str| trace.lines().filter(|line| line.contains(text)).count();
        assert_eq!(count("\"/proc/net/tcp\""), 1, "{size}");
        for i in 0..size {
            let read = format!("/serves-{i}/config.yaml\", O_RDONLY");
            assert_eq!(count(&read), 1, "{size}");
        }
    }
}
