//! Processes of a tree that SIGSTOP has suspended: named, resumed by the next command and by the tree, and no obstacle to
//! its end.

use std::fs;
use std::process::{Child, Command, Stdio};

use hermes_core::{Proc, process_lock};
use hermes_tests::doctor::{eventually_finds, finds, finds_nothing, printed_findings};
use hermes_tests::{Svscan, TestEnv, Up, eventually, is_alive, kill, pid, signal, supervisors};
use rustix::process::Signal;
use serde_json::Value;

/// Logs its last words.
const POLITE: &str = "trap 'echo farewell; exit 0' TERM; echo begun; sleep 600 & wait; wait";

/// The logger of a gateway, once it has the log directory.
fn logger(env: &TestEnv, name: &str) -> u64 {
    let lock = env.home().join("logs/gateways").join(name).join("lock");
    let holder = || process_lock::holder(&lock).ok().flatten()?.pid;
    eventually("it is logged", holder).into()
}

fn is_suspended(process: u64) -> bool {
    Proc::default().is_suspended(u32::try_from(process).expect("a pid"))
}

/// Suspends a process, and blocks until it is.
fn suspend(process: u64) {
    signal(process, Signal::STOP);
    eventually("it is suspended", || is_suspended(process).then_some(()));
}

/// The state, the health and the kind of the reason in a status.
fn seen(status: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let health = if status["healthy"] == true { "healthy" } else { "unhealthy" };
    format!("{} {health} {}", text(&status["state"]), text(&status["reason"]["kind"]))
}

#[test]
fn a_dead_gateway_of_a_suspended_supervisor_is_down_until_a_command_resumes_it() {
    let tree = Svscan::start_with_a(TestEnv::new());
    let env = &tree.env;
    for verb in ["start", "restart", "stop"] {
        env.hermes(["gateway", "start", "a"]).ok();
        let gateway = pid(&tree.status("a"));
        let supervisor = supervisors(&env.slot("a"))[0];
        suspend(supervisor);
        kill(gateway);
        eventually("it has ended", || (!is_alive(gateway)).then_some(()));
        let status = tree.status("a");
        assert_eq!(seen(&status), "down unhealthy suspended", "{status}");
        assert_eq!(status["pid"], Value::Null, "{status}");
        let remedy = format!("kill -CONT {supervisor}");
        let text = status["reason"]["text"].as_str().expect("a text");
        assert!(text.contains("s6-supervise") && text.contains(&remedy), "{text}");
        assert_eq!(finds(env, "suspended", "error", &["s6-supervise", "`a`"]).remedy, remedy);

        let done = env.hermes(["gateway", verb, "a"]).ok();
        let title = format!("process {supervisor} (s6-supervise) was suspended");
        assert!(done.stderr.contains(&title), "{done}");
        let status = tree.status("a");
        let state = if verb == "stop" { "down" } else { "up" };
        assert_eq!((&status["state"], &status["reason"]), (&state.into(), &Value::Null), "{verb}");
        assert_ne!(status["pid"], gateway, "{verb}");
        finds_nothing(env, "suspended");
    }
}

#[test]
fn a_suspended_logger_is_a_logger_that_can_not_write() {
    let tree = Svscan::start();
    let env = &tree.env;
    env.profile_running("a", POLITE);
    env.hermes(["gateway", "start", "a"]).ok();
    let logger = logger(env, "a");
    suspend(logger);
    let status = tree.status("a");
    assert_eq!(seen(&status), "up unhealthy logger", "{status}");
    let remedy = format!("kill -CONT {logger}");
    assert!(status["reason"]["text"].as_str().expect("a text").contains(&remedy), "{status}");
    finds(env, "loggers", "error", &["`a`", &remedy]);
    assert_eq!(finds(env, "suspended", "error", &["s6-log", "`a`"]).remedy, remedy);
    let health = env.hermes(["doctor", "--health"]).fails_with(1);
    assert!(health.stdout.contains("its logger is suspended"), "{health}");
    // The gateway's last words are read.
    env.hermes(["gateway", "stop", "a"]).ok();
    eventually("its last line is logged", || {
        env.logged("a").contains(&"farewell".to_owned()).then_some(())
    });
    assert!(!is_suspended(logger));
    finds_nothing(env, "suspended");
}

#[test]
fn a_boot_resumes_a_supervisor() {
    let tree = Svscan::start_with_a(TestEnv::new());
    let supervisor = supervisors(&tree.env.slot("a"))[0];
    suspend(supervisor);
    let boot = tree.env.hermes(["boot"]).ok();
    let line = format!("resume process {supervisor} (s6-supervise): ");
    assert!(boot.stdout.contains(&line), "{boot}");
    assert!(!is_suspended(supervisor));
    assert!(!tree.env.hermes(["boot"]).ok().stdout.contains("resume"));
}

/// As operators of a container do to look at it. Nobody resumes it but a command that ends it.
#[test]
fn a_suspended_gateway_is_named_and_left_alone() {
    let up = Up::start();
    let env = &up.env;
    env.profile_running("a", POLITE);
    env.hermes(["gateway", "start", "a"]).ok();
    let gateway = pid(&up.status("a"));
    suspend(gateway);
    let found = finds(env, "suspended", "error", &["`a`"]);
    assert_eq!(found.remedy, format!("kill -CONT {gateway}"));
    the_tree_looks(env, 0);
    assert!(is_suspended(gateway));
    env.hermes(["gateway", "stop", "a"]).ok();
    assert!(env.logged("a").contains(&"farewell".to_owned()), "it was not killed");
}

/// Blocks until the tree has looked for suspended processes, as it does each time that it looks for leftovers.
#[track_caller]
fn the_tree_looks(env: &TestEnv, round: usize) {
    let leftover = env.home().join(format!("profiles/.hermes-left-{round}"));
    env.make_directory(&leftover);
    eventually("the leftover is cleared", || (!leftover.exists()).then_some(()));
}

/// Each process that works for a gateway, by the name of its program.
fn workers(up: &Up, name: &str) -> [(u64, &'static str); 4] {
    let supervisors = supervisors(&up.env.slot(name));
    [
        (up.svscan(), "s6-svscan"),
        (supervisors[0], "s6-supervise"),
        (supervisors[1], "s6-supervise"),
        (logger(&up.env, name), "s6-log"),
    ]
}

#[test]
fn the_tree_resumes_what_works_for_a_gateway() {
    let up = Up::start();
    let env = &up.env;
    env.profile_running("a", "echo begun; exec sleep 600");
    env.hermes(["gateway", "start", "a"]).ok();
    for (round, (process, program)) in workers(&up, "a").into_iter().enumerate() {
        suspend(process);
        the_tree_looks(env, round);
        eventually("it is resumed", || (!is_suspended(process)).then_some(()));
        let line = format!("mended: resume process {process} ({program}): ");
        eventually("it is reported", || up.log().contains(&line).then_some(()));
    }
    let mended: Vec<_> =
        env.events("a").into_iter().filter(|(event, _)| event == "mended").collect();
    assert_eq!(mended.len(), 3, "{mended:?}");
    assert!(mended.iter().all(|(_, why)| why.contains("was suspended")), "{mended:?}");
    assert_eq!(printed_findings(env, "suspended"), []);
}

/// The stop budget is longer than the test waits for the end.
#[test]
fn the_tree_ends_whatever_is_suspended() {
    for which in ["s6-svscan", "supervisor", "supervisor of the logger", "logger", "gateway"] {
        let up = Up::start();
        let env = &up.env;
        env.profile_running("a", POLITE);
        let config = env.profile("a").join("config.yaml");
        let text = fs::read_to_string(&config).expect("a config");
        env.write(&config, &format!("{text}  stop_timeout: 600\n"));
        env.hermes(["gateway", "start", "a"]).ok();
        let gateway = pid(&up.status("a"));
        let [svscan, supervisor, log_supervisor, logger] = workers(&up, "a").map(|(pid, _)| pid);
        suspend(match which {
            "s6-svscan" => svscan,
            "supervisor" => supervisor,
            "supervisor of the logger" => log_supervisor,
            "logger" => logger,
            _ => gateway,
        });
        let (env, code) = up.end(Signal::TERM);
        assert_eq!(code, Some(0), "{which}");
        assert!(env.logged("a").contains(&"farewell".to_owned()), "{which}: {:?}", env.logged("a"));
        assert!(!is_alive(gateway) && !is_alive(logger), "{which}");
    }
}

#[test]
fn a_suspended_tree_can_be_ended() {
    let up = Up::start();
    suspend(up.pid().into());
    up.env.hermes(["down"]).ok();
    assert_eq!(up.ended().1, Some(0));
}

#[test]
fn a_suspended_svscan_registers_and_is_named() {
    let tree = Svscan::start_with_a(TestEnv::new());
    let env = &tree.env;
    suspend(tree.pid().into());
    let found = eventually_finds(env, "suspended", "error", &["s6-svscan"]);
    assert_eq!(found.remedy, format!("kill -CONT {}", tree.pid()));
    env.profile_running("b", "exec sleep 600");
    env.hermes(["gateway", "start", "b"]).ok();
    assert!(!is_suspended(tree.pid().into()));
}

/// Slows the system calls of a process down with which it opens files, until it ends. Blocks until that has begun.
fn slow_down(env: &TestEnv, process: u64) -> Child {
    let mut strace = Command::new("strace");
    strace.args(["-e", "inject=openat:delay_enter=300000", "-p", &process.to_string()]);
    strace.arg("-o").arg(env.strace_log()).stderr(Stdio::null());
    let strace = strace.spawn().expect("strace runs");
    let status = format!("/proc/{process}/status");
    eventually("it is traced", || {
        let status = fs::read_to_string(&status).expect("it runs");
        (!status.contains("TracerPid:\t0\n")).then_some(())
    });
    strace
}

/// s6-supervise records a death some calls after it has noticed it.
#[test]
fn a_death_that_is_recorded_late_is_none_of_the_start_after_it() {
    let tree = Svscan::start_with_a(TestEnv::new());
    let env = &tree.env;
    env.hermes(["gateway", "start", "a"]).ok();
    let gateway = pid(&tree.status("a"));
    let mut strace = slow_down(env, supervisors(&env.slot("a"))[0]);
    kill(gateway);
    let process = format!("/proc/{gateway}");
    eventually("it was noticed", || (!fs::exists(&process).expect("/proc")).then_some(()));
    env.hermes(["gateway", "start", "a"]).ok();
    assert_ne!(pid(&tree.status("a")), gateway);
    drop(tree);
    strace.wait().expect("its process has ended");
}
