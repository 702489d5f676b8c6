//! The conformance suite under Kubernetes.

use hermes_tests::suite::cluster_cases;

use crate::console::Console;

hermes_tests::lifecycle_suite!(Console::new());
hermes_tests::cluster_suite!(Console::new());

#[test]
fn a_gateway_sees_its_own_home_alone() {
    // Only root can have a process see a part of the machine's files.
    hermes_tests::require_root!();
    cluster_cases::a_gateway_sees_its_own_home_alone(&Console::new());
}

#[test]
fn a_node_that_is_down_is_named() {
    cluster_cases::a_node_that_is_down_is_named(&Console::new());
}
