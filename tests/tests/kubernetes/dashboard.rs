//! The dashboard, which runs as long as the console does.

use hermes_tests::suite::Machine;
use hermes_tests::{Dashboard, eventually, free_port};

use crate::console::Console;

#[test]
fn requests_share_a_client() {
    let console = Console::new();
    console.profile("coder");
    let dashboard = Dashboard::start_in(console.hermes(&["dashboard"]), &console.env, free_port());
    let ask = |requests: usize| {
        for _ in 0..requests {
            assert_eq!(dashboard.ask("GET", "/api/v1/gateways/coder", None).status, 200);
        }
    };
    let watches = || {
        let requests = console.cluster.requests().into_iter();
        requests.filter(|one| one.verb == "watch").count()
    };
    eventually("it watches", || (watches() >= 2).then_some(()));
    ask(5);
    let before = console.cluster.connections();
    ask(20);
    assert!(console.cluster.connections() < before + 5, "{before}");
}
