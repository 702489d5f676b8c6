//! Readiness of the user's program, by `gateway.ready_url`.

use hermes_tests::{Svscan, eventually, hermes_program, kill, pid, processes_naming};

/// A gateway that answers only once a file exists: the built-in gateway of another profile.
fn slow(tree: &Svscan) {
    let env = &tree.env;
    let port = env.profile_serving("inner");
    let hermes = hermes_program().display();
    env.profile_running(
        "outer",
        &format!(
            "until [ -e {home}/go ]; do sleep 0.05; done; exec {hermes} -p inner gateway run",
            home = env.home().display()
        ),
    );
    let config = env.profile("outer").join("config.yaml");
    let text = std::fs::read_to_string(&config).expect("a config");
    env.write(
        &config,
        &format!("{text}  port: {port}\n  ready_url: 'http://127.0.0.1:{{port}}/health'\n"),
    );
}

fn askers(tree: &Svscan) -> Vec<u64> {
    let home = tree.env.home().display().to_string();
    let asks = |pid: &u64| {
        let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.contains("await-ready")
    };
    processes_naming(&home).into_iter().filter(asks).collect()
}

/// Waits for the prober, which may start after the timeout of the command.
#[track_caller]
fn one_asks(tree: &Svscan) {
    eventually("one asks", || (askers(tree).len() == 1).then_some(()));
}

#[test]
fn readiness_follows_the_address_after_a_death() {
    let tree = Svscan::start();
    slow(&tree);
    let env = &tree.env;
    env.hermes(["gateway", "start", "outer", "--timeout", "2"]).fails_with(6);
    one_asks(&tree);
    let status = tree.status("outer");
    assert_eq!((&status["state"], &status["ready"]), (&"starting".into(), &false.into()));
    env.write(&env.home().join("go"), "");
    env.hermes(["gateway", "start", "outer"]).ok();
    let first = pid(&tree.status("outer"));
    assert_eq!(tree.status("outer")["ready"], true);
    eventually("nobody asks any more", || askers(&tree).is_empty().then_some(()));
    kill(first);
    eventually("it is ready again", || {
        let status = tree.status("outer");
        (status["ready"] == true && pid(&status) != first).then_some(())
    });
}

#[test]
fn the_prober_ends_with_the_gateway() {
    let tree = Svscan::start();
    slow(&tree);
    tree.env.hermes(["gateway", "start", "outer", "--timeout", "1"]).fails_with(6);
    one_asks(&tree);
    tree.env.hermes(["gateway", "stop", "outer"]).ok();
    eventually("nobody asks any more", || askers(&tree).is_empty().then_some(()));
}

#[test]
fn an_unusable_ready_url_parks() {
    let tree = Svscan::start();
    tree.env.profile_running("outer", "exec sleep 600");
    let config = tree.env.profile("outer").join("config.yaml");
    let text = std::fs::read_to_string(&config).unwrap();
    tree.env.write(&config, &format!("{text}  ready_url: https://127.0.0.1/health\n"));
    let outcome = tree.env.hermes(["gateway", "start", "outer"]).fails_with(1);
    assert!(outcome.stderr.contains("it is parked: invalid `gateway.ready_url`"), "{outcome}");
}
