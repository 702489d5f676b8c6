//! What belongs to another container or host that shares the home's volume: a gateway whose lock is held where commands
//! see no process, and a home at the same path in another mount namespace.

use std::fs;
use std::process::{Command, Stdio};

use hermes_core::Proc;
use hermes_core::process_lock::{self, Holder};
use hermes_tests::foreign_lock::{OF_DESCRIPTION, OF_PROCESS, hold_gateway};
use hermes_tests::{
    Helper, Hermes, Svscan, TestEnv, Up, eventually, hermes_program, is_alive, is_one_clear_error,
    pid, processes_naming, require_root, signal,
};
use rustix::process::Signal;

/// Runs what follows as the environment's user.
const AS_USER: [&str; 4] = ["setpriv", "--reuid=10000", "--regid=10000", "--clear-groups"];

/// A command line of `hermes` in these namespaces of `pid`, as the environment's user.
fn inside(env: &TestEnv, pid: u32, namespaces: &[&str], line: &str) -> Hermes {
    let mut command = Command::new("nsenter");
    command.args(namespaces).args(["--target", &pid.to_string()]).args(AS_USER);
    command.arg(hermes_program()).args(line.split(' '));
    command.env("HERMES_HOME", env.home());
    command.env("HERMES_SCANDIR", env.scandir()).env("HOME", env.path()).current_dir("/");
    Hermes::new(command)
}

/// Fails unless commands take `coder`, which is down, for a gateway that runs where they see no process.
#[track_caller]
fn is_elsewhere(env: &TestEnv, hermes: &dyn Fn(&str) -> Hermes) {
    let status = hermes("gateway status coder --json").run().json();
    assert_eq!((&status["state"], &status["pid"]), (&"orphan".into(), &().into()), "{status}");
    for line in ["gateway start coder", "gateway restart coder", "gateway stop coder"] {
        let outcome = hermes(line).fails_with(5);
        is_one_clear_error(&outcome);
        assert!(outcome.stderr.contains("it runs elsewhere"), "{outcome}");
        // What was refused is not done later.
        let intent = fs::read_to_string(env.profile("coder").join("gateway.intent"));
        assert_eq!(intent.expect("an intent").trim(), "stopped", "{outcome}");
    }
    let delete = hermes("profile delete coder -y").run();
    assert!(delete.code() != Some(0) && delete.stderr.contains("elsewhere"), "{delete}");
    assert!(env.profile("coder").exists() && env.slot("coder").exists());
    let doctor = hermes("doctor").fails_with(1);
    assert!(doctor.stdout.contains("the gateway of `coder` runs elsewhere"), "{doctor}");
    assert!(!format!("{doctor}{status}{delete}").contains("4294967295"));
}

#[test]
fn a_lock_that_is_held_elsewhere_is_no_process() {
    let tree = Svscan::start();
    let env = &tree.env;
    env.profile_running("coder", "exec sleep 600");
    let lock = env.gateway_lock("coder");
    let holder = hold_gateway(env, &lock, OF_DESCRIPTION);
    assert_eq!(process_lock::holder(&lock).unwrap(), Some(Holder { pid: None }));
    is_elsewhere(env, &|line| env.hermes(line.split(' ')));
    // A registration that would start it is refused as a whole.
    fs::remove_dir_all(env.slot("coder")).expect("a slot");
    let register = env.hermes(["gateway", "register", "coder", "--start"]).fails_with(5);
    assert!(register.stderr.contains("it runs elsewhere"), "{register}");
    assert!(!env.slot("coder").exists());
    drop(holder);
    env.hermes(["gateway", "register", "coder", "--start"]).ok();
    env.hermes(["profile", "delete", "coder", "-y"]).ok();
}

/// As in a container that shares the home's volume with another one.
#[test]
fn a_lock_that_is_held_in_another_pid_namespace_is_no_process() {
    require_root!();
    let env = TestEnv::new();
    env.profile_for_later("coder", "exec sleep 600", "stopped");
    let log = fs::File::create(env.path().join("up.log")).unwrap();
    let mut unshare = Command::new("unshare");
    unshare.args(["--pid", "--fork", "--kill-child", "--mount-proc"]).args(AS_USER);
    unshare.arg(hermes_program()).arg("up").current_dir("/").env("HOME", env.path());
    unshare.env("HERMES_HOME", env.home()).env("HERMES_SCANDIR", env.scandir());
    unshare.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    let unshare = Helper::start(&mut unshare);
    let log = || fs::read_to_string(env.path().join("up.log")).unwrap_or_default();
    eventually("its tree is up", || log().contains("the tree is up").then_some(()));
    let up = Proc::default().children(unshare.pid()).pop_first().expect("process 1 in there");
    let hermes = |line: &str| inside(&env, up, &["--mount", "--pid"], line);
    let holder = hold_gateway(&env, &env.gateway_lock("coder"), OF_PROCESS);
    is_elsewhere(&env, &hermes);
    assert!(is_alive(holder.pid().into()));
    drop(holder);
    hermes("gateway start coder").ok();
    hermes("profile delete coder -y").ok();
    // Process 1 takes every command in there with it.
    signal(up.into(), Signal::TERM);
    eventually("its tree has ended", || (!is_alive(up.into())).then_some(()));
}

#[test]
fn the_same_path_in_another_mount_namespace_is_another_home() {
    require_root!();
    let env = TestEnv::new();
    env.profile_for_later("coder", "exec sleep 600", "running");
    // Another volume with the same content, which another mount namespace has in the same place.
    let other = tempfile::tempdir().unwrap();
    let copy = Command::new("cp").arg("-a").arg(env.path()).arg(other.path()).status();
    assert!(copy.unwrap().success());
    let volume = other.path().join(env.path().file_name().unwrap());
    let script = format!(
        "mount --bind {} {} && exec {} {} up",
        volume.display(),
        env.path().display(),
        AS_USER.join(" "),
        hermes_program().display()
    );
    let mut there = Command::new("unshare");
    there.args(["--mount", "--propagation=private", "sh", "-c", &script]).current_dir("/");
    there.env("HERMES_HOME", env.home()).env("HERMES_SCANDIR", env.scandir());
    let log = fs::File::create(other.path().join("up.log")).unwrap();
    there.env("HOME", env.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    let there = Helper::start(&mut there);
    let log = || fs::read_to_string(other.path().join("up.log")).unwrap_or_default();
    eventually("the other tree is up", || log().contains("the tree is up").then_some(()));
    let up = Up::start_in(env);
    let env = &up.env;
    let inside_there = |env: &TestEnv, line: &str| inside(env, there.pid(), &["--mount"], line);
    let status_there = || inside_there(env, "gateway status coder --json").run().json();
    let (here, other_gateway) = (pid(&up.status("coder")), pid(&status_there()));
    assert_ne!(here, other_gateway);
    inside_there(env, "gateway stop coder").ok();
    assert!(!is_alive(other_gateway));
    assert_eq!((pid(&up.status("coder")), &up.status("coder")["deaths"]), (here, &0.into()));
    inside_there(env, "gateway start coder").ok();
    let other_gateway = pid(&status_there());
    up.env.hermes(["gateway", "restart", "coder"]).ok();
    assert!(is_alive(other_gateway));
    let here = pid(&up.status("coder"));
    inside_there(env, "profile delete coder -y").ok();
    assert!(!is_alive(other_gateway));
    assert_eq!(pid(&up.status("coder")), here);
    inside_there(env, "down").ok();
    assert!(is_alive(here));
    let left = || processes_naming(&volume.to_string_lossy());
    eventually("the other tree has ended", || left().is_empty().then_some(()));
}
