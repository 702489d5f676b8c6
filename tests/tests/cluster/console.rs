//! The console: gateways are reached from it by their names, run on without it, and obey two of them.

use hermes_tests::installation::Installation;
use hermes_tests::suite::cluster_cases::uid;
use hermes_tests::suite::{Cluster, Machine};
use hermes_tests::{eventually, pid};
use serde_json::json;

#[test]
fn a_gateway_answers_by_its_name_and_is_back_after_its_death() {
    let installation = Installation::new();
    installation.hermes(&["profile", "create", "coder", "--start"]).ok();
    let answers = || eventually("it answers by its name", || installation.health("coder"));
    assert!(answers().contains("coder"), "{}", answers());
    let first = pid(&installation.status("coder"));
    installation.kill(first);
    eventually("it is back", || {
        let status = installation.status("coder");
        (status["state"] == "up" && status["pid"] != first).then_some(())
    });
    answers();
}

#[test]
fn a_gateway_runs_on_without_the_console() {
    let mut installation = Installation::new();
    installation.profile("coder");
    installation.hermes(&["gateway", "start", "coder"]).ok();
    let pod = uid(&installation, "coder");
    let gateway = pid(&installation.status("coder"));
    installation.kubectl(["delete", "deployment", "hermes", "--timeout=120s"]).ok();
    assert!(installation.is_alive(gateway));
    installation.install();
    let status = installation.status("coder");
    assert_eq!((&status["state"], &status["deaths"]), (&json!("up"), &json!(0)), "{status}");
    assert_eq!((uid(&installation, "coder"), pid(&status)), (pod, gateway));
}

/// An operator who scales the console up: the locks of commands hold between the two, if their volume has locks.
#[test]
fn two_consoles_serialize_their_commands() {
    let installation = Installation::new();
    installation.kubectl(["scale", "deployment", "hermes", "--replicas=2"]).ok();
    let consoles = eventually("two consoles run", || {
        Some(installation.consoles()).filter(|consoles| consoles.len() == 2)
    });
    let in_both = |args: &[&str]| {
        let command =
            |console| installation.enter(console, ["hermes"]).args(args.iter().copied()).spawn();
        let running: Vec<_> = consoles.iter().map(|console| command(console)).collect();
        let codes = running.into_iter().map(|running| running.ends().code());
        let mut codes: Vec<_> = codes.collect();
        codes.sort();
        codes
    };
    for name in ["a", "b", "c"] {
        let one_only = in_both(&["profile", "create", name]);
        assert_eq!(one_only, [Some(0), Some(1)], "one makes it, the other finds it");
        assert_eq!(in_both(&["gateway", "start", name]), [Some(0), Some(0)]);
        let pod = uid(&installation, name);
        assert_eq!(installation.status(name)["state"], "up");
        assert_eq!(in_both(&["gateway", "start", name]), [Some(0), Some(0)]);
        assert_eq!(uid(&installation, name), pod, "the second start changes nothing");
        assert_eq!(in_both(&["gateway", "stop", name]), [Some(0), Some(0)]);
        assert_eq!(installation.pod(name), None);
    }
}
