//! The gateways' logs in the journal.

use hermes_tests::eventually;
use hermes_tests::suite::Machine;

use crate::suite::host;

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
