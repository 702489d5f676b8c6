//! What an operator reads if the cluster refuses, fails or is away.

use hermes_tests::kubernetes::{Fault, NAMESPACE};
use hermes_tests::suite::Machine;

use crate::console::Console;

#[test]
fn a_refusal_names_the_permission() {
    let console = Console::new();
    console.profile("coder");
    console.cluster.forbid("patch", "statefulsets");
    let outcome = console.hermes(&["gateway", "start", "coder"]).run();
    assert!(outcome.stderr.contains("failed to apply the StatefulSet `hermes-coder`"), "{outcome}");
    let asked = format!("`kubectl auth can-i patch statefulsets.apps -n {NAMESPACE}`");
    assert!(outcome.stderr.contains(&asked), "{outcome}");
    console.cluster.allow("patch", "statefulsets");
    console.hermes(&["gateway", "start", "coder"]).ok();
}

#[test]
fn an_expired_token_is_no_empty_cluster() {
    let console = Console::new();
    console.profile("coder");
    console.cluster.expire_token();
    let outcome = console.hermes(&["gateway", "status", "--all"]).run();
    assert!(outcome.stderr.contains("answers 401"), "{outcome}");
    assert!(outcome.stderr.contains("the credentials have expired"), "{outcome}");
}

#[test]
fn what_passes_is_not_noticed() {
    let console = Console::new();
    console.profile("coder");
    let faults = [Fault::TooManyRequests(1), Fault::Gone, Fault::Internal, Fault::Unavailable];
    for fault in faults.into_iter().chain([Fault::Close, Fault::CloseAfter]) {
        console.cluster.fail("*", "*", fault, 1);
    }
    console.hermes(&["gateway", "start", "coder"]).ok();
    assert_eq!(console.status("coder")["state"], "up");
}

#[test]
fn a_server_that_hangs_costs_the_time_limit() {
    let console = Console::new();
    console.profile("coder");
    console.cluster.fail("get", "statefulsets", Fault::Hang, 100);
    let outcome = console.hermes(&["gateway", "status", "coder", "--timeout", "1"]).fails_with(6);
    assert!(outcome.stderr.contains("has not answered"), "{outcome}");
}
