//! The hidden commands and notifications for a host's service manager, tested without one.

use std::os::unix::net::UnixDatagram;

use hermes_tests::{SOON, Svscan, TestEnv};

#[test]
fn only_the_launcher_notifies_systemd() {
    let env = TestEnv::new();
    let path = env.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    env.give(&path);
    socket.set_read_timeout(Some(SOON)).unwrap();
    let ready = || {
        let mut message = [0; 64];
        let length = socket.recv(&mut message).expect("a message in time");
        String::from_utf8(message[..length].to_vec()).unwrap()
    };
    let run = |name: &str| {
        let run = env.hermes(["-p", name, "gateway", "run"]).env_remove("HERMES_SCANDIR");
        run.env("NOTIFY_SOCKET", path.to_str().unwrap())
    };
    // A gateway that never reports readiness counts as ready once it starts.
    env.profile_for_later("quiet", "env", "stopped");
    let outcome = run("quiet").ok();
    assert_eq!(ready(), "READY=1\n");
    assert!(outcome.stdout.contains("HERMES_PROFILE=quiet"), "{outcome}");
    assert!(!outcome.stdout.contains("NOTIFY_SOCKET"), "{outcome}");
    // The built-in gateway notifies readiness itself; for another program, its `ready_url` is polled.
    let port = hermes_tests::free_port();
    env.profile_for_later("inner", "", "stopped");
    env.write(&env.profile("inner").join("config.yaml"), &format!("gateway:\n  port: {port}\n"));
    let (home, hermes) = (env.home(), hermes_tests::hermes_program());
    let inner = format!(
        "env -i HERMES_HOME={} NOTIFY_SOCKET={} {} -p inner gateway run </dev/null",
        home.display(),
        path.display(),
        hermes.display()
    );
    env.profile_for_later("late", &inner, "stopped");
    let config = env.profile("late").join("config.yaml");
    let url = format!("  ready_url: http://127.0.0.1:{port}/health\n");
    let text = std::fs::read_to_string(&config).unwrap() + &url;
    env.write(&config, &text);
    let late = run("late").spawn();
    assert_eq!([ready(), ready()], ["READY=1\n", "READY=1\n"], "the built-in one, and the asker");
    env.end_processes();
    late.wait();
}

#[test]
fn a_unit_can_ask_for_the_intent() {
    let env = TestEnv::new();
    let wanted = |name: &str| env.hermes(["-p", name, "gateway", "wanted"]);
    env.profile_for_later("a", "true", "running\n");
    wanted("a").ok();
    env.write(&env.profile("a").join("gateway.intent"), "stopped\n");
    wanted("a").fails_with(1);
    env.write(&env.profile("a").join("gateway.intent"), "?");
    let outcome = wanted("a").fails_with(1);
    assert!(outcome.stderr.contains("neither `running` nor `stopped`"), "{outcome}");
    wanted("nobody").fails_with(1);
}

#[test]
fn install_under_s6_prints_a_hint() {
    let tree = Svscan::start();
    let env = &tree.env;
    env.profile_serving("coder");
    for (verb, other) in [("install", "register"), ("uninstall", "unregister")] {
        let outcome = env.hermes(["gateway", verb, "coder"]).fails_with(1);
        assert!(outcome.stderr.contains("s6 does not install gateways"), "{outcome}");
        assert!(outcome.stderr.contains(&format!("`hermes gateway {other} NAME`")), "{outcome}");
    }
    let outcome = env.hermes(["--system", "gateway", "status", "coder"]).fails_with(2);
    assert!(outcome.stderr.contains("but the backend is s6"), "{outcome}");
    let nothing = env.hermes(["gateway", "install", "coder"]).env_remove("HERMES_SCANDIR");
    nothing.fails_with(5);
}
