//! The journal of events on a host: systemd alone sees how a gateway ends.

use hermes_tests::eventually;
use hermes_tests::suite::Machine;
use serde_json::Value;

use crate::suite::{Host, host};

/// The reasons of the events of this kind.
fn whys(host: &Host, profile: &str, kind: &str) -> Vec<String> {
    let printed = host.hermes(&["events", profile, "--json"]).ok().stdout;
    let events = printed.lines().map(|line| serde_json::from_str::<Value>(line).expect("an event"));
    let of_kind = events.filter(|event| event["event"] == kind);
    of_kind.map(|event| event["why"].as_str().expect("a reason").to_owned()).collect()
}

#[test]
fn deaths_are_events_and_stops_are_not() {
    let host = host();
    let unit = "hermes-gateway@coder.service";
    // As the Python agent, it exits with 1 when it is stopped. With the file it ends by itself.
    let script = "trap 'exit 1' TERM; until [ -e ~/end ]; do sleep 0.1; done; rm ~/end; exit 0";
    host.profile_running("coder", script, "");
    host.hermes(&["gateway", "start", "coder"]).ok();
    // Nobody's death: stops by command and by hand.
    host.hermes(&["gateway", "restart", "coder"]).ok();
    host.systemctl(&format!("restart {unit}")).ok();
    host.systemctl(&format!("stop {unit}")).ok();
    host.hermes(&["gateway", "start", "coder"]).ok();
    let starts = || whys(&host, "coder", "started").len();
    assert_eq!(starts(), 4);
    assert_eq!(whys(&host, "coder", "died"), [""; 0]);
    // A crash, and an end by itself.
    for (end, why) in [("kill", "SIGKILL"), ("end", "exit 0")] {
        let before = starts();
        match end {
            "kill" => host.systemctl(&format!("kill --signal=KILL --kill-whom=main {unit}")).ok(),
            _ => host.shell("touch ~/end").ok(),
        };
        eventually("it is started again", || (starts() > before).then_some(()));
        assert_eq!(whys(&host, "coder", "died").last().map(String::as_str), Some(why));
    }
    host.hermes(&["gateway", "stop", "coder"]).ok();
    assert_eq!(whys(&host, "coder", "died"), ["SIGKILL", "exit 0"]);
    // A death before it is ready, while systemd still starts it.
    host.profile_running("wrong", "exit 78", "");
    host.hermes(&["gateway", "start", "wrong"]).fails_with(1);
    eventually("it is parked", || (whys(&host, "wrong", "parked").len() == 1).then_some(()));
    assert_eq!(whys(&host, "wrong", "died"), ["exit 78"]);
}
