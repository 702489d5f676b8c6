//! The tests of [`tree_suite!`](crate::tree_suite), one function each: the promises that a tree of `hermes up` keeps by
//! itself, whoever died or did something behind its back.

use serde_json::Value;

use super::cases::await_state;
use super::machine::Machine;
use crate::{eventually, pid};

/// Waits until the gateway is up as another process than `old`.
#[track_caller]
fn successor(machine: &impl Machine, profile: &str, old: u64) -> u64 {
    eventually("it is up again", || {
        let status = machine.status(profile);
        (status["state"] == "up" && status["pid"] != old).then(|| pid(&status))
    })
}

/// The events of all gateways so far.
fn events(machine: &impl Machine) -> Vec<Value> {
    let printed = machine.hermes(&["events", "--json"]).ok().stdout;
    printed.lines().map(|line| serde_json::from_str(line).expect("an object")).collect()
}

/// Blocks until there is such an event.
#[track_caller]
fn await_event(machine: &impl Machine, profile: &str, event: &str, why: &str) {
    eventually(event, || {
        events(machine)
            .iter()
            .any(|one| {
                let told = one["why"].as_str().unwrap_or_default().contains(why);
                one["profile"] == profile && one["event"] == event && told
            })
            .then_some(())
    });
}

/// A wanted gateway that was brought down behind its intent, as a killed command leaves it, comes back. So it does
/// after a `restart` that is killed at any moment.
pub fn what_is_wanted_comes_back(machine: &impl Machine) {
    let slow = "trap 'sleep 0.2; exit 0' TERM; sleep 600 & wait";
    machine.profile_running("coder", slow, "");
    machine.hermes(&["gateway", "start", "coder"]).ok();
    let mut last = pid(&machine.status("coder"));
    let slot = machine.service_files("coder").remove(0);
    machine.shell(&format!("touch {slot}/down && s6-svc -wD -d {slot}")).ok();
    assert!(!machine.is_alive(last));
    last = successor(machine, "coder", last);
    await_event(machine, "coder", "mended", "start");
    for seconds in ["0.02", "0.1", "0.2", "0.3", "0.5", "1"] {
        machine.shell(&format!("timeout -s KILL {seconds} hermes gateway restart coder")).run();
        let now = eventually("it is up", || {
            let status = machine.status("coder");
            (status["state"] == "up").then(|| pid(&status))
        });
        assert!(now == last || !machine.is_alive(last), "killed after {seconds} s");
        last = now;
    }
    let stopped = machine.hermes(&["gateway", "stop", "coder"]).ok();
    assert!(!machine.is_alive(last), "{stopped}");
}

/// Profiles that other programs make, rename and delete are followed.
pub fn what_other_programs_change_is_followed(machine: &impl Machine) {
    machine.profile_running("coder", "exec sleep 600", "");
    let profiles = format!("{}/profiles", machine.home());
    machine.shell(&format!("cd {profiles} && mkdir made && cp coder/config.yaml made/")).ok();
    eventually("it has a service", || (!machine.service_files("made").is_empty()).then_some(()));
    machine.hermes(&["gateway", "start", "made"]).ok();
    let first = pid(&machine.status("made"));
    machine.shell(&format!("cd {profiles} && mv made moved")).ok();
    await_state(machine, "moved", "up");
    eventually("the old service is gone", || {
        machine.service_files("made").is_empty().then_some(())
    });
    assert!(!machine.is_alive(first));
    let second = pid(&machine.status("moved"));
    machine.shell(&format!("rm -r {profiles}/moved")).ok();
    eventually("the service is gone", || {
        (machine.service_files("moved").is_empty() && !machine.is_alive(second)).then_some(())
    });
    await_event(machine, "made", "mended", "register");
    await_event(machine, "moved", "mended", "remove");
}

/// What a gateway leaves behind when it dies has ended before its successor runs.
pub fn what_a_dead_gateway_leaves_is_ended(machine: &impl Machine) {
    let kids = format!("{}/kids", machine.home());
    let starts = format!(
        "for kid in $(cat {kids} 2>/dev/null); do \
         grep -qs '^State:.[^ZX]' /proc/$kid/status && echo $kid >>{kids}.alive; done; \
         sleep 6000 & echo $! >{kids}; \
         sh -c 'trap \"\" TERM; sleep 6000' & echo $! >>{kids}; \
         setsid sleep 6000 & echo $! >>{kids}; \
         exec sleep 6000"
    );
    machine.profile_running("coder", &starts, "");
    machine.hermes(&["gateway", "start", "coder"]).ok();
    let gateway = pid(&machine.status("coder"));
    let left = || {
        let text = machine.shell(&format!("cat {kids}")).ok().stdout;
        text.split_whitespace().map(|kid| kid.parse().expect("a pid")).collect::<Vec<u64>>()
    };
    let before = eventually("its helpers run", || Some(left()).filter(|kids| kids.len() == 3));
    machine.kill(gateway);
    successor(machine, "coder", gateway);
    assert!(!before.iter().any(|kid| machine.is_alive(*kid)), "{before:?}");
    machine.shell(&format!("test ! -e {kids}.alive")).ok();
    await_event(machine, "coder", "died", "SIGKILL");
    machine.hermes(&["profile", "delete", "coder", "-y"]).ok();
}

/// A supervisor that SIGSTOP has suspended is resumed, and its gateway, which died meanwhile, comes back.
pub fn a_suspended_supervisor_is_resumed(machine: &impl Machine) {
    machine.profile_running("coder", "exec sleep 600", "");
    machine.hermes(&["gateway", "start", "coder"]).ok();
    let gateway = pid(&machine.status("coder"));
    let supervisor = machine.shell(&format!("cut -d' ' -f4 /proc/{gateway}/stat")).ok().stdout;
    machine.shell(&format!("kill -STOP {}", supervisor.trim())).ok();
    machine.kill(gateway);
    // A leftover has the tree look at once.
    machine.shell(&format!("mkdir {}/profiles/.hermes-left", machine.home())).ok();
    successor(machine, "coder", gateway);
    await_event(machine, "coder", "mended", "was suspended");
    machine.hermes(&["doctor", "--health"]).ok();
}

/// A gateway that hangs is up and unhealthy, for everyone who asks, until it answers.
pub fn a_gateway_that_hangs_is_unhealthy(machine: &impl Machine) {
    machine.profile("coder");
    let port = machine.hermes(&["profile", "port", "coder"]).ok().stdout;
    let often = "  liveness: {interval: 1, timeout: 5, failures: 2}\n";
    machine.configure("coder", &format!("gateway:\n  port: {}\n{often}", port.trim()));
    machine.hermes(&["gateway", "start", "coder"]).ok();
    machine.hermes(&["doctor", "--health"]).ok();
    let gateway = pid(&machine.status("coder"));
    machine.shell(&format!("kill -STOP {gateway}")).ok();
    let status = eventually("it is unresponsive", || {
        let status = machine.status("coder");
        (status["reason"]["kind"] == "unresponsive").then_some(status)
    });
    assert_eq!((&status["state"], &status["healthy"]), (&"up".into(), &false.into()), "{status}");
    let health = machine.hermes(&["doctor", "--health"]).fails_with(1);
    assert!(health.stdout.contains("`coder` is unresponsive"), "{health}");
    machine.shell(&format!("kill -CONT {gateway}")).ok();
    eventually("it answers again", || (machine.status("coder")["healthy"] == true).then_some(()));
    machine.hermes(&["doctor", "--health"]).ok();
    assert_eq!(pid(&machine.status("coder")), gateway, "nobody ended it");
}
