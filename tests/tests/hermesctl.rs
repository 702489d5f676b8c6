//! `hermesctl` is `hermes` under a name that no other program has.

use std::os::unix::fs::symlink;

use hermes_tests::{Hermes, Outcome, TestEnv, alone, hermes_program};

/// The program under that name, without a tree.
fn hermesctl<'a>(env: &TestEnv, args: impl IntoIterator<Item = &'a str>) -> Hermes {
    let program = env.path().join("hermesctl");
    if !program.exists() {
        symlink(hermes_program(), &program).expect("a link");
    }
    let mut command = env.command(program);
    command.args(args).env_remove("HERMES_SCANDIR");
    Hermes::new(command)
}

#[test]
fn hints_use_the_name_that_was_called() {
    let env = TestEnv::new();
    alone(&env, ["profile", "create", "a"]).ok();
    let named = |outcome: &Outcome| {
        let text = format!("{}{}", outcome.stdout, outcome.stderr);
        assert!(text.contains("hermesctl "), "{outcome}");
        assert!(!text.contains("`hermes "), "{outcome}");
        assert!(!text.contains("\"hermes "), "{outcome}");
    };
    named(&hermesctl(&env, ["profile", "create", "b"]).ok());
    named(&hermesctl(&env, ["profile", "show", "nope"]).fails_with(4));
    named(&hermesctl(&env, ["profile", "show", "nope", "--json"]).fails_with(4));
    named(&hermesctl(&env, ["doctor"]).run());
    named(&hermesctl(&env, ["doctor", "--json"]).run());
    named(&hermesctl(&env, ["nope"]).fails_with(2));
    let ours = alone(&env, ["profile", "show", "nope"]).fails_with(4);
    assert!(ours.stderr.contains("`hermes profile list`"), "{ours}");
}

#[test]
fn completion_is_for_the_name_that_was_called() {
    let env = TestEnv::new();
    for (shell, expected) in [("bash", "_hermesctl()"), ("fish", "complete -c hermesctl ")] {
        let script = hermesctl(&env, ["completions", shell]).ok();
        assert!(script.stdout.contains(expected), "{script}");
    }
}
