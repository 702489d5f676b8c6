//! A profile whose home can't be read: its gateway may run or be wanted, so nobody says that all is well.

use std::fs;
use std::os::unix::fs::symlink;

use hermes_tests::{Dashboard, Svscan, TestEnv, Up, chmod, eventually, is_alive, pid};

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

/// Another program has replaced the home, or its volume is not mounted.
#[test]
fn what_has_the_place_of_a_home_ends_no_gateway() {
    let env = TestEnv::new();
    env.profile_for_later("a", "exec sleep 600", "running");
    let up = Up::start_in(env);
    let env = &up.env;
    let is_up = || Some(up.status("a")).filter(|status| status["state"] == "up");
    let gateway = pid(&eventually("it is up", is_up));
    let (home, away) = (env.profile("a"), env.home().join("away"));
    let kinds =
        [("it is not a directory", "warning", 0), ("it is a link that leads nowhere", "error", 4)];
    for (round, (reason, severity, code)) in kinds.into_iter().enumerate() {
        fs::rename(&home, &away).expect("a home");
        match round {
            0 => env.write(&home, ""),
            _ => symlink(env.path().join("nowhere"), &home).expect("a link"),
        }
        for look in 0..2 {
            up.await_mend(2 * round + look);
        }
        let skipped = format!("{}` is not a profile: {reason}", home.display());
        hermes_tests::doctor::finds(env, "profiles", severity, &[&skipped]);
        env.hermes(["doctor", "--fix"]).run();
        let boot = env.hermes(["boot"]).run();
        assert!(boot.stderr.contains(reason), "{boot}");
        assert_eq!(env.hermes(["gateway", "status", "--all"]).run().code(), Some(code), "{reason}");
        assert!(is_alive(gateway) && env.slot("a").exists(), "{reason}: {}", up.log());
        fs::remove_file(&home).expect("it is there");
        fs::rename(&away, &home).expect("the home");
        assert_eq!(pid(&eventually("its status can be read", is_up)), gateway);
    }
    // Now it is gone.
    fs::rename(&home, &away).expect("a home");
    eventually("its slot is removed", || (!env.slot("a").exists()).then_some(()));
    assert!(!is_alive(gateway));
}
