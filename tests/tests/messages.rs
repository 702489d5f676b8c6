//! Messages say what is wrong and what mends it: the kinds that once misled.

use std::fs;
use std::os::unix::fs::symlink;

use hermes_tests::{Dashboard, TestEnv, Up, alone, chmod, is_one_clear_error};
use rustix::process::Signal;
use serde_json::json;

/// With `--json` an invalid command line is an object like every other error.
#[test]
fn usage_errors_are_objects_too() {
    let env = TestEnv::new();
    for (line, error) in [
        ("gateway nope --json", "unrecognized subcommand 'nope'"),
        (
            "--json profile port a x",
            "invalid value 'x' for '[PORT]': not a whole number from 1 to 65535",
        ),
        (
            "profile create A --json",
            "invalid value 'A' for '<NAME>': invalid profile name `A`: it must be lower case",
        ),
    ] {
        let outcome = env.hermes(line.split(' ')).fails_with(2);
        let told = json!({ "error": error, "causes": [], "hint": null, "code": 2 });
        assert_eq!(outcome.json(), told, "{line}");
        assert!(outcome.stderr.starts_with(&format!("error: {error}\n")), "{outcome}");
    }
    assert!(env.hermes(["boot", "--help", "--json"]).ok().stdout.starts_with("Bring "));
}

/// Who reads the lines of a log as objects gets no other object.
#[test]
fn the_error_of_a_log_is_no_line() {
    let env = TestEnv::new();
    for options in [&["--json"][..], &["--json", "-f"], &["--json", "-n", "1"]] {
        let outcome = alone(&env, [&["gateway", "logs", "nobody"], options].concat()).fails_with(4);
        assert_eq!(outcome.stdout, "", "{outcome}");
        is_one_clear_error(&outcome);
    }
}

/// YAML reads a placeholder without quotes as a mapping, wherever one may stand.
#[test]
fn an_unquoted_placeholder_is_recognized() {
    let env = TestEnv::new();
    alone(&env, ["profile", "create", "a"]).ok();
    for (config, name, line) in [
        ("command: [agent, {port}]", "port", "line 2 column 21"),
        ("command:\n    - agent\n    - {home}", "home", "line 4 column 8"),
        ("env: {AT: {host}}", "host", "line 2 column 14"),
        ("env:\n    WHO: { profile }", "profile", "line 3 column 12"),
        ("host: {host}", "host", "line 2 column 10"),
    ] {
        env.write(&env.profile("a").join("config.yaml"), &format!("gateway:\n  {config}\n"));
        let outcome = alone(&env, ["gateway", "start", "--foreground", "-p", "a"]).fails_with(78);
        let told =
            format!("must be a string, but YAML reads `{{{name}}}` as a mapping: put it in quotes");
        assert!(outcome.stderr.contains(&told) && outcome.stderr.contains(line), "{outcome}");
    }
}

/// A port that is in use is named with its user.
#[test]
fn a_second_dashboard_names_the_first() {
    let env = TestEnv::new();
    let first = Dashboard::start(&env);
    let second = env.hermes(["dashboard", "--port", &first.port.to_string()]).fails_with(1);
    let holder = format!("{} (hermes)", first.pid());
    assert!(second.stderr.contains(&holder), "{second}");
    first.end(Signal::TERM);
}

/// A cause is not the same sentence again, and a hint is something that helps with this object.
#[test]
fn causes_and_hints_add_something() {
    let env = TestEnv::new();
    let absent = env.hermes(["profile", "import", "no-such-file"]).fails_with(1);
    assert!(absent.stderr.starts_with("error: failed to import `no-such-file`\n"), "{absent}");
    let down = env.hermes(["down"]).fails_with(5);
    assert!(!down.stderr.contains("hermes up"), "{down}");
    let without_s6 = alone(&env, ["doctor"]).env("PATH", "/nonexistent").fails_with(1);
    assert!(
        without_s6.stdout.contains("fix: install it with one of: apt install s6"),
        "{without_s6}"
    );
    // One machine without the program is one error, however many profiles there are.
    for name in ["a", "b", "c"] {
        alone(&env, ["profile", "create", name]).ok();
    }
    let status = ["gateway", "status", "--all"];
    let outcome = alone(&env, status).env("HERMES_BACKEND", "launchd").fails_with(5);
    is_one_clear_error(&outcome);
    assert_eq!(outcome.stderr.matches("launchctl").count(), 1, "{outcome}");
}

/// The hint of a command that a file or directory keeps from its work is a command, after which it works.
#[test]
fn the_command_of_a_hint_helps() {
    let env = TestEnv::new();
    alone(&env, ["profile", "create", "a"]).ok();
    let (home, profiles, a) = (env.home(), env.home().join("profiles"), env.profile("a"));
    let helps = |line: &str, code: i32| {
        let failed = alone(&env, line.split(' ')).fails_with(code);
        is_one_clear_error(&failed);
        assert!(!failed.stderr.contains(".hermes-"), "no temporary path: {failed}");
        let mut told: Vec<_> = failed.stderr.lines().map(str::trim).collect();
        let hint = told.pop().and_then(|line| line.strip_prefix("hint: `")).expect("a hint");
        let (command, _) = hint.split_once('`').expect("a command");
        env.shell(command).ok();
        assert!(told.windows(2).all(|two| !two[0].ends_with(two[1])), "{failed}");
        alone(&env, line.split(' ')).ok();
    };
    let config = a.join("config.yaml");
    for target in ["nowhere", "config.yaml"] {
        fs::remove_file(&config).expect("a file");
        symlink(target, &config).expect("a link");
        helps("profile port a 9001", 1);
    }
    fs::remove_file(&config).expect("a file");
    env.make_directory(&config);
    helps("profile port a 9002", 1);
    fs::remove_file(&config).expect("a file");
    for (closed, line) in [
        (&a, "profile port a 9003"),
        (&profiles, "profile create b"),
        (&profiles, "profile rename b c"),
        (&home, "profile use a"),
    ] {
        chmod(closed, 0o555);
        helps(line, 5);
    }
    // A file of this user's that is closed to writing is replaced.
    for file in [&config, &home.join("active_profile")] {
        chmod(file, 0o444);
    }
    alone(&env, ["profile", "port", "a", "9004"]).ok();
    alone(&env, ["profile", "use", "c"]).ok();
    symlink("nowhere", profiles.join("d")).expect("a link");
    env.give(&profiles.join("d"));
    let absent = alone(&env, ["profile", "show", "d"]).fails_with(4);
    assert!(absent.stderr.contains("is a link that leads nowhere"), "{absent}");
    assert!(absent.stderr.contains("hint: `rm "), "{absent}");
}

/// Where another tree has the gateways, no second one is proposed.
#[test]
fn a_home_that_has_a_tree_elsewhere_needs_no_other() {
    let up = Up::start();
    up.env.hermes(["profile", "create", "a"]).ok();
    let other = up.env.path().join("other");
    up.env.make_directory(&other);
    let start = up.env.hermes(["gateway", "start", "a"]);
    let outcome = start.env("HERMES_SCANDIR", &other.to_string_lossy()).fails_with(5);
    assert!(outcome.stderr.contains("another tree runs its gateways: s6-svscan"), "{outcome}");
    assert!(!outcome.stderr.contains("hermes up"), "{outcome}");
}
