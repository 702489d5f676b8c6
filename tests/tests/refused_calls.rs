//! Commands in a sandbox whose seccomp filter refuses system calls.

use hermes_tests::{Hermes, Svscan, TestEnv, eventually, is_alive, kill, pid};
use rustix::process::Signal;

/// A script that refuses system calls with an error from now on, and executes a command. Its first argument is
/// the error, its second the calls.
const REFUSE: &str = r#"
import ctypes, errno, os, platform, struct, sys
CALLS = {
    "pidfd_open": (434, 434), "pidfd_send_signal": (424, 424),
    "inotify_init1": (294, 26), "inotify_add_watch": (254, 27), "flock": (73, 32),
}
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
which = 0 if platform.machine() == "x86_64" else 1
refuse, allow = 0x00050000 | getattr(errno, sys.argv[1]), 0x7FFF0000
numbers = [CALLS[name][which] for name in sys.argv[2].split(",")]
steps = [(LOAD, 0, 0, 0)]
for number in numbers:
    steps += [(JUMP_IF_EQUAL, 0, 1, number), (RETURN, 0, 0, refuse)]
steps.append((RETURN, 0, 0, allow))
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
program = struct.pack("HxxxxxxP", len(steps), ctypes.addressof(code))
prctl = ctypes.CDLL(None, use_errno=True).prctl
zero = ctypes.c_ulong(0)
assert prctl(38, ctypes.c_ulong(1), zero, zero, zero) == 0, "PR_SET_NO_NEW_PRIVS"
assert prctl(22, ctypes.c_ulong(2), ctypes.c_char_p(program), zero, zero) == 0, "PR_SET_SECCOMP"
os.execv(sys.argv[3], sys.argv[3:])
"#;

/// `hermes` without `calls`, which fail with `errno`.
fn refused<'a>(
    env: &TestEnv,
    errno: &str,
    calls: &str,
    args: impl IntoIterator<Item = &'a str>,
) -> Hermes {
    let mut command = env.command(hermes_tests::python_with("ctypes"));
    command.args(["-I", "-c", REFUSE, errno, calls]).arg((env.program)()).args(args);
    Hermes::new(command)
}

const ALL: &str = "pidfd_open,pidfd_send_signal,inotify_init1,inotify_add_watch";

#[test]
fn without_pidfds_commands_work_and_say_why_they_poll() {
    let tree = Svscan::start();
    let env = &tree.env;
    env.profile_running("coder", "exec sleep 600");
    for errno in ["EPERM", "ENOSYS", "EACCES"] {
        for calls in ["pidfd_open", "pidfd_send_signal", ALL] {
            let run = |args: &[&str]| refused(env, errno, calls, args.iter().copied()).ok();
            let start = run(&["gateway", "start", "coder"]);
            let says = start.stderr.contains("pidfd_open failed");
            assert_eq!(says, calls.contains("pidfd_open"), "{errno} {calls}: {start}");
            run(&["gateway", "restart", "coder"]);
            run(&["gateway", "status", "coder"]);
            let old = pid(&tree.status("coder"));
            run(&["gateway", "stop", "coder"]);
            assert!(!is_alive(old), "{errno} {calls}");
            run(&["boot"]);
            run(&["gateway", "unregister", "coder"]);
            run(&["gateway", "register", "coder"]);
        }
    }
}

#[test]
fn an_orphan_is_ended_without_pidfds() {
    for calls in ["pidfd_open", "pidfd_send_signal"] {
        let tree = Svscan::start();
        let env = &tree.env;
        env.profile_running("coder", "exec sleep 600");
        env.hermes(["gateway", "start", "coder"]).ok();
        let orphan = pid(&tree.status("coder"));
        // Its supervisor is replaced, and the gateway stays.
        hermes_tests::supervisors(&env.slot("coder")).into_iter().for_each(kill);
        eventually("it is an orphan", || (tree.status("coder")["state"] == "orphan").then_some(()));
        refused(env, "EPERM", calls, ["gateway", "stop", "coder"]).ok();
        assert!(!is_alive(orphan), "{calls}");
    }
}

#[test]
fn without_inotify_a_log_is_followed() {
    let tree = Svscan::start();
    let env = &tree.env;
    env.profile_running("coder", "while :; do echo line; sleep 0.2; done");
    env.hermes(["gateway", "start", "coder"]).ok();
    for errno in ["EPERM", "ENOSYS"] {
        for calls in ["inotify_init1", "inotify_add_watch"] {
            let args = ["gateway", "logs", "coder", "-f", "-n", "0"];
            let following = refused(env, errno, calls, args).stream();
            following.await_lines(1);
            following.await_message(&format!("{calls} failed"));
            following.signal(Signal::INT);
            let (stdout, stderr, _) = following.ended();
            assert!(stdout.contains("line"), "{errno} {calls}: {stdout}");
            assert!(!stderr.contains("owner"), "{errno} {calls}: {stderr}");
        }
    }
}

/// As on a volume over a network that can't lock files.
#[test]
fn a_file_system_without_locks_is_named_and_left_as_it_was() {
    let tree = Svscan::start();
    for errno in ["ENOLCK", "EOPNOTSUPP", "ENOSYS"] {
        let outcome =
            refused(&tree.env, errno, "flock", ["profile", "create", "coder"]).fails_with(1);
        assert!(outcome.stderr.contains("failed to lock `"), "{errno}: {outcome}");
        assert!(
            outcome.stderr.contains("hint: this file system has no locks"),
            "{errno}: {outcome}"
        );
        assert!(!tree.env.profile("coder").exists(), "{errno}");
    }
}
