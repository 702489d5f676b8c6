//! The gateways' logs in the journal.

use hermes_tests::eventually;
use hermes_tests::suite::Machine;

use crate::suite::{Host, host};

#[test]
fn what_gateways_said_is_read_and_followed() {
    let host = host();
    let talk = |name: &str| {
        let words = format!("echo {name} one; echo {name} two >&2; echo {name} three");
        format!("{words}; exec 3<>~/{name}; while read -r line <&3; do echo $line; done")
    };
    for name in ["a", "b"] {
        host.shell(&format!("mkfifo -m 666 /home/hermes/{name}")).ok();
        host.profile_running(name, &talk(name), "");
        host.hermes(&["gateway", "start", name]).ok();
    }
    let logs = |args: &[&str]| host.hermes(args).run().stdout;
    let all = eventually("both have printed all lines", || {
        let all = logs(&["gateway", "logs", "--all"]);
        (all.matches("three").count() == 2).then_some(all)
    });
    let words = |text: &str| -> Vec<String> {
        text.lines().map(|line| line.rsplit_once("  ").expect("a stamp").1.to_owned()).collect()
    };
    assert!(
        all.lines().all(|line| ["a       | 20", "b       | 20"].contains(&&line[..12])),
        "{all}"
    );
    assert_eq!(words(&logs(&["gateway", "logs", "a"])), ["a one", "a two", "a three"]);
    assert_eq!(words(&logs(&["gateway", "logs", "b", "-n", "1"])), ["b three"]);
    let both = words(&logs(&["gateway", "logs", "a", "b", "-n", "1"]));
    assert_eq!(both, ["a three", "b three"]);
    let json = logs(&["gateway", "logs", "a", "-n", "1", "--json"]);
    let line: serde_json::Value = serde_json::from_str(&json).expect("an object");
    assert_eq!((&line["profile"], &line["line"]), (&"a".into(), &"a three".into()), "{line}");
    assert!(line["time"].as_str().expect("a time").ends_with('Z'));

    let follow = ["gateway", "logs", "a", "b", "-f", "-n", "1", "--timeout", "20"];
    let following = host.hermes(&follow).spawn();
    let say = "for round in 0 1 2 3 4; do for name in a b; do \
        echo $name says $round >/home/hermes/$name; done; done";
    host.shell(say).ok();
    let followed = following.wait();
    assert_eq!(followed.code(), Some(6), "{followed}");
    let heard = words(&followed.stdout);
    for name in ["a", "b"] {
        let expected = (0..5).map(|round| format!("{name} says {round}"));
        let expected: Vec<_> = [format!("{name} three")].into_iter().chain(expected).collect();
        let own: Vec<_> = heard.iter().filter(|word| word.starts_with(name)).cloned().collect();
        // Earlier lines may be among the last ones that it prints first.
        assert!(expected.ends_with(&own) && !own.is_empty(), "{followed}");
        assert_eq!(own.last(), expected.last());
    }
    host.hermes(&["gateway", "stop", "--all"]).ok();
    let gone = host.hermes(&["gateway", "logs", "a", "-f"]).spawn();
    host.hermes(&["profile", "delete", "a", "-y"]).ok();
    assert_eq!(gone.wait().code(), Some(4));
    host.hermes(&["profile", "create", "silent"]).ok();
    let outcome = host.hermes(&["gateway", "logs", "silent"]).fails_with(1);
    assert!(outcome.stderr.contains("has not logged anything"), "{outcome}");
}

/// A line whose process has ended before journald looks for its unit (systemd#2913): it has the identifier alone.
#[test]
fn last_words_without_a_unit_are_read() {
    let host = host();
    host.profile_running("coder", "exec sleep 600", "");
    host.hermes(&["gateway", "start", "coder"]).ok();
    let unit = "hermes-gateway@coder.service";
    let say = |words: &str| format!("systemd-cat --identifier={unit} echo {words}");
    host.shell(&say("last words")).ok();
    let reason = "a line of another account";
    host.0.exec_as_root_because(reason, ["sh", "-c", &say("of another account")]).ok();
    let text = eventually("the line is stored", || {
        let text = host.hermes(&["gateway", "logs", "coder"]).run().stdout;
        text.contains("last words").then_some(text)
    });
    assert!(!text.contains("of another account"), "{text}");
    let identifier = host.systemctl(&format!("show --property=SyslogIdentifier --value {unit}"));
    assert_eq!(identifier.ok().stdout.trim(), unit);
}

/// Sets the clock of journald, which stamps all lines, as if the machine's had been set.
fn set_journal_clock(host: &Host, seconds: i64) {
    let preload = "LD_PRELOAD=/usr/local/lib/set-clock.so";
    let script = format!(
        "mkdir -p /run/systemd/system/systemd-journald.service.d
        cd /run/systemd/system/systemd-journald.service.d
        echo '[Service]' >clock.conf
        echo 'Environment={preload} CLOCK_OFFSET={seconds}' >>clock.conf
        systemctl daemon-reload
        # It may not be started this often otherwise.
        systemctl reset-failed systemd-journald && systemctl restart systemd-journald"
    );
    host.0.exec_as_root_because("journald belongs to root", ["sh", "-c", &script]).ok();
}

#[test]
fn a_clock_that_is_set_loses_and_repeats_no_line() {
    let host = host();
    host.shell("mkfifo -m 666 /home/hermes/a").ok();
    let echo = "echo begun; exec 3<>~/a; while read -r line <&3; do echo $line; done";
    host.profile_running("a", echo, "");
    host.hermes(&["gateway", "start", "a"]).ok();
    let said = |args: &[&str]| {
        let text = host.hermes(args).run().stdout;
        let word = |line: &str| line.rsplit_once("  ").expect("a stamp").1.to_owned();
        text.lines().map(word).collect::<Vec<_>>()
    };
    let mut all = vec!["begun".to_owned()];
    for offset in [3600, -3600, 7200, 0, -10_000] {
        eventually("it is stored", || (said(&["gateway", "logs", "a"]) == all).then_some(()));
        set_journal_clock(&host, offset);
        let follow = ["gateway", "logs", "a", "-f", "-n", "1"];
        let following = host.hermes(&follow).stream();
        let last = all.last().expect("a line").clone();
        eventually("it follows", || following.stdout().contains(&last).then_some(()));
        for round in 0..3 {
            let line = format!("{round} at {offset}");
            host.shell(&format!("echo {line} >/home/hermes/a")).ok();
            all.push(line);
        }
        let newest = all.last().expect("a line");
        eventually("it prints the last line", || following.stdout().contains(newest).then_some(()));
        let followed = following.stdout();
        let followed: Vec<_> =
            followed.lines().map(|line| line.rsplit_once("  ").expect("a stamp").1).collect();
        assert_eq!(followed, all[all.len() - 4..], "{offset}");
    }
    assert_eq!(said(&["gateway", "logs", "a", "-n", "7"]), all[all.len() - 7..]);
}
