//! What a gateway's life is like under every service manager: written once, and run on each machine.
//!
//! A [`Machine`] is where gateways are supervised. Everything is asked of it through the real program; what
//! the service managers differ in on purpose is the machine's to say. [`lifecycle_suite!`](crate::lifecycle_suite)
//! makes a test of each function here.

use serde_json::{Value, json};

use crate::{Hermes, eventually, pid};

/// A machine where gateways are supervised. Dropping it ends it.
pub trait Machine {
    /// `hermes`, as the user whose profiles they are.
    fn hermes(&self, args: &[&str]) -> Hermes;
    /// A shell's script, as that user.
    fn shell(&self, script: &str) -> Hermes;
    /// The user's root home.
    fn home(&self) -> String;
    /// Gives a profile that was just made its service, as far as that has to be asked for.
    fn serve(&self, profile: &str);
    /// Restarts the machine, and blocks until its service manager has come up again.
    fn restart(&self);
    /// What there is of a profile's service: files and links, by their paths.
    fn service_files(&self, profile: &str) -> Vec<String>;
    /// All that was written down for the service manager, and all that it tells of the service.
    fn rendered(&self, profile: &str) -> String;

    /// A gateway's status.
    #[track_caller]
    fn status(&self, profile: &str) -> Value {
        self.hermes(&["gateway", "status", profile, "--json"]).run().json()
    }

    /// Whether a process of this number is there.
    fn is_alive(&self, pid: u64) -> bool {
        let script = format!("grep -qs '^State:.[^ZX]' /proc/{pid}/status");
        self.shell(&script).run().code() == Some(0)
    }

    /// Kills a process that the service manager has just named.
    fn kill(&self, pid: u64) {
        self.shell(&format!("kill -9 {pid}")).ok();
    }

    /// Writes a profile's `config.yaml`.
    fn configure(&self, profile: &str, text: &str) {
        let path = format!("{}/profiles/{profile}/config.yaml", self.home());
        self.shell(&format!("cat >'{path}' <<'END'\n{text}END\n")).ok();
    }

    /// Makes a profile with the built-in gateway and its service.
    fn profile(&self, name: &str) {
        self.hermes(&["profile", "create", name]).ok();
        self.serve(name);
    }

    /// Makes a profile whose gateway is `command`, a shell's, with its service.
    fn profile_running(&self, name: &str, command: &str, more: &str) {
        self.profile(name);
        let command = serde_json::to_string(command).expect("a string");
        self.configure(name, &format!("gateway:\n  command: [/bin/sh, -c, {command}]\n{more}"));
    }
}

/// Blocks until the gateway is in this state; then its status.
#[track_caller]
fn await_state(machine: &impl Machine, profile: &str, state: &str) -> Value {
    eventually(state, || {
        let status = machine.status(profile);
        (status["state"] == state).then_some(status)
    })
}

/// A new service is down; a start is over when the gateway is ready, and twice is as once.
pub fn a_start_is_over_when_the_gateway_is_ready(machine: &impl Machine) {
    machine.profile("coder");
    let status = machine.status("coder");
    assert_eq!((&status["state"], &status["registered"]), (&json!("down"), &json!(true)));
    assert_eq!(status["intent"], "stopped");
    machine.hermes(&["gateway", "start", "coder"]).ok();
    let status = machine.status("coder");
    assert_eq!((&status["state"], &status["ready"]), (&json!("up"), &json!(true)), "{status}");
    assert_eq!(status["intent"], "running");
    let first = pid(&status);
    assert!(machine.is_alive(first));
    machine.hermes(&["gateway", "start", "coder"]).ok();
    assert_eq!(pid(&machine.status("coder")), first);
    let list = machine.hermes(&["gateway", "list", "--json"]).json();
    let listed = list.as_array().expect("a list").iter().filter(|one| one["profile"] == "coder");
    assert_eq!(listed.count(), 1);
}

/// A gateway that never says that it is ready is started when it has been up for a second.
pub fn one_that_never_says_so_is_started_when_it_stays_up(machine: &impl Machine) {
    machine.profile_running("quiet", "exec sleep 600", "");
    machine.hermes(&["gateway", "start", "quiet"]).ok();
    let status = machine.status("quiet");
    assert_eq!((&status["state"], &status["ready"]), (&json!("up"), &Value::Null), "{status}");
    machine.profile_running("brief", "exit 3", "");
    let outcome = machine.hermes(&["gateway", "start", "brief"]).fails_with(1);
    assert!(outcome.stderr.contains("it died (exit 3)"), "{outcome}");
    machine.hermes(&["gateway", "stop", "brief"]).ok();
}

/// With a `ready_url` it is starting until that answers.
pub fn a_ready_url_is_waited_for(machine: &impl Machine) {
    machine.profile("other");
    let port = machine.hermes(&["profile", "port", "other"]).ok().stdout;
    let url = format!("  ready_url: http://127.0.0.1:{}/health\n", port.trim());
    machine.profile_running("late", "exec sleep 600", &url);
    let outcome = machine.hermes(&["gateway", "start", "late", "--timeout", "3"]).fails_with(6);
    assert!(outcome.stderr.contains("has not said that it is ready"), "{outcome}");
    let status = machine.status("late");
    assert_eq!((&status["state"], &status["ready"]), (&json!("starting"), &json!(false)));
    let before = pid(&status);
    machine.hermes(&["gateway", "start", "other"]).ok();
    let status = await_state(machine, "late", "up");
    assert_eq!((&status["ready"], pid(&status)), (&json!(true), before));
}

/// A gateway that was killed, or that has ended by itself, is back.
pub fn a_gateway_that_died_is_back(machine: &impl Machine) {
    machine.profile("coder");
    machine.hermes(&["gateway", "start", "coder"]).ok();
    let first = pid(&machine.status("coder"));
    machine.kill(first);
    let status = eventually("it is back", || {
        let status = machine.status("coder");
        (status["state"] == "up" && status["pid"] != first).then_some(status)
    });
    assert_eq!((&status["deaths"], &status["intent"]), (&json!(1), &json!("running")), "{status}");
    let home = machine.home();
    let once = format!(
        "test -e {home}/end && exec sleep 600; until test -e {home}/end; do sleep 0.1; done"
    );
    machine.profile_running("once", &once, "");
    machine.hermes(&["gateway", "start", "once"]).ok();
    machine.shell(&format!("touch {home}/end")).ok();
    eventually("exit 0 is no stop", || {
        let status = machine.status("once");
        (status["state"] == "up" && status["deaths"] == 1).then_some(())
    });
}

/// A restart gives a new process, from up and from down.
pub fn a_restart_gives_a_new_process(machine: &impl Machine) {
    machine.profile("coder");
    machine.hermes(&["gateway", "restart", "coder"]).ok();
    let first = pid(&machine.status("coder"));
    machine.hermes(&["gateway", "restart", "coder"]).ok();
    assert_ne!(pid(&machine.status("coder")), first);
    assert!(!machine.is_alive(first));
}

/// A stop is over when the gateway is down, and a second one is done already.
pub fn a_stop_is_over_when_the_gateway_is_down(machine: &impl Machine) {
    machine.profile("coder");
    machine.hermes(&["gateway", "start", "coder"]).ok();
    let gateway = pid(&machine.status("coder"));
    machine.hermes(&["gateway", "stop", "coder"]).ok();
    assert!(!machine.is_alive(gateway));
    let status = machine.status("coder");
    assert_eq!((&status["state"], &status["intent"]), (&json!("down"), &json!("stopped")));
    machine.hermes(&["gateway", "stop", "coder"]).ok();
    machine.hermes(&["gateway", "status", "coder"]).fails_with(3);
    machine.hermes(&["gateway", "stop", "nobody"]).fails_with(4);
}

/// What does not end by itself is killed within its own budget, though another's is longer.
pub fn a_stubborn_gateway_is_killed_within_its_budget(machine: &impl Machine) {
    machine.profile_running("patient", "exec sleep 600", "  stop_timeout: 300\n");
    machine.hermes(&["gateway", "start", "patient"]).ok();
    let deaf = "trap '' TERM; sleep 600 & while :; do sleep 600; done";
    machine.profile_running("stubborn", deaf, "  stop_timeout: 4\n");
    machine.hermes(&["gateway", "start", "stubborn"]).ok();
    let gateway = pid(&machine.status("stubborn"));
    machine.hermes(&["gateway", "stop", "stubborn"]).ok();
    assert!(!machine.is_alive(gateway));
    assert_eq!(machine.status("stubborn")["state"], "down");
}

/// Configuration that can't become right by itself parks; `start` says why, and starts once it is mended.
pub fn wrong_configuration_parks(machine: &impl Machine) {
    machine.profile("coder");
    machine.configure("coder", "gateway:\n  port: high\n");
    let outcome = machine.hermes(&["gateway", "start", "coder"]).fails_with(1);
    assert!(outcome.stderr.contains("it is parked: invalid `gateway.port` in"), "{outcome}");
    let status = machine.status("coder");
    assert_eq!((&status["state"], &status["intent"]), (&json!("parked"), &json!("running")));
    assert_eq!(status["last_exit"], json!({ "code": 78 }));
    let reason = status["parked"]["reason"].as_str().expect("a reason");
    assert!(reason.contains("line 2 column 9"), "{reason}");
    machine.configure("coder", "gateway:\n  port: 8650\n");
    machine.hermes(&["gateway", "start", "coder"]).ok();
    let status = machine.status("coder");
    assert_eq!((&status["state"], &status["parked"]), (&json!("up"), &Value::Null));
}

/// The tenth death parks.
pub fn a_crash_loop_is_parked(machine: &impl Machine) {
    machine.profile_running("loop", "exit 7", "");
    machine.hermes(&["gateway", "start", "loop"]).fails_with(1);
    let status = crate::within(crate::SOON * 5, "it is parked", || {
        let status = machine.status("loop");
        (status["state"] == "parked").then_some(status)
    });
    let reason = status["parked"]["reason"].as_str().expect("a reason");
    assert!(reason.starts_with("it died 10 times within 10 minutes"), "{reason}");
    assert_eq!((&status["intent"], &status["deaths"]), (&json!("running"), &json!(10)));
    machine.hermes(&["gateway", "status", "--all"]).fails_with(1);
    machine.configure("loop", "gateway:\n  command: [sleep, '600']\n");
    machine.hermes(&["gateway", "start", "loop"]).ok();
    let status = machine.status("loop");
    assert_eq!((&status["state"], &status["parked"]), (&json!("up"), &Value::Null));
    machine.hermes(&["gateway", "stop", "loop"]).ok();
    assert_eq!(machine.status("loop")["state"], "down");
}

/// After a restart of the machine what was wanted is up, and nothing else has run.
pub fn what_is_wanted_outlives_a_restart(machine: &impl Machine) {
    let trace = |name: &str| format!("{}/{name}.runs", machine.home());
    let runs = |name| machine.shell(&format!("cat {}", trace(name))).ok().stdout.lines().count();
    for name in ["wanted", "unwanted"] {
        let command = format!("echo x >>{}; exec sleep 600", trace(name));
        machine.profile_running(name, &command, "");
        machine.hermes(&["gateway", "start", name]).ok();
    }
    machine.hermes(&["gateway", "stop", "unwanted"]).ok();
    machine.restart();
    await_state(machine, "wanted", "up");
    // launchd has a launcher find out, which takes a moment.
    let status = await_state(machine, "unwanted", "down");
    assert_eq!(status["intent"], "stopped");
    eventually("it has run again", || (runs("wanted") == 2).then_some(()));
    machine.hermes(&["gateway", "stop", "wanted"]).ok();
    machine.restart();
    await_state(machine, "wanted", "down");
    assert_eq!((runs("wanted"), runs("unwanted")), (2, 1));
}

/// A deleted profile leaves no service, no process and no home.
pub fn a_deleted_profile_leaves_nothing(machine: &impl Machine) {
    machine.profile("coder");
    machine.hermes(&["gateway", "start", "coder"]).ok();
    let gateway = pid(&machine.status("coder"));
    assert_ne!(machine.service_files("coder"), [""; 0]);
    machine.hermes(&["profile", "delete", "coder", "-y"]).ok();
    assert!(!machine.is_alive(gateway));
    assert_eq!(machine.service_files("coder"), [""; 0]);
    machine.shell(&format!("test -e {}/profiles/coder", machine.home())).fails_with(1);
    machine.hermes(&["gateway", "status", "coder"]).fails_with(4);
}

/// A rename carries the service over: what ran runs, what did not does not.
pub fn a_rename_carries_the_service_over(machine: &impl Machine) {
    machine.profile("runs");
    machine.profile("rests");
    machine.hermes(&["gateway", "start", "runs"]).ok();
    let gateway = pid(&machine.status("runs"));
    machine.hermes(&["profile", "rename", "runs", "ran"]).ok();
    machine.hermes(&["profile", "rename", "rests", "rested"]).ok();
    assert!(!machine.is_alive(gateway));
    let status = machine.status("ran");
    assert_eq!((&status["state"], &status["registered"]), (&json!("up"), &json!(true)));
    let status = machine.status("rested");
    assert_eq!((&status["state"], &status["registered"]), (&json!("down"), &json!(true)));
    for old in ["runs", "rests"] {
        assert_eq!(machine.service_files(old), [""; 0]);
        machine.hermes(&["gateway", "status", old]).fails_with(4);
    }
}

/// A rename whose gateway does not come up under its new name is undone: it runs under the old one.
pub fn a_rename_that_fails_is_undone(machine: &impl Machine) {
    let named = "case $HERMES_PROFILE in old) exec sleep 600;; *) exit 9;; esac";
    machine.profile_running("old", named, "");
    machine.hermes(&["gateway", "start", "old"]).ok();
    let outcome = machine.hermes(&["profile", "rename", "old", "new"]).fails_with(1);
    assert!(outcome.stderr.contains("it died (exit 9)"), "{outcome}");
    await_state(machine, "old", "up");
    assert_eq!(machine.service_files("new"), [""; 0]);
    machine.hermes(&["gateway", "status", "new"]).fails_with(4);
}

/// A gateway that was started by hand is told as such, and ended by a stop.
pub fn an_orphan_is_told_and_ended(machine: &impl Machine) {
    machine.profile("coder");
    let by_hand = "setsid hermes -p coder gateway run >/dev/null 2>&1 </dev/null & echo";
    machine.shell(by_hand).ok();
    let status = await_state(machine, "coder", "orphan");
    let outcome = machine.hermes(&["gateway", "start", "coder"]).fails_with(1);
    assert!(outcome.stderr.contains("`hermes gateway restart coder`"), "{outcome}");
    machine.hermes(&["gateway", "restart", "coder"]).ok();
    assert!(!machine.is_alive(pid(&status)));
    assert_eq!(machine.status("coder")["state"], "up");
}

/// Two gateways of one port are never up at once.
pub fn a_port_belongs_to_who_is_up(machine: &impl Machine) {
    machine.profile("first");
    machine.profile("second");
    let port = machine.hermes(&["profile", "port", "first"]).ok().stdout;
    machine.configure("second", &format!("gateway:\n  port: {port}"));
    machine.hermes(&["gateway", "start", "first"]).ok();
    let outcome = machine.hermes(&["gateway", "start", "second"]).fails_with(1);
    assert!(outcome.stderr.contains("belongs to `first`, whose gateway is up"), "{outcome}");
}

/// No secret gets into what is written down for the service manager.
pub fn no_secret_is_rendered(machine: &impl Machine) {
    // What makes the service: the creation, or the start.
    machine.shell("CANARY=canary-of-the-shell hermes profile create coder").ok();
    let dotenv = format!("{}/profiles/coder/.env", machine.home());
    machine.shell(&format!("echo SECRET=canary-of-dotenv >>{dotenv}")).ok();
    let said = "echo the secret has ${#SECRET} letters; exec sleep 600";
    let command = serde_json::to_string(said).expect("a string");
    machine.configure(
        "coder",
        &format!("gateway:\n  command: [/bin/sh, -c, {command}]\n  env: {{A: canary-of-config}}\n"),
    );
    machine.shell("CANARY=canary-of-the-shell hermes gateway start coder").ok();
    eventually("it has its secret", || {
        let logs = machine.hermes(&["gateway", "logs", "coder"]).run();
        logs.stdout.contains("the secret has 16 letters").then_some(())
    });
    let rendered = machine.rendered("coder");
    assert!(rendered.contains("gateway start --foreground"), "{rendered}");
    assert!(!rendered.contains("canary"), "{rendered}");
}

/// Makes a test of each, on a machine of its own.
#[macro_export]
macro_rules! lifecycle_suite {
    ($machine:expr) => {
        $crate::lifecycle_suite! { $machine;
            a_start_is_over_when_the_gateway_is_ready
            one_that_never_says_so_is_started_when_it_stays_up
            a_ready_url_is_waited_for
            a_gateway_that_died_is_back
            a_restart_gives_a_new_process
            a_stop_is_over_when_the_gateway_is_down
            a_stubborn_gateway_is_killed_within_its_budget
            wrong_configuration_parks
            a_crash_loop_is_parked
            what_is_wanted_outlives_a_restart
            a_deleted_profile_leaves_nothing
            a_rename_carries_the_service_over
            a_rename_that_fails_is_undone
            an_orphan_is_told_and_ended
            a_port_belongs_to_who_is_up
            no_secret_is_rendered
        }
    };
    ($machine:expr; $($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                $crate::suite::$name(&$machine);
            }
        )*
    };
}
