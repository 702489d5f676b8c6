//! Differential tests: the status that Hermes and s6's own tools report for a service, in every state, and the
//! commands that both send to s6.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Stdio;

use hermes_s6::ScanDir;
use hermes_s6::protocol::control::{self, Sent, scan, service};
use hermes_s6::protocol::record::Record;
use hermes_s6::slot::layout::ServiceDir;
use hermes_tests::{Svscan, TestEnv, eventually, kill, pid, supervisors};
use jiff::Timestamp;
use rustix::process::Signal;
use serde_json::{Value, json};

const SILENT: &str = "exec sleep 600";
const FIELDS: &str =
    "up,wantedup,normallyup,ready,paused,pid,exitcode,signum,signal,updownfor,readyfor";

/// The output of s6-svstat, by field name.
type Fields = BTreeMap<&'static str, String>;

fn svstat(tree: &Svscan, slot: &Path) -> Fields {
    svstat_if_supervised(tree, slot).expect("s6-svstat says something")
}

/// `None` while the slot is not supervised.
fn svstat_if_supervised(tree: &Svscan, slot: &Path) -> Option<Fields> {
    let mut command = tree.s6("s6-svstat");
    let output = command.args(["-o", FIELDS]).arg(slot).stdout(Stdio::piped()).output();
    let output = output.expect("s6-svstat runs");
    let text = String::from_utf8(output.stdout).expect("words");
    let words = text.split_whitespace().map(str::to_owned);
    let fields: Fields = FIELDS.split(',').zip(words).collect();
    (fields.len() == FIELDS.split(',').count()).then_some(fields)
}

/// The fields without the ages, which change.
fn state_of(fields: &Fields) -> Fields {
    let lasting = |name: &&'static str| !name.ends_with("for");
    fields.iter().filter(|(name, _)| lasting(name)).map(|(k, v)| (*k, v.clone())).collect()
}

/// Waits until the gateway is in `state`, and compares all three views of it. s6-svstat must report the same
/// before and after, so that they are of one moment.
#[track_caller]
fn agree(tree: &Svscan, profile: &str, state: &str) -> (Value, Fields) {
    let slot = ServiceDir::new(tree.env.slot(profile));
    let (ours, real, record) = eventually(state, || {
        let before = svstat(tree, slot.path());
        let record = slot.record().expect("a record");
        let outcome = tree.env.hermes(["gateway", "status", profile, "--json"]).run();
        let expected = if ["up", "starting"].contains(&state) { 0 } else { 3 };
        let ours = outcome.json();
        let real = svstat(tree, slot.path());
        let calm = state_of(&before) == state_of(&real);
        (calm && ours["state"] == state).then(|| {
            assert_eq!(outcome.code(), Some(expected), "{outcome}");
            (ours, real, record)
        })
    });
    let what = format!("{ours:#}\n{real:?}\n{record:?}");
    compare_record(&record, &slot, &real, &what);
    let pid = ours["pid"].as_i64().unwrap_or(-1);
    assert_eq!(pid.to_string(), real["pid"], "{what}");
    if let Some(ready) = ours["ready"].as_bool() {
        assert_eq!(ready.to_string(), real["ready"], "{what}");
    }
    let since: Timestamp = ours["since"].as_str().expect("a time").parse().expect("a time");
    assert!(is_age(since, &real["updownfor"]), "{what}");
    match (&ours["last_exit"], real["up"].as_str()) {
        (Value::Null, _) | (_, "true") => {}
        (exit, _) => {
            let signal: i64 = real["signum"].parse().expect("a number");
            let code: i64 = real["exitcode"].parse().expect("a number");
            let expected =
                if signal > 0 { json!({ "signal": signal }) } else { json!({ "code": code }) };
            assert_eq!(*exit, expected, "{what}");
        }
    }
    (ours, real)
}

#[track_caller]
fn compare_record(record: &Record, slot: &ServiceDir, real: &Fields, what: &str) {
    let is = |name: &str, value: bool| assert_eq!(value.to_string(), real[name], "{name}: {what}");
    let up = record.gateway().is_some();
    is("up", up);
    is("wantedup", record.want_up);
    is("normallyup", !slot.down().exists());
    is("paused", record.paused);
    is("ready", record.pid.is_some() && record.ready);
    let gateway = record.gateway().map_or(-1, i64::from);
    assert_eq!(gateway.to_string(), real["pid"], "{what}");
    // wait(2): the low seven bits are the signal, the next byte is the code.
    let (signal, code) = (i64::from(record.wait_status & 0x7f), i64::from(record.wait_status >> 8));
    let ended = |value: i64, there: bool| if !up && there { value } else { -1 };
    // s6 2.15 tells what was never started from what ended with 0.
    let has_ended = !slot.deaths().expect("a tally").is_empty();
    if has_ended || real["exitcode"] != "-1" {
        assert_eq!(ended(code, signal == 0).to_string(), real["exitcode"], "{what}");
    }
    assert_eq!(ended(signal, signal != 0).to_string(), real["signum"], "{what}");
    assert!(is_age(record.stamp, &real["updownfor"]), "{what}");
    assert!(is_age(record.ready_stamp, &real["readyfor"]), "{what}");
}

/// Whether `stamp` was this many seconds ago, within two seconds.
fn is_age(stamp: Timestamp, seconds: &str) -> bool {
    let seconds: i64 = seconds.parse().expect("a number");
    (Timestamp::now().duration_since(stamp).as_secs() - seconds).abs() <= 2
}

/// The fields that commands of s6-svc change.
fn wants(tree: &Svscan, profile: &str) -> Option<[String; 3]> {
    let fields = svstat_if_supervised(tree, &tree.env.slot(profile))?;
    Some(["up", "wantedup", "normallyup"].map(|name| fields[name].clone()))
}

#[test]
fn up_with_and_without_readiness() {
    let tree = Svscan::start();
    let env = &tree.env;
    env.profile_serving("serving");
    env.profile_running("plain", SILENT);
    for (name, ready) in [("serving", json!(true)), ("plain", Value::Null)] {
        let (ours, real) = agree(&tree, name, "down");
        assert_eq!((real["wantedup"].as_str(), real["normallyup"].as_str()), ("false", "false"));
        assert_eq!(ours["pid"], Value::Null);
        env.hermes(["gateway", "start", name]).ok();
        let (ours, real) = agree(&tree, name, "up");
        assert_eq!(ours["ready"], ready, "{ours}");
        assert_eq!((real["wantedup"].as_str(), real["normallyup"].as_str()), ("true", "true"));
        env.hermes(["gateway", "stop", name]).ok();
        let (ours, real) = agree(&tree, name, "down");
        assert_eq!((real["wantedup"].as_str(), real["normallyup"].as_str()), ("false", "false"));
        assert_ne!(ours["last_exit"], Value::Null, "it has ended: {ours}");
    }
}

#[test]
fn starting_and_paused() {
    let tree = Svscan::start();
    let env = &tree.env;
    env.profile_running("slow", SILENT);
    let config = env.profile("slow").join("config.yaml");
    let text = fs::read_to_string(&config).unwrap();
    let url = format!("http://127.0.0.1:{}/", hermes_tests::free_port());
    env.write(&config, &format!("{text}  ready_url: {url}\n"));
    env.hermes(["gateway", "start", "slow", "--timeout", "1"]).fails_with(6);
    let (ours, real) = agree(&tree, "slow", "starting");
    assert_eq!((&ours["ready"], real["ready"].as_str()), (&json!(false), "false"));
    assert!(tree.s6("s6-svc").arg("-p").arg(env.slot("slow")).status().unwrap().success());
    eventually("s6-svstat says that it is paused", || {
        (svstat(&tree, &env.slot("slow"))["paused"] == "true").then_some(())
    });
    agree(&tree, "slow", "starting");
}

#[test]
fn stopping_what_ignores_sigterm() {
    let tree = Svscan::start();
    let env = &tree.env;
    env.profile_running("stubborn", "trap '' TERM; echo ignoring; exec sleep 600");
    env.hermes(["gateway", "start", "stubborn"]).ok();
    let gateway = pid(&tree.status("stubborn"));
    let stop = env.hermes(["gateway", "stop", "stubborn"]).spawn();
    let (ours, real) = agree(&tree, "stubborn", "stopping");
    assert_eq!((pid(&ours), real["wantedup"].as_str()), (gateway, "false"));
    kill(gateway);
    let outcome = stop.wait();
    assert_eq!(outcome.code(), Some(0), "{outcome}");
    let (ours, real) = agree(&tree, "stubborn", "down");
    assert_eq!(ours["last_exit"], json!({ "signal": 9 }));
    assert_eq!(real["signal"], "SIGKILL");
}

#[test]
fn parked() {
    let tree = Svscan::start();
    tree.env.profile_running("wrong", "exit 78");
    tree.env.hermes(["gateway", "start", "wrong"]).fails_with(1);
    let (ours, real) = agree(&tree, "wrong", "parked");
    assert_eq!(ours["last_exit"], json!({ "code": 78 }));
    assert_eq!((real["exitcode"].as_str(), real["wantedup"].as_str()), ("78", "false"));
}

#[test]
fn killed_and_dying_again_and_again() {
    let tree = Svscan::start();
    let env = &tree.env;
    // Each backoff is longer than the one before, so one of them is long enough to observe.
    let die = env.profile_mortal("killed");
    env.hermes(["gateway", "start", "killed"]).ok();
    let first = pid(&tree.status("killed"));
    env.write(&die, "");
    let (ours, real) = agree(&tree, "killed", "backoff");
    assert_eq!((&ours["last_exit"], real["signal"].as_str()), (&json!({ "signal": 9 }), "SIGKILL"));
    std::fs::remove_file(&die).unwrap();
    let (ours, _) = agree(&tree, "killed", "up");
    assert_ne!(pid(&ours), first);
    env.profile_running("dying", "exit 3");
    env.hermes(["gateway", "start", "dying"]).fails_with(1);
    let (ours, real) = agree(&tree, "dying", "backoff");
    assert_eq!((&ours["last_exit"], real["exitcode"].as_str()), (&json!({ "code": 3 }), "3"));
    assert_eq!(real["wantedup"], "true");
}

#[test]
fn commands_match_s6_svc() {
    let tree = Svscan::start();
    let env = &tree.env;
    // The parent of the tests may have set it to be ignored.
    let hears = "exec env --default-signal=HUP sleep 600";
    for name in ["ours", "theirs"] {
        env.profile_running(name, hears);
    }
    let death = |name| tree.status(name)["last_exit"].clone();
    let state = |name| (wants(&tree, name), supervisors(&env.slot(name)));
    for (byte, option, expected) in [
        (service::UP_FOR_GOOD, "-U", ["true", "true", "true"]),
        (service::DOWN, "-d", ["false", "false", "true"]),
        (service::UP_FOR_GOOD, "-U", ["true", "true", "true"]),
        (service::DOWN_FOR_GOOD, "-D", ["false", "false", "false"]),
        (service::UP_FOR_GOOD, "-U", ["true", "true", "true"]),
    ] {
        let sent = control::send(&ServiceDir::new(env.slot("ours")).control(), &[byte]);
        assert_eq!(sent.unwrap(), Sent::Delivered);
        assert!(tree.s6("s6-svc").arg(option).arg(env.slot("theirs")).status().unwrap().success());
        for name in ["theirs", "ours"] {
            eventually(&format!("{name} after {option}"), || {
                (wants(&tree, name)? == expected).then_some(())
            });
        }
    }
    for (byte, option, signal) in [(service::KILL, "-k", 9), (service::HANGUP, "-h", 1)] {
        let pids = ["ours", "theirs"].map(|name| pid(&agree(&tree, name, "up").0));
        for pid in pids {
            let name = format!("/proc/{pid}/comm");
            eventually("it has become what hears the signal", || {
                std::fs::read(&name).is_ok_and(|name| name == b"sleep\n").then_some(())
            });
        }
        control::send(&ServiceDir::new(env.slot("ours")).control(), &[byte]).unwrap();
        assert!(tree.s6("s6-svc").arg(option).arg(env.slot("theirs")).status().unwrap().success());
        for (name, old) in ["ours", "theirs"].into_iter().zip(pids) {
            assert_ne!(pid(&after_death(&tree, name, old)), old);
            assert_eq!(death(name), json!({ "signal": signal }), "{name} after {option}");
        }
    }
    let old = ["ours", "theirs"].map(|name| state(name).1[0]);
    let both = [service::DOWN, service::EXIT];
    control::send(&ServiceDir::new(env.slot("ours")).control(), &both).unwrap();
    assert!(tree.s6("s6-svc").arg("-dx").arg(env.slot("theirs")).status().unwrap().success());
    for (name, old) in ["ours", "theirs"].into_iter().zip(old) {
        eventually(&format!("a new supervisor of {name}, which starts it again"), || {
            let (wants, supervisors) = state(name);
            (supervisors.len() == 2 && supervisors[0] != old && wants? == ["true"; 3]).then_some(())
        });
    }
}

/// Waits until the gateway runs under another pid.
fn after_death(tree: &Svscan, profile: &str, old: u64) -> Value {
    eventually("it runs under another pid", || {
        let status = tree.status(profile);
        status["pid"].as_u64().is_some_and(|pid| pid != old).then_some(status)
    })
}

#[test]
fn scan_commands_match_s6_svscanctl() {
    let tree = Svscan::start();
    let scandir = ScanDir::new(tree.env.scandir());
    let supervised = |path: &Path| tree.s6("s6-svok").arg(path).status().unwrap().success();
    for ours in [true, false] {
        let tell = |commands: &[u8], option: &str| {
            if ours {
                assert_eq!(scandir.send(commands).unwrap(), Sent::Delivered);
            } else {
                let status = tree.s6("s6-svscanctl").arg(option).arg(scandir.path()).status();
                assert!(status.unwrap().success());
            }
        };
        let (slot, hidden) = (scandir.path().join("plain"), scandir.path().join(".plain"));
        tree.env.make_directory(&slot);
        tree.env.write_program(&slot.join("run"), "#!/bin/sh\nexec sleep 600\n");
        tell(&[scan::ALARM], "-a");
        eventually("it is supervised", || supervised(&slot).then_some(()));
        fs::rename(&slot, &hidden).unwrap();
        tell(&[scan::ALARM, scan::NUKE], "-an");
        eventually("it is let go", || (!supervised(&hidden)).then_some(()));
        fs::remove_dir_all(&hidden).unwrap();
    }
}

#[test]
fn supervised_matches_s6_svok() {
    let tree = Svscan::start();
    tree.env.profile_running("coder", SILENT);
    tree.env.hermes(["gateway", "start", "coder"]).ok();
    let slot = tree.env.slot("coder");
    let same = |env: &TestEnv, expected: bool| {
        for part in ServiceDir::new(&slot).parts() {
            let ok = env.s6("s6-svok").arg(part.path()).status().unwrap().success();
            let ours = part.supervisor().unwrap().is_some();
            assert_eq!((ours, ok), (expected, expected), "{}", part.path().display());
        }
    };
    same(&tree.env, true);
    tree.signal(Signal::STOP);
    same(&tree.env, true);
    let env = tree.kill();
    same(&env, true);
    let old = supervisors(&slot);
    old.iter().for_each(|pid| kill(*pid));
    eventually("they are dead", || supervisors(&slot).is_empty().then_some(()));
    same(&env, false);
    env.hermes(["gateway", "status", "coder"]).fails_with(5);
    let tree = Svscan::start_with(env, &[]);
    eventually("s6-svscan supervises it", || (supervisors(&slot).len() == 2).then_some(()));
    same(&tree.env, true);
    tree.env.hermes(["gateway", "unregister", "coder"]).ok();
    same(&tree.env, false);
    assert_eq!(tree.status("coder")["state"], "unsupervised");
    tree.env.end_processes();
}
