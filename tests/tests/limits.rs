//! Commands at the limits of their user: no further process, thread or descriptor.

use hermes_tests::{Dashboard, Hermes, Outcome, Svscan, TestEnv, eventually};

/// `hermes` with a resource limit that `prlimit` sets, soft and hard. A plain user's processes alone are
/// counted for `nproc`.
fn limited<'a>(env: &TestEnv, limit: &str, args: impl IntoIterator<Item = &'a str>) -> Hermes {
    let mut command = env.command("prlimit");
    command.arg(format!("--{limit}")).arg((env.program)()).args(args);
    Hermes::new(command)
}

/// An error is clear if it has no panic, and the exit code of one of our errors.
#[track_caller]
fn is_no_panic(outcome: &Outcome) {
    assert!(!outcome.stderr.contains("panicked"), "{outcome}");
    // 127: the dynamic linker had no descriptor for the C library.
    assert!(matches!(outcome.code(), Some(0..=6 | 78 | 127)), "{outcome}");
}

/// A tree with more profiles than one thread handles, one of which runs.
fn many_profiles() -> Svscan {
    let tree = Svscan::start();
    for number in 0..70 {
        let home = tree.env.profile(&format!("idle{number}"));
        tree.env.make_directory(&home);
        tree.env.write(&home.join("config.yaml"), "");
    }
    tree.env.give(&tree.env.home().join("profiles"));
    tree.env.profile_running("coder", "exec sleep 600");
    tree.env.profile_running("other", "exec sleep 600");
    tree
}

#[test]
fn without_another_process_commands_work() {
    hermes_tests::require_root!();
    let tree = many_profiles();
    let env = &tree.env;
    env.hermes(["gateway", "start", "coder", "other"]).ok();
    // How many processes the user has changes with the other tests, so that some of these limits leave room
    // for a few threads.
    for limit in [1, 8, 16, 24, 32, 64] {
        let limit = format!("nproc={limit}");
        limited(env, &limit, ["gateway", "stop", "coder", "other"]).ok();
        assert_eq!(tree.status("coder")["state"], "down", "{limit}");
        limited(env, &limit, ["gateway", "status", "--all"]).ok();
        let profiles = limited(env, &limit, ["profile", "list"]).ok();
        assert!(profiles.stdout.lines().count() > 70, "{profiles}");
        limited(env, &limit, ["gateway", "start", "coder", "other", "--timeout", "60"]).ok();
        limited(env, &limit, ["boot"]).ok();
        eventually("both run", || (tree.status("other")["state"] == "up").then_some(()));
    }
}

#[test]
fn no_limit_makes_a_command_panic() {
    let tree = many_profiles();
    let env = &tree.env;
    env.hermes(["gateway", "start", "coder", "other"]).ok();
    let commands: [&[&str]; 9] = [
        &["gateway", "status", "--all"],
        &["gateway", "status", "coder", "--json"],
        &["gateway", "logs", "coder"],
        &["gateway", "logs", "coder", "-f", "--timeout", "0"],
        &["doctor"],
        &["profile", "list"],
        &["boot"],
        &["gateway", "restart", "other", "--timeout", "60"],
        &["dashboard", "--port", "1"],
    ];
    for descriptors in 3..24 {
        let limit = format!("nofile={descriptors}");
        for command in commands {
            is_no_panic(&limited(env, &limit, command.iter().copied()).run());
        }
    }
    limited(env, "nofile=24", ["gateway", "stop", "coder", "other"]).ok();
    assert_eq!(tree.status("coder")["state"], "down");
}

/// Sets the limit of a running program's processes, which are its threads, too.
fn set_nproc(env: &TestEnv, pid: u64, limit: &str) {
    let mut command = env.command("prlimit");
    command.args(["--pid", &pid.to_string(), &format!("--nproc={limit}:")]);
    Hermes::new(command).ok();
}

#[test]
fn without_another_thread_the_dashboard_answers() {
    hermes_tests::require_root!();
    let tree = Svscan::start();
    // Open for writing, too: the end of a writer is not the end of the input.
    tree.env.profile_running(
        "coder",
        "exec 3<>fifo; echo begun; while read -r line <&3; do echo $line; done",
    );
    tree.env.shell("mkfifo -m 666 home/fifo").ok();
    tree.env.hermes(["gateway", "start", "coder"]).ok();
    let dashboard = Dashboard::start(&tree.env);
    let follow = "/api/v1/gateways/coder/log?follow";
    let mut log = dashboard.events(follow);
    let has = |text: &'static str| {
        move |_: &str, data: &serde_json::Value| data.to_string().contains(text)
    };
    log.until(has("begun"));
    set_nproc(&tree.env, dashboard.pid(), "1");
    let one = "/api/v1/gateways/coder";
    for (method, path) in [
        ("GET", "/api/v1/gateways"),
        ("GET", one),
        ("GET", "/api/v1/gateways/coder/log"),
        ("GET", "/metrics"),
        ("POST", "/api/v1/gateways/coder/restart"),
    ] {
        let answer = dashboard.ask(method, path, None);
        assert_eq!(answer.status, 503, "{path}: {answer:?}");
        let body = answer.json();
        assert_eq!(body["error"], "failed to start a thread for the request", "{body}");
        assert!(body["hint"].as_str().is_some_and(|hint| hint.contains("ulimit -u")), "{body}");
    }
    // A stream that has begun goes on, and the page needs no thread.
    tree.env.shell("echo later >home/fifo").ok();
    log.until(has("later"));
    assert_eq!(dashboard.ask("GET", "/", None).status, 200);
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nproc).maximum;
    let limit = limit.map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string());
    set_nproc(&tree.env, dashboard.pid(), &limit);
    assert_eq!(dashboard.ask("GET", one, None).json()["state"], "up");
    let output = dashboard.output();
    assert!(!output.contains("panicked"), "{output}");
}

#[test]
fn a_dashboard_that_can_start_no_thread_says_so() {
    hermes_tests::require_root!();
    let tree = Svscan::start();
    for host in ["127.0.0.1", "localhost"] {
        let args = ["dashboard", "--port", &hermes_tests::free_port().to_string(), "--host", host]
            .map(str::to_owned);
        let outcome = limited(&tree.env, "nproc=1", args.iter().map(String::as_str)).fails_with(1);
        assert!(outcome.stderr.contains("failed to start the watcher thread"), "{outcome}");
        is_no_panic(&outcome);
    }
}

#[test]
fn without_another_thread_the_built_in_gateway_serves_a_name() {
    hermes_tests::require_root!();
    let tree = Svscan::start();
    let env = &tree.env;
    let port = env.profile_serving("coder");
    let config = format!("gateway: {{host: localhost, port: {port}}}\n");
    env.write(&env.profile("coder").join("config.yaml"), &config);
    let running = limited(env, "nproc=1", ["-p", "coder", "gateway", "run"]).stream();
    let url = format!("http://localhost:{port}/health");
    running.await_message("listens on localhost");
    let answer = hermes_tests::request("GET", &url, &[], None);
    assert_eq!(answer.json()["status"], "ok");
    assert!(!running.stderr().contains("panicked"), "{}", running.stderr());
}
