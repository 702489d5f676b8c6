//! The error of a start names the last line that the gateway printed since.

use hermes_tests::{Outcome, Svscan, TestEnv};

/// The line of the error that names the gateway's last line.
fn last_line(outcome: &Outcome) -> Option<String> {
    let named = |line: &str| line.trim().strip_prefix("its last line: ").map(str::to_owned);
    outcome.stderr.lines().find_map(named)
}

#[test]
fn the_last_line_of_a_gateway_that_dies_is_in_the_error() {
    let tree = Svscan::start();
    let env = &tree.env;
    let script = "echo Traceback: >&2; printf 'No module named foo\\n\\n' >&2; exit 1";
    env.profile_running("coder", script);
    let error = env.hermes(["start", "coder"]).fails_with(1);
    let lines: Vec<_> = error.stderr.lines().collect();
    let [_, cause, last, hint] = lines.as_slice() else { panic!("{error}") };
    assert!(cause.contains("it died (exit 1)"), "{error}");
    assert_eq!(*last, "  its last line: `No module named foo`");
    assert!(hint.ends_with("`hermes gateway logs coder` shows its output"), "{error}");
    let json = env.hermes(["restart", "coder", "--json"]).fails_with(1).json();
    assert_eq!(json["causes"][1], "its last line: `No module named foo`", "{json}");
}

#[test]
fn the_last_line_of_a_gateway_that_is_not_ready_in_time_is_in_the_error() {
    let tree = Svscan::start();
    let env = &tree.env;
    let port = env.profile_serving("slow");
    let url = format!("http://127.0.0.1:{port}/health");
    let config = format!(
        "gateway:\n  port: {port}\n  ready_url: {url}\n  \
         command: [sh, -c, 'printf \"loading %05000d\" 7; exec sleep 600']\n"
    );
    env.write(&env.profile("slow").join("config.yaml"), &config);
    let error = env.hermes(["--timeout", "1", "start", "slow"]).fails_with(6);
    // s6-log gets no newline, so there is no whole line yet.
    assert_eq!(last_line(&error), None, "{error}");
    let whole = config.replace("%05000d", "%05000d\\n");
    env.write(&env.profile("slow").join("config.yaml"), &whole);
    let error = env.hermes(["--timeout", "1", "restart", "slow"]).fails_with(6);
    let cut = last_line(&error).unwrap_or_else(|| panic!("{error}\n{:?}", env.logged("slow")));
    assert!(cut.starts_with("`loading 000") && cut.ends_with("0…`"), "{cut}");
    assert!(cut.len() < 400, "it is cut: {cut}");
}

#[test]
fn a_line_of_an_earlier_run_is_not_named() {
    let mut env = TestEnv::new();
    env.faster = 50;
    let tree = Svscan::start_with(env, &[]);
    let env = &tree.env;
    let silent = env.profile("coder").join("silent");
    let script = format!("test -e {} || echo once; exit 1", silent.display());
    env.profile_running("coder", &script);
    let error = env.hermes(["start", "coder"]).fails_with(1);
    assert_eq!(last_line(&error).as_deref(), Some("`once`"), "{error}");
    env.hermes(["stop", "coder"]).ok();
    env.write(&silent, "");
    let error = env.hermes(["start", "coder"]).fails_with(1);
    assert_eq!(last_line(&error), None, "{error}");
    // The program's own reason is enough.
    env.write(&env.profile("coder").join("config.yaml"), "gateway: {port: x}");
    let error = env.hermes(["start", "coder"]).run();
    assert_eq!(last_line(&error), None, "{error}");
}
