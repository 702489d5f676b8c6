//! The example's restart policy: it counts deaths, by a clock that nobody sets.

use std::fs;

use hermes_tests::suite::Machine;
use hermes_tests::{eventually, libfaketime};

use crate::suite::Home;

/// Waits until a gateway's log has this many lines.
fn await_lives(home: &Home, name: &str, count: usize) {
    let log = home.0.home().join("logs/gateways").join(name).join("current");
    eventually("it has lived often enough", || {
        let text = fs::read_to_string(&log).unwrap_or_default();
        (text.matches("life").count() >= count).then_some(())
    });
}

#[test]
fn ten_deaths_park_although_the_clock_jumps() {
    let home = Home::new();
    let offset = home.0.path().join("offset");
    home.0.write(&offset, "+0");
    // Each life sets the clock an hour ahead.
    let ahead = format!("echo life; echo +$(wc -c <lives)h >{}; exit 1", offset.display());
    home.0.profile_for_later("looper", &format!("printf x >>lives; {ahead}"), "stopped");
    let start = home.hermes(&["gateway", "start", "looper"]).env("LD_PRELOAD", &libfaketime());
    let start = start.env("FAKETIME_TIMESTAMP_FILE", offset.to_str().expect("a UTF-8 path"));
    start.env("FAKETIME_NO_CACHE", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1").fails_with(1);
    let status = eventually("it is parked", || {
        let status = home.hermes(&["gateway", "status", "looper", "--json"]).run().json();
        Some(status).filter(|status| status["state"] == "parked")
    });
    assert_eq!(status["deaths"], 10, "{status}");
}

#[test]
fn exit_75_is_no_death() {
    let home = Home::new();
    home.0.profile_for_later("asks", "echo life; exit 75", "stopped");
    home.hermes(&["gateway", "start", "asks", "--timeout", "2"]).run();
    await_lives(&home, "asks", 15);
    let status = home.hermes(&["gateway", "status", "asks", "--json"]).run().json();
    assert_eq!((&status["deaths"], &status["parked"]), (&0.into(), &().into()), "{status}");
    home.hermes(&["gateway", "stop", "asks"]).ok();
}
