//! `hermes adopt`: gateways that the Python agent's own command runs become supervised, and run as before again.

use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;
use std::thread;

use hermes_tests::agent::{Agent, TIMEOUT, Unsupervised};
use hermes_tests::{TestEnv, is_alive, kill, pid, within};
use serde_json::json;

const ALL: [&str; 4] = ["default", "alpha", "beta", "gamma"];

/// The first lines of a process's messages, until one contains `text`.
fn read_until(stderr: &mut impl Read, text: &str) {
    let mut read = Vec::new();
    while !String::from_utf8_lossy(&read).contains(text) {
        let mut byte = [0];
        assert_eq!(
            stderr.read(&mut byte).expect("a pipe"),
            1,
            "{}",
            String::from_utf8_lossy(&read)
        );
        read.push(byte[0]);
    }
}

#[test]
fn one_command_has_all_supervised_and_another_puts_them_back() {
    let running = Unsupervised::start(Agent::installed(), &ALL);
    let env = &running.env;
    let before = running.files();
    let plan = running.hermes(["adopt", "--dry-run"]).ok();
    for name in ALL {
        assert!(plan.stdout.contains(&format!("-p {name} gateway run")), "{plan}");
    }
    assert!(!env.home().join("hermes-adopted").exists(), "a dry run writes nothing");

    // No tree runs: it starts one.
    running.hermes(["adopt"]).ok();
    running.all_serve();
    for name in ALL {
        let status = running.status(name);
        assert_eq!((&status["state"], &status["ready"]), (&json!("up"), &json!(true)), "{status}");
        assert_eq!(running.lock_holder(name), Some(pid(&status)), "it is the only gateway");
    }
    let journal = env.home().join("hermes-adopted/journal.json");
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &fs::metadata(journal).expect("a journal").permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
    let again = running.hermes(["adopt"]).ok();
    assert!(again.stderr.contains("nothing to adopt"), "{again}");

    let first = pid(&running.status("alpha"));
    kill(first);
    within(TIMEOUT, "it is back", || {
        let status = running.status("alpha");
        (status["ready"] == true && pid(&status) != first).then_some(())
    });
    assert_eq!(running.agent.served(running.ports["alpha"]), "alpha");

    running.hermes(["adopt", "--undo"]).ok();
    running.run_as_before();
    assert_eq!(running.files(), before, "nobody wrote them");
    let told = env.hermes(["gateway", "status", "--all"]).fails_with(5).stderr;
    for name in ALL {
        assert!(told.contains(&format!("`{name}` is foreign: process ")), "{told}");
    }
    assert!(told.contains("hint: `hermes adopt default alpha beta gamma` has"), "{told}");
}

#[test]
fn a_killed_adoption_goes_on_or_is_put_back() {
    let running = Unsupervised::start(Agent::installed(), &["alpha", "beta"]);
    let before = running.files();
    let kill_between = || {
        let mut command = running.env.command((running.env.program)());
        command.args(["adopt", "--timeout", "180"]).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut adopt = command.spawn().expect("hermes runs");
        let mut stderr = adopt.stderr.take().expect("a pipe");
        read_until(&mut stderr, "`alpha` is adopted");
        read_until(&mut stderr, "`beta`: stopping process");
        adopt.kill().expect("a child");
        adopt.wait().expect("a child");
    };
    kill_between();
    running.hermes(["adopt", "--undo"]).ok();
    running.run_as_before();
    assert_eq!(running.files(), before);

    kill_between();
    running.hermes(["adopt"]).ok();
    running.all_serve();
    for name in ["alpha", "beta"] {
        assert_eq!(running.status(name)["state"], "up");
    }
    running.hermes(["adopt", "--undo"]).ok();
    running.run_as_before();
    assert_eq!(running.files(), before);
}

#[test]
fn if_one_fails_all_run_as_before() {
    let running = Unsupervised::start(Agent::installed(), &["alpha", "beta"]);
    let (env, before) = (&running.env, running.files());
    // The program that would run `beta` can't serve.
    let broken = env.path().join("broken");
    env.write_program(&broken, "#!/bin/sh\nexit 3\n");
    let config = env.profile("beta").join("config.yaml");
    env.write(&config, &format!("gateway: {{program: {}}}\n", broken.display()));
    let failed = running.env.hermes(["adopt", "--timeout", "60"]).fails_with(1);
    let error = &failed.stderr;
    assert!(error.contains("failed to adopt the gateway of `beta`"), "{failed}");
    assert!(error.contains("it died (exit 3)"), "{failed}");
    assert!(error.contains("hint: every gateway runs as before"), "{failed}");
    fs::remove_file(&config).expect("a file");
    running.run_as_before();
    assert_eq!(running.files(), before);
}

#[test]
fn a_port_that_a_stranger_takes_meanwhile_puts_all_back() {
    let running = Unsupervised::start(Agent::installed(), &["alpha", "beta"]);
    let (before, port) = (running.files(), running.ports["beta"]);
    // Takes the port the moment that the former gateway of `beta` no longer listens.
    let stranger = thread::spawn(move || {
        loop {
            match TcpListener::bind(("127.0.0.1", port)) {
                Ok(listener) => return listener,
                Err(_) => thread::yield_now(),
            }
        }
    });
    let mut command = running.env.command((running.env.program)());
    command.args(["adopt", "--timeout", "60"]).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut adopt = command.spawn().expect("hermes runs");
    let mut stderr = adopt.stderr.take().expect("a pipe");
    read_until(&mut stderr, "`beta` was not adopted; putting everything back");
    // The former gateway serves again only if it can have its port.
    drop(stranger.join().expect("a listener"));
    let mut error = String::new();
    stderr.read_to_string(&mut error).expect("a pipe");
    assert_eq!(adopt.wait().expect("a child").code(), Some(1), "{error}");
    assert!(error.contains("error: failed to adopt the gateway of `beta`"), "{error}");
    assert!(error.contains(&format!("port {port} at 127.0.0.1 is in use")), "{error}");
    assert!(error.contains("hint: every gateway runs as before"), "{error}");
    running.run_as_before();
    assert_eq!(running.files(), before);
    // Nor does anything come back later.
    running.env.hermes(["gateway", "status", "beta"]).fails_with(5);
}

#[test]
fn what_only_the_shell_gave_it_is_no_way_to_run_it() {
    let mut running = Unsupervised::start(Agent::installed(), &[]);
    running.agent.create(&running.env, "alpha");
    running.launch("alpha", &[("TELEGRAM_BOT_TOKEN", "secret-value")]);
    within(TIMEOUT, "it runs", || running.lock_holder("alpha"));
    let holder = running.lock_holder("alpha").expect("it runs");
    let refused = running.hermes(["adopt", "alpha"]).fails_with(1).stderr;
    assert!(refused.contains("put TELEGRAM_BOT_TOKEN into"), "{refused}");
    assert!(!refused.contains("secret-value"), "{refused}");
    assert!(is_alive(holder) && !running.env.home().join("hermes-adopted").exists());

    // Without an API server it counts as started when it has stayed up.
    let dotenv = running.home("alpha").join(".env");
    let text = fs::read_to_string(&dotenv).expect("the agent made it");
    running.env.write(&dotenv, &format!("{text}TELEGRAM_BOT_TOKEN=\n"));
    let unit = running.env.path().join(".config/systemd/user/hermes-gateway-alpha.service");
    make(&running.env, &unit, &running.home("alpha"));
    running.hermes(["adopt", "alpha"]).ok();
    assert_eq!(running.status("alpha")["state"], "up");
    assert!(!is_alive(holder) && !unit.exists(), "its unit was put aside");
    // It needs no tree.
    running.env.hermes(["down"]).ok();
    running.hermes(["adopt", "--undo"]).ok();
    assert!(running.lock_holder("alpha").is_some() && unit.exists());
}

/// Writes a unit of the agent's for `home`.
fn make(env: &TestEnv, unit: &Path, home: &Path) {
    for directory in unit.ancestors().skip(1).take(3).collect::<Vec<_>>().into_iter().rev() {
        env.make_directory(directory);
    }
    env.write(unit, &format!("[Service]\nExecStart=python3 -m hermes_cli.main gateway run\nEnvironment=\"HERMES_HOME={}\"\n", home.display()));
}
