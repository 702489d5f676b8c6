//! Who a process is: no command signals a process that it has not verified, and a lock that its holder has lost is still
//! a lock. (What runs where a command sees no process is in `elsewhere`.)

use std::fs;
use std::process::Stdio;

use hermes_core::Proc;
use hermes_core::process_lock::{self, Holder};
use hermes_tests::{
    Helper, Svscan, TestEnv, Up, eventually, hermes_program, is_alive, kill, pid, signal,
};
use rustix::process::Signal;

/// Creates a profile (or `default`) whose gateway is this Python program.
fn profile_of_python(env: &TestEnv, name: &str, program: &str) {
    let script = env.path().join(format!("{name}.py"));
    env.write(&script, program);
    let home = match name {
        "default" => env.home(),
        _ => {
            env.hermes(["profile", "create", name]).ok();
            env.profile(name)
        }
    };
    let config = format!("gateway:\n  command: [python3, {:?}]\n", script.display().to_string());
    env.write(&home.join("config.yaml"), &config);
}

/// Closes the descriptors that it inherited, as a daemon does.
const CLOSES: &str =
    "import os, time\nos.closerange(3, 1024)\nprint('done', flush=True)\ntime.sleep(600)\n";
/// Reads every file that it finds from its home on, as a backup does.
const READS: &str = "import os, time
for directory, _, files in os.walk(os.environ['HERMES_HOME']):
    for name in files:
        try:
            open(os.path.join(directory, name), 'rb').close()
        except OSError:
            pass
print('done', flush=True)
time.sleep(600)
";
/// Reads the lock's file itself.
const OPENS: &str = "import os, time
home = os.environ['HERMES_HOME']
open(os.path.join(home, '../.gateways', os.environ['HERMES_PROFILE'])).close()
print('done', flush=True)
time.sleep(600)
";

/// The gateways that lose their lock.
const LOSERS: [(&str, &str); 3] = [("closes", CLOSES), ("default", READS), ("opens", OPENS)];

/// A tree in which they run, without their locks.
fn losers() -> Svscan {
    let tree = Svscan::start();
    let env = &tree.env;
    env.hermes(["boot"]).ok();
    for (name, program) in LOSERS {
        profile_of_python(env, name, program);
        env.hermes(["gateway", "start", name]).ok();
        eventually("it has lost its lock", || {
            let done = env.logged(name).iter().any(|line| line == "done");
            (done
                && process_lock::locker(&env.gateway_lock(name))
                    .is_ok_and(|locker| locker.is_none()))
            .then_some(())
        });
    }
    tree
}

#[test]
fn a_gateway_without_its_lock_is_up_and_the_only_one() {
    let tree = losers();
    let env = &tree.env;
    for (name, _) in LOSERS {
        let status = tree.status(name);
        assert_eq!(status["state"], "up", "{status}");
        let gateway = pid(&status);
        env.hermes(["gateway", "start", name]).ok();
        let second = env.hermes(["gateway", "start", name, "--foreground"]).spawn().ends();
        assert_eq!(second.code(), Some(1), "{second}");
        assert!(second.stderr.contains(&format!("process {gateway} holds")), "{second}");
        let doctor = env.hermes(["doctor"]).run();
        assert!(!doctor.stdout.contains("error: orphans"), "{doctor}");
        assert_eq!((pid(&tree.status(name)), &tree.status(name)["deaths"]), (gateway, &0.into()));
        env.hermes(["gateway", "restart", name]).ok();
        assert!(!is_alive(gateway), "{name}");
        let gateway = pid(&tree.status(name));
        env.hermes(["gateway", "stop", name]).ok();
        assert!(!is_alive(gateway), "{name}");
        assert_eq!(tree.status(name)["state"], "down");
    }
}

#[test]
fn an_orphan_without_its_lock_is_an_orphan() {
    let tree = losers();
    let env = &tree.env;
    for (name, _) in LOSERS {
        let orphan = pid(&tree.status(name));
        env.lose_supervisors(name);
        let status = eventually("it is an orphan", || {
            Some(tree.status(name)).filter(|status| status["state"] == "orphan")
        });
        assert_eq!(pid(&status), orphan);
        let replaced = env.hermes(["gateway", "start", name]).ok();
        assert!(replaced.stderr.contains(&format!("runs as process {orphan}")), "{replaced}");
        assert!(!is_alive(orphan), "{name}");
        assert_eq!(tree.status(name)["state"], "up");
    }
}

#[test]
fn a_program_that_reads_its_own_home_keeps_its_lock() {
    let tree = Svscan::start();
    let env = &tree.env;
    profile_of_python(env, "coder", READS);
    env.hermes(["gateway", "start", "coder"]).ok();
    eventually("it has read", || env.logged("coder").iter().any(|l| l == "done").then_some(()));
    let gateway = u32::try_from(pid(&tree.status("coder"))).unwrap();
    let held = Some(Holder { pid: Some(gateway) });
    assert_eq!(process_lock::locker(&env.gateway_lock("coder")).unwrap(), held);
    let inside = fs::read_dir(env.profile("coder")).unwrap();
    let locks = inside.filter(|entry| {
        entry.as_ref().unwrap().file_name().to_string_lossy().contains("gateway.lock")
    });
    assert_eq!(locks.count(), 0, "no lock is in the home");
}

/// A copy of a lock's file, and the lock of a process that has ended, hold nothing.
#[test]
fn a_copied_or_old_record_holds_nothing() {
    let tree = losers();
    let env = &tree.env;
    env.profile_running("copy", "exec sleep 600");
    let text = fs::read_to_string(env.gateway_lock("closes")).unwrap();
    env.write(&env.gateway_lock("copy"), &text);
    assert_eq!(tree.status("copy")["state"], "down");
    env.hermes(["gateway", "start", "copy"]).ok();
    let gateway = pid(&tree.status("copy"));
    signal(gateway, Signal::KILL);
    eventually("its successor is up", || {
        let status = tree.status("copy");
        (status["state"] == "up" && pid(&status) != gateway).then_some(())
    });
    assert_eq!(tree.status("closes")["state"], "up");
    // The number of a process that has ended is another's now.
    let lock = env.gateway_lock("copy");
    let record = fs::read_to_string(&lock).unwrap();
    let numbers = ["copy", "closes"].map(|name| format!(" {} ", pid(&tree.status(name))));
    assert!(record.contains(&numbers[0]), "{record}");
    env.hermes(["gateway", "stop", "copy"]).ok();
    env.write(&lock, &record.replace(&numbers[0], &numbers[1]));
    assert_eq!(tree.status("copy")["state"], "down");
    env.hermes(["gateway", "start", "copy"]).ok();
    assert_eq!(tree.status("closes")["state"], "up");
}

/// Runs its arguments as children of a process that adopts orphans, and records each SIGTERM that it gets.
const SUBREAPER: &str = "import ctypes, os, signal, subprocess, sys
assert ctypes.CDLL(None).prctl(36, 1, 0, 0, 0) == 0
def told(*_):
    open(sys.argv[1], 'w').close()
signal.signal(signal.SIGTERM, told)
subprocess.Popen(sys.argv[2:])
while True:
    try:
        os.wait()
    except ChildProcessError:
        signal.pause()
";

/// A gateway that ends once it may, some time after SIGTERM.
const SLOW: &str =
    "trap 'echo told; until [ -e may-end ]; do sleep 0.1; done; echo drained; exit 0' TERM
    echo begun; while :; do sleep 0.1; done";

/// Gives [`SLOW`] the time for all that a test does before it may end.
fn give_time(env: &TestEnv, profile: &str) {
    let config = env.profile(profile).join("config.yaml");
    let text = fs::read_to_string(&config).expect("a config");
    env.write(&config, &format!("{text}  stop_timeout: 60\n"));
}

/// Lets [`SLOW`] end.
fn let_end(env: &TestEnv) {
    env.write(&env.home().join("may-end"), "");
}

#[test]
fn down_signals_no_subreaper() {
    let env = TestEnv::new();
    env.profile_for_later("coder", SLOW, "running");
    give_time(&env, "coder");
    let told = env.path().join("told");
    let log = fs::File::create(env.path().join("up.log")).unwrap();
    let mut command = env.command("python3");
    command.args(["-c", SUBREAPER]).arg(&told).arg(hermes_program()).arg("up");
    let reaper = Helper::start(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log));
    let log = || fs::read_to_string(env.path().join("up.log")).unwrap_or_default();
    eventually("the tree is up", || log().contains("the tree is up").then_some(()));
    let svscan = hermes_s6::ScanDir::new(env.scandir()).svscan().unwrap().unwrap().pid.unwrap();
    let proc = Proc::default();
    let up = proc.parent(svscan).unwrap();
    assert_eq!(proc.parent(up).unwrap(), reaper.pid());
    kill(up.into());
    eventually("the subreaper adopts it", || proc.is_child(svscan, reaper.pid()).then_some(()));
    eventually("it drains", || env.logged("coder").iter().any(|l| l == "told").then_some(()));
    let down = env.hermes(["down"]).stream();
    let seen =
        format!("of s6-svscan {svscan} was killed, and its parent now is process {}", reaper.pid());
    down.await_message(&seen);
    let_end(&env);
    let (_, messages, code) = down.ended();
    assert_eq!(code, Some(0), "{messages}");
    assert!(!is_alive(svscan.into()), "{messages}");
    assert!(is_alive(reaper.pid().into()) && !told.exists(), "the subreaper got no signal");
    assert!(env.logged("coder").iter().any(|line| line == "drained"), "{messages}");
    assert!(!env.slot("coder").exists());
    drop(reaper);
}

/// The other case: `hermes up` lives, and ends its tree itself.
#[test]
fn down_ends_the_up_that_started_the_tree() {
    let env = TestEnv::new();
    env.profile_for_later("coder", "exec sleep 600", "running");
    let up = Up::start_in(env);
    let gateway = pid(&up.status("coder"));
    let down = up.env.hermes(["down"]).ok();
    assert!(!down.stderr.contains("killed"), "{down}");
    let (_env, code) = up.ended();
    assert_eq!(code, Some(0));
    assert!(!is_alive(gateway));
}

/// Fails unless `pid` holds the home's owner lock, and a second tree is refused.
#[track_caller]
fn owns(env: &TestEnv, pid: u32) {
    let lock = env.home().join("hermes-owner.lock");
    let holder = process_lock::holder(&lock).expect("a readable lock");
    assert_eq!(holder, Some(Holder { pid: Some(pid) }));
    let second = env.path().join("second");
    let second = env.hermes(["up", "--scandir", second.to_str().expect("UTF-8")]);
    let second = second.env("HERMES_OWNER_WAIT", "0").fails_with(5);
    assert!(second.stderr.contains(&format!("s6-svscan {pid}")), "{second}");
}

#[test]
fn adopt_keeps_the_home_until_its_gateways_have_ended() {
    let tree = Svscan::start();
    let env = &tree.env;
    env.hermes(["profile", "create", "coder"]).ok();
    env.profile_running("slow", SLOW);
    give_time(env, "slow");
    env.write(&env.profile("slow").join("gateway.intent"), "running");
    let mut command = env.command(hermes_program());
    let log = env.path().join("adopt.log");
    command.args(["up", "--adopt"]).stdin(Stdio::null()).stdout(Stdio::null());
    let mut adopt = command.stderr(fs::File::create(&log).unwrap()).spawn().unwrap();
    let log = || fs::read_to_string(&log).unwrap_or_default();
    eventually("it has booted", || log().contains("the tree is up").then_some(()));
    eventually("it runs", || env.logged("slow").iter().any(|l| l == "begun").then_some(()));
    owns(env, adopt.id());
    // Commands for the adopted tree are not refused.
    env.hermes(["gateway", "start", "coder"]).run();
    env.hermes(["boot"]).ok();
    owns(env, adopt.id());
    signal(adopt.id().into(), Signal::TERM);
    eventually("it drains", || env.logged("slow").iter().any(|l| l == "told").then_some(()));
    owns(env, adopt.id());
    let_end(env);
    let status = eventually("it ends", || adopt.try_wait().unwrap());
    assert!(status.success(), "{}", log());
    assert!(env.logged("slow").iter().any(|line| line == "drained"));
}

#[test]
fn commands_for_a_tree_that_is_not_the_owner_are_refused() {
    let env = TestEnv::new();
    for name in ["coder", "idle"] {
        let intent = if name == "coder" { "running" } else { "stopped" };
        env.profile_for_later(name, "exec sleep 600", intent);
    }
    let up = Up::start_in(env);
    let env = &up.env;
    let gateway = pid(&up.status("coder"));
    let second = env.path().join("second");
    env.make_directory(&second);
    let unheld = env.path().join("unheld");
    env.make_directory(&unheld);
    let mut command = env.s6("s6-svscan");
    let _svscan = Helper::start(command.arg("--").arg(&second));
    let lock = second.join(".s6-svscan/lock");
    eventually("it runs", || process_lock::holder(&lock).unwrap());
    for scandir in [&second, &unheld] {
        let hermes = |line: &str| {
            env.hermes(line.split(' ')).env("HERMES_SCANDIR", scandir.to_str().unwrap())
        };
        for line in [
            "gateway stop coder",
            "gateway start idle",
            "gateway restart coder",
            "gateway register coder",
            "gateway unregister coder",
            "profile create new --start",
            "profile create new",
            "profile rename coder other",
            "profile delete idle -y",
            "profile delete coder -y",
            "boot",
        ] {
            let refused = hermes(line).fails_with(5);
            assert!(refused.stderr.contains(&format!("s6-svscan {}", up.svscan())), "{refused}");
            assert!(!refused.stderr.contains("`hermes up`"), "{refused}");
        }
        let names = hermes("profile list").ok();
        assert!(!names.stdout.contains("new") && !names.stdout.contains("other"), "{names}");
        assert!(!scandir.join("gateway-coder").exists() && !scandir.join("gateway-new").exists());
    }
    for (name, intent) in [("coder", "running"), ("idle", "stopped")] {
        assert!(env.slot(name).exists());
        let file = env.profile(name).join("gateway.intent");
        assert_eq!(fs::read_to_string(file).unwrap().trim(), intent);
    }
    assert_eq!(pid(&up.status("coder")), gateway);
    env.hermes(["gateway", "start", "idle"]).ok();
    env.hermes(["profile", "delete", "idle", "-y"]).ok();
}
