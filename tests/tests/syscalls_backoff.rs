//! The system calls of the command that follows a death, counted on a live tree. Nothing here measures time.

use std::collections::BTreeMap;
use std::fs;

use hermes_tests::{SOON, Svscan, TestEnv, Up, answered, eventually, kill, pid, supervisors};

/// Registers a gateway that is to run, whose `finish` will be traced each time.
fn traced(env: &TestEnv, name: &str, command: &str) {
    env.profile_for_later(name, command, "stopped");
    env.hermes(["gateway", "register", name]).ok();
    let finish = env.slot(name).join("finish");
    let script = fs::read_to_string(&finish).expect("a script");
    // The tracer is not its parent: that is the supervisor.
    let traced = format!("exec strace -D -f -o '{}'.$$ \"$@\" ", env.strace_log().display());
    env.write_program(&finish, &script.replace("exec \"$@\" ", &traced));
}

/// The traces of the deaths so far, by the process of the command.
fn all_traces(env: &TestEnv) -> BTreeMap<String, String> {
    let traces = fs::read_dir(env.path()).expect("a directory").filter_map(|entry| {
        let path = entry.expect("an entry").path();
        let pid = path.file_name()?.to_str()?.strip_prefix("strace.log.")?;
        Some((pid.to_owned(), fs::read_to_string(&path).ok()?))
    });
    traces.collect()
}

/// The traces of those commands that have ended.
fn traces(env: &TestEnv) -> Vec<String> {
    // strace fills short numbers up with spaces.
    let has_ended = |pid: &str, trace: &str| {
        let last = trace.lines().last().and_then(|line| line.strip_prefix(pid));
        last.is_some_and(|line| line.trim_start().starts_with("+++ exited"))
    };
    all_traces(env).into_iter().filter(|(pid, it)| has_ended(pid, it)).map(|it| it.1).collect()
}

#[test]
fn a_wait_looks_at_nothing_until_a_record_changes() {
    let tree = Svscan::start();
    let env = &tree.env;
    traced(env, "loops", "exit 1");
    let starting = env.hermes(["gateway", "start", "loops"]).spawn();
    // They waited for 1, 2 and 4 seconds.
    let three = answered(SOON, || Some(traces(env)).filter(|all| all.len() >= 3));
    let three = three.unwrap_or_else(|| panic!("not three deaths: {:#?}", all_traces(env)));
    for trace in three.into_iter().take(3) {
        let looks = trace.lines().filter(|line| line.contains("/supervise/status\"")).count();
        // Those before the wait, and at its beginning and its end.
        assert!((3..=6).contains(&looks), "{looks} looks: {trace}");
    }
    drop(starting.wait());
}

#[test]
fn a_death_looks_at_no_process_that_is_older_than_the_gateway() {
    let tree = Svscan::start();
    let env = &tree.env;
    env.profile_running("bystander", "exec sleep 600");
    env.hermes(["gateway", "start", "bystander"]).ok();
    let mut bystanders = supervisors(&env.slot("bystander")).to_vec();
    bystanders.push(pid(&tree.status("bystander")));
    traced(env, "leaves", "setsid sleep 600 & echo $! >kid; exec sleep 600");
    env.hermes(["gateway", "start", "leaves"]).ok();
    let read = || fs::read_to_string(env.home().join("kid")).ok()?.trim().parse::<u64>().ok();
    let kid = eventually("it has a child", read);
    kill(pid(&tree.status("leaves")));
    let trace = eventually("its death", || traces(env).into_iter().next());
    let opened = |pid: u64| trace.lines().find(|line| line.contains(&format!("\"/proc/{pid}/")));
    assert!(opened(kid).is_some(), "{trace}");
    for bystander in bystanders {
        assert_eq!(opened(bystander), None);
    }
}

#[test]
fn a_death_makes_nobody_list_all_supervisors_or_connections() {
    let up = Up::start_traced_in(TestEnv::new());
    up.env.profile_running("dies", "exec sleep 600");
    up.env.hermes(["gateway", "start", "dies"]).ok();
    let traced = || fs::read_to_string(up.env.strace_log()).expect("a trace");
    let before = traced().len();
    for _ in 0..3 {
        let old = pid(&up.status("dies"));
        kill(old);
        eventually("it is up again", || {
            let status = up.status("dies");
            (status["state"] == "up" && pid(&status) != old).then_some(())
        });
    }
    let supervisors = format!("/task/{}/children", up.svscan());
    let trace = traced().split_off(before);
    assert!(trace.contains("gateway-dies/supervise/status"), "`hermes up` looked at it");
    for listed in [&*supervisors, "/net/tcp"] {
        let found: Vec<_> = trace.lines().filter(|line| line.contains(listed)).collect();
        assert_eq!(found, [""; 0]);
    }
    up.env.hermes(["down"]).ok();
    assert_eq!(up.ended().1, Some(0));
}
