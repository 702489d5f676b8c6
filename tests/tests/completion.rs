//! Completion in real shells: the commands, the options and the names of profiles, and nothing that is hidden.

use std::process::Command;

use hermes_tests::{Hermes, TestEnv};

/// What bash offers for the last of `words`, with the script of `hermes completions bash`.
fn offered(env: &TestEnv, words: &[&str]) -> Vec<String> {
    let script = env.path().join("completions");
    env.write(&script, &env.hermes(["completions", "bash"]).ok().stdout);
    let line = format!(
        ". {}; COMP_WORDS=({}) COMP_CWORD={} COMP_TYPE=9; _clap_complete_hermes hermes '{}' x; \
         printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        script.display(),
        words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" "),
        words.len() - 1,
        words.last().expect("a word"),
    );
    let mut bash = env.command("bash");
    bash.args(["-c", &line]);
    let offered = Hermes::new(bash).ok().stdout;
    offered.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
}

fn with_profiles() -> TestEnv {
    let env = TestEnv::new();
    for name in ["coder", "cook", "other"] {
        env.profile_for_later(name, "exec sleep 600", "stopped");
    }
    env
}

#[test]
fn commands_and_profiles_are_offered() {
    let env = with_profiles();
    for (words, expected) in [
        (&["hermes", "profile", "cr"][..], &["create"][..]),
        (&["hermes", "gateway", "start", "co"], &["coder", "cook"]),
        (&["hermes", "gateway", "start", "coder", "o"], &["other"]),
        (&["hermes", "restart", "co"], &["coder", "cook"]),
        (&["hermes", "logs", "o"], &["other"]),
        (&["hermes", "profile", "delete", "oth"], &["other"]),
        (&["hermes", "-p", "co"], &["coder", "cook"]),
        (&["hermes", "profile", "create", "co"], &[]),
        (&["hermes", "gateway", "start", "nobody"], &[]),
    ] {
        assert_eq!(offered(&env, words), expected, "{words:?}");
    }
}

#[test]
fn nothing_hidden_is_offered() {
    let env = with_profiles();
    for words in [
        &["hermes", "gateway", "wan"][..],
        &["hermes", "gateway", "after"],
        &["hermes", "gateway", "await"],
        &["hermes", "up", "--become"],
        &["hermes", "up", "--session"],
        &["hermes", "gateway", "start", "--launch"],
    ] {
        assert_eq!(offered(&env, words), [""; 0], "{words:?}");
    }
}

#[test]
fn every_shell_has_a_script_that_asks_the_program() {
    let env = TestEnv::new();
    for (shell, register) in [
        ("bash", "complete -"),
        ("elvish", "edit:completion:arg-completer"),
        ("fish", "complete --"),
        ("powershell", "Register-ArgumentCompleter"),
        ("zsh", "#compdef hermes"),
    ] {
        let script = env.hermes(["completions", shell]).ok();
        assert!(script.stdout.contains(register), "{script}");
        assert_eq!(script.stderr, "");
    }
    let path = env.path().join("script");
    env.write(&path, &env.hermes(["completions", "bash"]).ok().stdout);
    let checked = Command::new("bash").arg("-n").arg(&path).output().expect("bash runs");
    assert!(checked.status.success() && checked.stderr.is_empty(), "{checked:?}");
}
