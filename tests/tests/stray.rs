//! Supervisors that outlived their s6-svscan, under a new one that can neither adopt nor stop them.

use hermes_s6::slot::layout::ServiceDir;
use hermes_tests::{Helper, Svscan, TestEnv, Up, eventually, is_alive, kill, pid, supervisors};
use serde_json::json;

/// A running gateway with its supervisors, whose s6-svscan was killed.
struct Widowed {
    env: TestEnv,
    gateway: u64,
    supervisors: Vec<u64>,
}

fn widowed() -> Widowed {
    let tree = Svscan::start();
    tree.env.profile_serving("coder");
    tree.env.hermes(["gateway", "start", "coder"]).ok();
    let gateway = pid(&tree.status("coder"));
    let supervisors = supervisors(&tree.env.slot("coder"));
    Widowed { env: tree.kill(), gateway, supervisors }
}

impl Widowed {
    #[track_caller]
    fn all_ended(&self) {
        assert!(!is_alive(self.gateway), "the gateway lives");
        assert!(!self.supervisors.iter().any(|pid| is_alive(*pid)), "a supervisor lives");
    }

    /// A new s6-svscan on the same directory.
    fn remarried(mut self) -> (Svscan, Self) {
        let env = std::mem::replace(&mut self.env, TestEnv::new());
        let tree = Svscan::start_with(env, &[]);
        let status = tree.status("coder");
        assert_eq!((&status["state"], pid(&status)), (&json!("stray"), self.gateway));
        (tree, self)
    }
}

#[test]
fn without_s6_svscan_commands_do_no_harm() {
    let widowed = widowed();
    for verb in ["start", "stop", "restart", "status"] {
        let outcome = widowed.env.hermes(["gateway", verb, "coder"]).fails_with(5);
        assert!(outcome.stderr.contains("hermes up"), "{outcome}");
    }
    assert!(is_alive(widowed.gateway));
    widowed.env.end_processes();
}

#[test]
fn stop_under_a_new_tree_ends_a_stray() {
    let (tree, widowed) = widowed().remarried();
    tree.env.hermes(["gateway", "status", "coder"]).fails_with(3);
    let doctor = tree.env.hermes(["doctor"]).fails_with(1);
    assert!(doctor.stdout.contains("hermes gateway restart coder"), "{doctor}");
    tree.env.hermes(["gateway", "stop", "coder"]).ok();
    widowed.all_ended();
    eventually("the new one supervises it", || {
        (tree.status("coder")["state"] == "down").then_some(())
    });
}

#[test]
fn start_under_a_new_tree_replaces_a_stray() {
    let (tree, widowed) = widowed().remarried();
    tree.env.hermes(["gateway", "start", "coder"]).ok();
    widowed.all_ended();
    assert_eq!(tree.status("coder")["state"], "up");
}

#[test]
fn boot_under_a_new_tree_replaces_a_stray() {
    let (tree, widowed) = widowed().remarried();
    tree.env.hermes(["boot"]).ok();
    widowed.all_ended();
    assert_eq!(tree.status("coder")["state"], "up");
}

#[test]
fn delete_ends_a_stray() {
    let (tree, widowed) = widowed().remarried();
    tree.env.hermes(["profile", "delete", "coder", "-y"]).ok();
    widowed.all_ended();
    assert!(!tree.env.slot("coder").exists());
}

#[test]
fn a_recorded_pid_is_never_trusted() {
    let widowed = widowed();
    widowed.supervisors.iter().for_each(|pid| kill(*pid));
    kill(widowed.gateway);
    let env = widowed.env;
    // The leader of another process group, whose id the record happens to contain.
    let innocent = Helper::start(env.command("setsid").args(["sleep", "600"]));
    let record = ServiceDir::new(env.slot("coder")).status();
    let mut bytes = std::fs::read(&record).unwrap();
    bytes[24..32].copy_from_slice(&u64::from(innocent.pid()).to_be_bytes());
    std::fs::write(&record, bytes).unwrap();
    assert_eq!(ServiceDir::new(env.slot("coder")).record().unwrap().pid, Some(innocent.pid()));
    let up = Up::start_in(env);
    assert_eq!(up.status("coder")["state"], "up");
    assert!(is_alive(innocent.pid().into()));
}
