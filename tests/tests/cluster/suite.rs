//! The conformance suite, and the cases of every cluster.

use hermes_tests::installation::Installation;
use hermes_tests::suite::cluster_cases;

hermes_tests::lifecycle_suite!(Installation::new());
hermes_tests::cluster_suite!(Installation::new());

#[test]
fn a_gateway_sees_its_own_home_alone() {
    cluster_cases::a_gateway_sees_its_own_home_alone(&Installation::new());
}
