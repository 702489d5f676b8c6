//! The tests of the suite, one function each: what a gateway's operator may rely on under every service
//! manager.

use serde_json::{Value, json};

use super::machine::Machine;
use crate::{eventually, pid};

/// Blocks until the gateway is in this state; then its status.
#[track_caller]
pub(super) fn await_state(machine: &impl Machine, profile: &str, state: &str) -> Value {
    eventually(state, || {
        let status = machine.status(profile);
        (status["state"] == state).then_some(status)
    })
}

/// A new service is down. `start` returns when the gateway is ready; a second one changes nothing.
pub fn start_waits_for_readiness(machine: &impl Machine) {
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

/// A gateway that never reports readiness counts as started once it has been up for a second.
pub fn a_silent_gateway_is_started_after_a_second(machine: &impl Machine) {
    machine.profile_running("quiet", "exec sleep 600", "");
    machine.hermes(&["gateway", "start", "quiet"]).ok();
    let status = machine.status("quiet");
    assert_eq!((&status["state"], &status["ready"]), (&json!("up"), &Value::Null), "{status}");
    machine.profile_running("brief", "exit 3", "");
    let outcome = machine.hermes(&["gateway", "start", "brief"]).fails_with(1);
    assert!(outcome.stderr.contains("it died (exit 3)"), "{outcome}");
    machine.hermes(&["gateway", "stop", "brief"]).ok();
}

/// With a `ready_url` the gateway is `starting` until that address answers.
pub fn start_waits_for_the_ready_url(machine: &impl Machine) {
    machine.profile("other");
    let port = machine.hermes(&["profile", "port", "other"]).ok().stdout;
    let url = format!("  ready_url: http://127.0.0.1:{}/health\n", port.trim());
    // Once told, it starts a server of its own, with a home inside of its own: another gateway's answer would not count.
    let hermes = machine.shell("command -v hermes").ok().stdout;
    let (home, hermes) = (format!("{}/profiles/late", machine.home()), hermes.trim());
    // In a container it may be elsewhere.
    let found = format!("it={hermes}; test -x $it || it=$(command -v hermes)");
    let serve = format!("{found}; env -i HERMES_HOME={home}/inner $it gateway run </dev/null");
    let late = format!("until test -e {home}/serve; do sleep 0.1; done; {serve}");
    machine.profile_running("late", &late, &url);
    let config = format!("gateway: {{port: {}}}", port.trim());
    machine.shell(&format!("mkdir {home}/inner; echo '{config}' >{home}/inner/config.yaml")).ok();
    let outcome = machine.hermes(&["gateway", "start", "late", "--timeout", "3"]).fails_with(6);
    assert!(outcome.stderr.contains("running, not ready"), "{outcome}");
    let status = machine.status("late");
    assert_eq!((&status["state"], &status["ready"]), (&json!("starting"), &json!(false)));
    let before = pid(&status);
    machine.shell(&format!("touch {home}/serve")).ok();
    let status = await_state(machine, "late", "up");
    assert_eq!((&status["ready"], pid(&status)), (&json!(true), before));
}

/// A gateway that was killed is started again, and so is one that ended with exit 0.
pub fn a_dead_gateway_restarts(machine: &impl Machine) {
    machine.profile("coder");
    machine.hermes(&["gateway", "start", "coder"]).ok();
    let first = pid(&machine.status("coder"));
    machine.kill(first);
    let status = eventually("it is back", || {
        let status = machine.status("coder");
        (status["state"] == "up" && status["pid"] != first).then_some(status)
    });
    assert_eq!((&status["deaths"], &status["intent"]), (&json!(1), &json!("running")), "{status}");
    let home = format!("{}/profiles/once", machine.home());
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

/// `restart` gives a new process, from up and from down.
pub fn restart_gives_a_new_process(machine: &impl Machine) {
    machine.profile("coder");
    machine.hermes(&["gateway", "restart", "coder"]).ok();
    let first = pid(&machine.status("coder"));
    machine.hermes(&["gateway", "restart", "coder"]).ok();
    assert_ne!(pid(&machine.status("coder")), first);
    assert!(!machine.is_alive(first));
}

/// `stop` returns when the gateway has ended; a second one succeeds at once.
pub fn stop_waits_for_the_end(machine: &impl Machine) {
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

/// A gateway that ignores SIGTERM is killed within its own stop budget, though another's is longer.
pub fn a_deaf_gateway_is_killed_in_its_stop_budget(machine: &impl Machine) {
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

/// A wrong configuration parks: one death, the reason in the status and in the log. `start` reports it, and
/// starts the gateway once the configuration is right.
pub fn wrong_configuration_parks(machine: &impl Machine) {
    machine.profile("coder");
    let port = machine.hermes(&["profile", "port", "coder"]).ok().stdout;
    machine.configure("coder", "gateway:\n  port: high\n");
    let outcome = machine.hermes(&["gateway", "start", "coder"]).fails_with(1);
    assert!(outcome.stderr.contains("it is parked: invalid `gateway.port` in"), "{outcome}");
    let status = machine.status("coder");
    assert_eq!((&status["state"], &status["intent"]), (&json!("parked"), &json!("running")));
    assert_eq!((&status["last_exit"], &status["deaths"]), (&json!({ "code": 78 }), &json!(1)));
    let reason = status["parked"]["reason"].as_str().expect("a reason");
    assert!(reason.contains("line 2 column 9"), "{reason}");
    eventually("its log has the reason", || {
        let logs = machine.hermes(&["gateway", "logs", "coder"]).run();
        logs.stdout.contains("line 2 column 9").then_some(())
    });
    machine.configure("coder", &format!("gateway:\n  port: {port}"));
    machine.hermes(&["gateway", "start", "coder"]).ok();
    let status = machine.status("coder");
    assert_eq!((&status["state"], &status["parked"]), (&json!("up"), &Value::Null));
}

/// The tenth death parks, with the reason in the status. `start` ends that.
pub fn a_crash_loop_parks(machine: &impl Machine) {
    machine.profile_running("loop", "exit 7", "");
    machine.hermes(&["gateway", "start", "loop"]).fails_with(1);
    let status = crate::within(crate::SOON * 5, "it is parked", || {
        let status = machine.status("loop");
        (status["state"] == "parked").then_some(status)
    });
    let reason = status["parked"]["reason"].as_str().expect("a reason");
    let expected = "it died 10 times within 10 minutes, last with exit 7; its log says more";
    assert_eq!(reason, expected);
    assert_eq!((&status["intent"], &status["deaths"]), (&json!("running"), &json!(10)));
    assert_eq!(status["last_exit"], json!({ "code": 7 }));
    let shown = machine.hermes(&["gateway", "status", "loop"]).fails_with(3);
    assert!(shown.stdout.contains(&format!("parked     {expected}")), "{shown}");
    machine.hermes(&["gateway", "status", "--all"]).fails_with(1);
    machine.configure("loop", "gateway:\n  command: [sleep, '600']\n");
    machine.hermes(&["gateway", "start", "loop"]).ok();
    let status = machine.status("loop");
    assert_eq!((&status["state"], &status["parked"]), (&json!("up"), &Value::Null));
    machine.hermes(&["gateway", "stop", "loop"]).ok();
    assert_eq!(machine.status("loop")["state"], "down");
}

/// After a reboot the gateways run whose intent is `running`, and no other has run.
pub fn intent_outlives_a_reboot(machine: &mut impl Machine) {
    let home = machine.home();
    let trace = |name: &str| format!("{home}/profiles/{name}/runs");
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
    let runs = |machine: &dyn Machine, name| {
        machine.shell(&format!("cat {}", trace(name))).ok().stdout.lines().count()
    };
    eventually("it has run again", || (runs(machine, "wanted") == 2).then_some(()));
    machine.hermes(&["gateway", "stop", "wanted"]).ok();
    machine.restart();
    await_state(machine, "wanted", "down");
    assert_eq!((runs(machine, "wanted"), runs(machine, "unwanted")), (2, 1));
}

/// `profile delete` leaves no service, no process and no home.
pub fn delete_leaves_nothing(machine: &impl Machine) {
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

/// `profile rename` gives the service the new name: a gateway that was up is up, one that was down is down.
pub fn rename_moves_the_service(machine: &impl Machine) {
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

/// A rename whose gateway does not come up under the new name is undone: it runs under the old one.
pub fn a_failed_rename_is_undone(machine: &impl Machine) {
    let named = "case $HERMES_PROFILE in old) exec sleep 600;; *) exit 9;; esac";
    machine.profile_running("old", named, "");
    machine.hermes(&["gateway", "start", "old"]).ok();
    let outcome = machine.hermes(&["profile", "rename", "old", "new"]).fails_with(1);
    assert!(outcome.stderr.contains("it died (exit 9)"), "{outcome}");
    await_state(machine, "old", "up");
    assert_eq!(machine.service_files("new"), [""; 0]);
    machine.hermes(&["gateway", "status", "new"]).fails_with(4);
}

/// A gateway that was started by hand is an orphan: `start` and `restart` replace it, `stop` ends it.
pub fn an_orphan_is_reported_and_ended(machine: &impl Machine) {
    machine.profile_running("coder", "exec sleep 600", "");
    let by_hand = || {
        let run = "setsid hermes -p coder gateway run >/dev/null 2>&1 </dev/null & echo";
        machine.shell(run).ok();
        pid(&await_state(machine, "coder", "orphan"))
    };
    let orphan = by_hand();
    machine.hermes(&["gateway", "status", "coder"]).fails_with(3);
    let outcome = machine.hermes(&["gateway", "start", "coder"]).ok();
    assert!(outcome.stderr.contains(&format!("process {orphan}")), "{outcome}");
    assert!(!machine.is_alive(orphan));
    assert_eq!(machine.status("coder")["state"], "up");
    machine.hermes(&["gateway", "stop", "coder"]).ok();
    let orphan = by_hand();
    machine.hermes(&["gateway", "restart", "coder"]).ok();
    assert!(!machine.is_alive(orphan));
    assert_eq!(machine.status("coder")["state"], "up");
    machine.hermes(&["gateway", "stop", "coder"]).ok();
    let orphan = by_hand();
    machine.hermes(&["gateway", "stop", "coder"]).ok();
    assert!(!machine.is_alive(orphan));
    assert_eq!(machine.status("coder")["state"], "down");
}

/// Two gateways of one port are never up at once.
pub fn a_port_has_one_gateway(machine: &impl Machine) {
    machine.profile("first");
    machine.profile("second");
    let port = machine.hermes(&["profile", "port", "first"]).ok().stdout;
    machine.configure("second", &format!("gateway:\n  port: {port}"));
    machine.hermes(&["gateway", "start", "first"]).ok();
    let outcome = machine.hermes(&["gateway", "start", "second"]).fails_with(1);
    assert!(outcome.stderr.contains("belongs to `first`, whose gateway is up"), "{outcome}");
}

/// No secret gets into what is written for the service manager, or into what that reports.
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
    assert!(rendered.contains(machine.runs()), "{rendered}");
    assert!(!rendered.contains("canary"), "{rendered}");
}
