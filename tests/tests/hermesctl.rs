//! `hermesctl` is `hermes` under a name that no other program has.

use hermes_tests::{Outcome, TestEnv, alone};

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
    let hermesctl = |line: &str| env.hermesctl(line.split(' ')).env_remove("HERMES_SCANDIR");
    named(&hermesctl("profile create b").ok());
    named(&hermesctl("profile show nope").fails_with(4));
    named(&hermesctl("profile show nope --json").fails_with(4));
    named(&hermesctl("doctor").run());
    named(&hermesctl("doctor --json").run());
    named(&hermesctl("nope").fails_with(2));
    let ours = alone(&env, ["profile", "show", "nope"]).fails_with(4);
    assert!(ours.stderr.contains("`hermes profile list`"), "{ours}");
}

#[test]
fn completion_is_for_the_name_that_was_called() {
    let env = TestEnv::new();
    for (shell, expected) in
        [("bash", "_clap_complete_hermesctl()"), ("fish", "--command hermesctl ")]
    {
        let script = env.hermesctl(["completions", shell]).ok();
        assert!(script.stdout.contains(expected), "{script}");
    }
}
