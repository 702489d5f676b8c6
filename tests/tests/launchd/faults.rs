//! Faults: gateways that can't run, a launchd that refuses, and foreign property lists.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use hermes_core::Proc;
use hermes_tests::{Helper, is_alive, pid};

use crate::mac::Mac;

#[test]
fn exit_78_parks_and_start_tries_again() {
    let mac = Mac::new();
    mac.running("broken", "exit 78");
    let outcome = mac.hermes(["gateway", "start", "broken"]).fails_with(1);
    assert!(outcome.stderr.contains("hermes gateway logs broken"), "{outcome}");
    let status = mac.await_state("broken", "parked");
    assert_eq!(status["intent"], "running", "{status}");
    assert!(status["parked"]["reason"].as_str().unwrap().contains("78"), "{status}");
    assert!(mac.job("gui", "broken").is_none());

    mac.configure("broken", "exec sleep 600", 8);
    mac.hermes(["gateway", "start", "broken"]).ok();
    let status = mac.status("broken");
    assert_eq!((&status["state"], &status["deaths"]), (&"up".into(), &0.into()), "{status}");
}

#[test]
fn an_invalid_configuration_parks_with_its_reason() {
    let mac = Mac::new();
    mac.running("broken", "exec sleep 600");
    mac.env.write(&mac.env.profile("broken").join("config.yaml"), "gateway: {port: many}\n");
    let outcome = mac.hermes(["gateway", "start", "broken"]).fails_with(1);
    assert!(
        outcome.stderr.contains("it is parked: ") && outcome.stderr.contains("config.yaml"),
        "{outcome}"
    );
    let status = mac.status("broken");
    assert_eq!(status["state"], "parked", "{status}");
    mac.hermes(["gateway", "stop", "broken"]).ok();
    let status = mac.status("broken");
    assert_eq!((&status["state"], status["parked"].is_null()), (&"down".into(), true), "{status}");
}

#[test]
fn ten_deaths_park_a_gateway() {
    let mac = Mac::new();
    let trace = mac.env.path().join("trace");
    mac.running("crashes", &format!("echo x >> {}; exit 3", trace.display()));
    let outcome = mac.hermes(["gateway", "start", "crashes"]).fails_with(1);
    assert!(outcome.stderr.contains("launchd keeps restarting it"), "{outcome}");
    let status = mac.await_state("crashes", "parked");
    assert!(
        status["parked"]["reason"].as_str().unwrap().starts_with("it died 10 times"),
        "{status}"
    );
    assert_eq!(std::fs::read_to_string(trace).unwrap().lines().count(), 10);
    let ends = ["died", "parked"];
    let events = mac.env.events("crashes").into_iter();
    let events: Vec<_> = events.filter(|(event, _)| ends.contains(&event.as_str())).collect();
    let parked = status["parked"]["reason"].as_str().unwrap();
    let expected = [vec![("died", "exit 3"); 10], vec![("parked", parked)]].concat();
    let expected = expected.into_iter().map(|(event, why)| (event.to_owned(), why.to_owned()));
    assert_eq!(events, expected.collect::<Vec<_>>());
    assert!(mac.job("gui", "crashes").is_none());
    mac.hermes(["gateway", "status", "crashes"]).fails_with(3);
}

#[test]
fn a_label_being_removed_is_waited_for() {
    let mac = Mac::new();
    mac.running("coder", "exec sleep 600");
    mac.hermes(["gateway", "start", "coder"]).ok();
    mac.set("removal", "3");
    let first = pid(&mac.status("coder"));
    mac.hermes(["gateway", "restart", "coder"]).ok();
    let tries = mac.commands(0).iter().filter(|verb| *verb == "bootstrap").count();
    assert_eq!(tries, 1 + 4, "{:?}", mac.commands(0));
    assert_ne!(pid(&mac.status("coder")), first);
}

#[test]
fn a_stop_is_over_when_launchd_has_let_go() {
    let mac = Mac::new();
    mac.running("coder", "exec sleep 600");
    mac.hermes(["gateway", "start", "coder"]).ok();
    mac.set("linger", "2");
    mac.hermes(["gateway", "stop", "coder"]).ok();
    assert!(mac.job("gui", "coder").is_none());
    assert_eq!(mac.status("coder")["state"], "down");
}

#[test]
fn launchds_refusal_is_reported() {
    let mac = Mac::new();
    mac.running("coder", "exec sleep 600");
    for (code, words) in [("5", "Bootstrap failed: 5: Input/output error"), ("119", "119: refused")]
    {
        mac.set("refuse", code);
        let told = mac.commands(0).len();
        let outcome = mac.hermes(["gateway", "start", "coder", "--timeout", "8"]).fails_with(1);
        // Only a temporary refusal is retried.
        assert_eq!(mac.commands(told).len() == 1, code == "119", "{:?}", mac.commands(told));
        assert!(outcome.stderr.contains(words), "{outcome}");
        assert!(outcome.stderr.contains("launchctl enable gui/"), "{outcome}");
        let status = mac.status("coder");
        assert_eq!((&status["state"], &status["intent"]), (&"down".into(), &"running".into()));
    }
}

#[test]
fn an_unresponsive_launchd_times_out() {
    let mac = Mac::new();
    mac.running("coder", "exec sleep 600");
    mac.replace_launchctl("#!/bin/sh\nexec sleep 600\n");
    mac.hermes(["gateway", "status", "coder", "--timeout", "1"]).fails_with(6);
    mac.hermes(["gateway", "start", "coder", "--timeout", "1"]).fails_with(6);
}

#[test]
fn another_homes_property_list_stays() {
    let mac = Mac::new();
    mac.hermes(["profile", "create", "coder"]).ok();
    mac.env.make_directory(&mac.agents());
    let theirs = "<plist version=\"1.0\"><dict><key>EnvironmentVariables</key><dict>\
        <key>HERMES_HOME</key><string>/srv/other</string></dict></dict></plist>";
    for (text, words) in [(theirs, "/srv/other"), ("no property list", "it names no home")] {
        mac.env.write(&mac.agent("coder"), text);
        for command in ["install", "start", "restart", "stop", "uninstall"] {
            let outcome = mac.hermes(["gateway", command, "coder"]).fails_with(1);
            assert!(outcome.stderr.contains(words), "{outcome}");
        }
        let outcome = mac.hermes(["profile", "delete", "coder", "-y"]).fails_with(1);
        assert!(outcome.stderr.contains(words) && mac.env.profile("coder").exists(), "{outcome}");
        assert_eq!(std::fs::read_to_string(mac.agent("coder")).unwrap(), text);
    }
    assert_eq!(mac.commands(0), [""; 0]);
}

#[test]
fn start_installs_and_needs_a_profile() {
    let mac = Mac::new();
    mac.hermes(["profile", "create", "coder"]).ok();
    mac.configure("coder", "exec sleep 600", 8);
    mac.hermes(["gateway", "start", "coder"]).ok();
    assert!(mac.agent("coder").exists());
    for command in ["install", "start", "restart", "stop", "status"] {
        mac.hermes(["gateway", command, "nobody"]).fails_with(4);
    }
}

/// Records a process in the file of a gateway's lock as the process that took it and has lost it since.
fn record_taker(mac: &Mac, name: &str, pid: u32) {
    let lock = mac.env.home().join("profiles/.gateways").join(name);
    mac.env.write(&lock, "");
    let metadata = |path: &Path| fs::metadata(path).expect("it exists");
    let (file, namespace) = (metadata(&lock), metadata("/proc/self/ns/pid".as_ref()).ino());
    let start = Proc::default().start_time(pid).expect("it runs");
    let (device, inode) = (file.dev(), file.ino());
    let record = format!("taker {pid} {start} {namespace} {device} {inode}\n");
    fs::write(&lock, record).expect("a writable file");
}

#[test]
fn a_process_that_only_a_file_names_is_neither_ended_nor_the_gateway() {
    let mac = Mac::new();
    mac.running("coder", "exec sleep 600");
    mac.hermes(["gateway", "start", "coder"]).ok();
    mac.hermes(["gateway", "stop", "coder"]).ok();
    let other = Helper::start(mac.env.command("sleep").arg("600"));
    record_taker(&mac, "coder", other.pid());
    let stopped = mac.hermes(["gateway", "stop", "coder"]).fails_with(1);
    assert!(stopped.stderr.contains(&format!("process {}", other.pid())), "{stopped}");
    for verb in ["start", "restart"] {
        mac.hermes(["gateway", verb, "coder"]).fails_with(1);
        assert!(is_alive(other.pid().into()), "{verb}");
    }
    drop(other);
    mac.hermes(["gateway", "restart", "coder"]).ok();
    assert_eq!(mac.status("coder")["state"], "up");
}

#[test]
fn a_gateway_that_loses_its_lock_is_the_gateway() {
    let mac = Mac::new();
    let daemon = "import os, time; os.closerange(3, 1024); time.sleep(600)";
    mac.running("coder", &format!("exec python3 -c '{daemon}'"));
    mac.hermes(["gateway", "start", "coder"]).ok();
    let gateway = pid(&mac.status("coder"));
    mac.hermes(["gateway", "stop", "coder"]).ok();
    assert!(!is_alive(gateway));
}
