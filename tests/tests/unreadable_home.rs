//! A profile whose home can't be read: its gateway may run or be wanted, so nobody says that all is well.

use hermes_tests::{Dashboard, Svscan, chmod, is_alive, pid};

#[test]
fn a_home_that_can_not_be_read_hides_no_gateway() {
    let tree = Svscan::start();
    let env = &tree.env;
    for name in ["a", "b"] {
        env.profile_running(name, "exec sleep 600");
        env.hermes(["gateway", "start", name]).ok();
    }
    let dashboard = Dashboard::start(env);
    env.hermes(["doctor", "--health"]).ok();
    let gateway = pid(&tree.status("a"));
    chmod(&env.profile("a"), 0o000);
    let all = env.hermes(["gateway", "status", "--all"]).fails_with(5);
    assert!(all.stdout.contains("b ") && all.stderr.contains("the status of `a`"), "{all}");
    let health = env.hermes(["doctor", "--health"]).fails_with(1);
    assert!(health.stderr.contains("the status of `a`"), "{health}");
    let listed = dashboard.ask("GET", "/api/v1/gateways", None).json();
    let names = listed.as_array().expect("a list").iter().map(|one| one["profile"].clone());
    assert_eq!(names.collect::<Vec<_>>(), ["default", "a", "b"], "{listed}");
    // The others are stopped and started.
    env.hermes(["gateway", "restart", "--all"]).fails_with(5);
    assert!(is_alive(gateway));
    chmod(&env.profile("a"), 0o755);
    env.hermes(["doctor", "--health"]).run();
    env.hermes(["gateway", "status", "--all"]).run();
    assert_eq!(pid(&tree.status("a")), gateway);
}
