//! Signals to `hermes up`: none is lost, and nobody delays the end of a tree.

use std::fs;
use std::time::{Duration, Instant};

use hermes_core::Proc;
use hermes_s6::slot::layout::ServiceDir;
use hermes_tests::{
    Helper, TestEnv, Up, eventually, hermes_program, is_alive, kill, processes_naming, signal,
};
use rustix::process::Signal;

/// Half the time that commands wait for a lock. (On a machine that has time, a tree ends within the longest stop
/// budget, here the default of 8 s, and two seconds.)
const END: Duration = Duration::from_secs(30);

/// An environment with one gateway that is wanted.
fn populated() -> TestEnv {
    let env = TestEnv::new();
    env.profile_for_later("coder", "exec sleep 600", "running");
    env
}

/// A process that holds the lock of `coder`, as a command that hangs does.
fn hold_lock(env: &TestEnv) -> Helper {
    let lock = env.home().join("profiles/.locks/coder");
    env.make_directory(lock.parent().expect("a directory"));
    let mut command = env.command("flock");
    command.arg("--no-fork").arg("-x").arg(&lock).args(["sh", "-c", "echo >held; exec sleep 600"]);
    let holder = Helper::start(&mut command);
    eventually("it holds the lock", || env.path().join("held").exists().then_some(()));
    holder
}

/// Ends the tree, which must be in time and in order, and leave nothing but `helpers`.
#[track_caller]
fn ends_in_time(up: Up, helpers: &[&Helper]) -> TestEnv {
    let begun = Instant::now();
    let (env, code) = up.end(Signal::TERM);
    assert!(begun.elapsed() < END, "{:?}", begun.elapsed());
    let log = fs::read_to_string(env.path().join("up.log")).unwrap_or_default();
    assert_eq!(code, Some(0), "{log}");
    let helpers: Vec<u64> = helpers.iter().map(|helper| helper.pid().into()).collect();
    let mut left = processes_naming(&env.path().to_string_lossy());
    left.retain(|pid| !helpers.contains(pid));
    assert_eq!(left, [0; 0]);
    env
}

#[test]
fn an_ignored_hangup_stays_ignored() {
    // The suite itself may run under nohup(1).
    for (option, ends) in [("--ignore-signal=HUP", false), ("--default-signal=HUP", true)] {
        let env = populated();
        let mut command = env.command("env");
        command.arg(option).arg(hermes_program()).arg("up");
        let up = Up::launch(env, command).await_up();
        signal(up.pid().into(), Signal::HUP);
        if ends {
            assert_eq!(up.ended().1, Some(0));
            continue;
        }
        // The other case shows how soon a tree ends.
        for _ in 0..3 {
            up.env.hermes(["gateway", "restart", "coder"]).ok();
        }
        assert!(is_alive(up.pid().into()));
        ends_in_time(up, &[]);
    }
}

#[test]
fn a_signal_before_the_tree_is_up_ends_it() {
    let env = populated();
    let holder = hold_lock(&env);
    let mut command = env.command(hermes_program());
    command.arg("up");
    let up = Up::launch(env, command);
    let lock = up.env.home().join("profiles/.locks/coder");
    eventually("the boot waits for the lock", || {
        Proc::default().has_open(up.pid(), &lock).then_some(())
    });
    ends_in_time(up, &[&holder]);
}

#[test]
fn a_signal_at_any_early_step_ends_it_in_order() {
    let mut env = populated();
    let mut ended = 0;
    for (call, stride) in [("rt_sigaction", 1), ("statx", 3), ("mkdir", 1), ("clone3", 1)] {
        for n in (1..).step_by(stride) {
            let step = format!("{call}:signal=TERM:when={n}");
            let mut command = env.command("strace");
            command.arg("-o").arg(env.strace_log()).arg("-e").arg(format!("inject={step}"));
            command.arg(hermes_program()).arg("up");
            let up = Up::launch(env, command);
            let begun = up.log().matches("the tree is up").count();
            let is_up = eventually("it has ended, or is up", || {
                let is_up = up.log().matches("the tree is up").count() > begun;
                (is_up || !is_alive(up.pid().into())).then_some(is_up)
            });
            if is_up {
                // It makes fewer of these calls, or gets the signal just now.
                up.env.hermes(["down"]).run();
            }
            let log = up.log();
            let code;
            (env, code) = up.ended();
            let trace = fs::read_to_string(env.strace_log()).expect("a trace");
            let home = env.path().to_string_lossy().into_owned();
            match code {
                // The program itself has not begun: it has looked at nothing.
                None => assert!(!trace.contains(&home), "{step}: {trace}"),
                code => assert_eq!(code, Some(0), "{step}: {log}"),
            }
            ended += usize::from(code.is_some());
            assert_eq!(processes_naming(&home), [0; 0], "{step}");
            if is_up {
                break;
            }
        }
    }
    assert!(ended > 12, "{ended}");
}

#[test]
fn the_end_waits_for_no_lock() {
    let up = Up::start_in(populated());
    let holder = hold_lock(&up.env);
    let env = ends_in_time(up, &[&holder]);
    drop(holder);
    let up = Up::start_in(env);
    assert_eq!(up.status("coder")["state"], "up");
}

#[test]
fn a_logger_that_does_not_end_is_killed() {
    let up = Up::start_in(populated());
    let log = ServiceDir::new(up.env.slot("coder")).log();
    let logger = eventually("it logs", || log.record().ok()?.gateway());
    let stubborn = "#!/bin/sh\ntrap '' HUP TERM\nexec sleep 600\n";
    up.env.write_program(&log.path().join("run"), stubborn);
    kill(logger.into());
    eventually("its successor ignores what ends a logger", || {
        let successor = log.record().ok()?.gateway().filter(|pid| *pid != logger)?;
        let ignores = |signal| Proc::default().ignores(successor, signal).unwrap_or(false);
        (ignores(1) && ignores(15)).then_some(())
    });
    ends_in_time(up, &[]);
}

#[test]
fn process_1_reaps_what_it_adopts() {
    let env = TestEnv::new();
    let script = "for i in 1 2 3 4 5; do (setsid true &); done; echo begun; exec sleep 600";
    env.profile_for_later("coder", script, "running");
    let mut command = env.command("unshare");
    command.args(["-U", "-c", "-p", "-f", "--mount-proc"]).arg(hermes_program()).arg("up");
    let up = Up::launch(env, command).await_up();
    let children = |pid: u64| {
        let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let list = list.unwrap_or_default();
        list.split_whitespace().map(|pid| pid.parse().expect("a pid")).collect::<Vec<u64>>()
    };
    let process_1 = eventually("it has a child", || children(up.pid().into()).first().copied());
    eventually("it has begun", || {
        up.env.logged("coder").contains(&"begun".to_owned()).then_some(())
    });
    eventually("its only child is s6-svscan", || {
        let all = children(process_1);
        (all.len() == 1 && is_alive(all[0])).then_some(())
    });
    signal(process_1, Signal::TERM);
    let (_env, code) = up.ended();
    assert_eq!(code, Some(0));
}
