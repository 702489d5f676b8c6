//! A node that does not answer.

use hermes_tests::eventually;
use hermes_tests::installation::{Installation, kubectl, on_node, variable};
use hermes_tests::suite::cluster_cases::{self, uid};
use hermes_tests::suite::{Cluster, Machine};
use serde_json::json;

/// Has nothing placed on a node while it lives.
struct Cordoned(String);

impl Cordoned {
    fn new(node: &str) -> Self {
        kubectl(["cordon", node]).ok();
        Self(node.to_owned())
    }
}

impl Drop for Cordoned {
    fn drop(&mut self) {
        let _ = kubectl(["uncordon", &self.0]).run();
    }
}

/// Has a lost node answer again when it is dropped.
struct Found(String);

impl Drop for Found {
    fn drop(&mut self) {
        on_node("HERMES_TEST_FIND_NODE", &self.0);
    }
}

/// Commands need the console, which has to be on another node.
#[test]
fn a_node_that_is_down_is_named() {
    let commands = ["HERMES_TEST_LOSE_NODE", "HERMES_TEST_FIND_NODE"];
    if commands.iter().any(|command| variable(command).is_none()) {
        let reason = "needs a second node, --lose-node and --find-node";
        hermes_tests::tell(format_args!("not run: nodes::a_node_that_is_down_is_named: {reason}"));
        return;
    }
    let installation = Installation::alone();
    let of_console = installation.node_of(installation.console());
    let cordoned = Cordoned::new(&of_console);
    // Started before the node goes, so that it has one to lose.
    installation.profile("first");
    installation.hermes(&["gateway", "start", "first"]).ok();
    let node = installation.pod("first").expect("a Pod")["spec"]["nodeName"].clone();
    let _found = Found(node.as_str().expect("a node").to_owned());
    cluster_cases::a_node_that_is_down_is_named(&installation);
    drop(cordoned);
    // The operator lets go of the Pod: the gateway starts on the other node.
    let lost = uid(&installation, "coder");
    installation.kubectl(["delete", "pod", "hermes-coder-0", "--force"]).ok();
    installation.hermes(&["gateway", "start", "coder"]).ok();
    let pod = eventually("another Pod is there", || {
        installation.pod("coder").filter(|pod| pod["metadata"]["uid"] != lost)
    });
    assert_eq!(pod["spec"]["nodeName"], json!(of_console));
}
