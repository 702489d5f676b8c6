//! The container's command: its arguments, its user, its exit code.

use hermes_tests::container::Start;

#[test]
fn the_commands_exit_code_is_the_containers() {
    let outcome = Start::new().command(["sh", "-c", "exit 42"]).run();
    assert_eq!(outcome.code(), Some(42), "{outcome}");
}

#[test]
fn arguments_pass_through_as_they_are() {
    let script =
        r#"id -un; pwd; for a in "$@"; do echo "<$a>"; done; echo "$HOME ${PATH#/command:}""#;
    let command = ["sh", "-c", script, "sh", "a b", "", "$x", "\"'", "line\nbreak"];
    let options = ["--workdir", "/tmp", "--env", "PATH=/usr/local/bin:/usr/bin:/bin"];
    let outcome = Start::new().options(options).command(command).run();
    let expected = "hermes\n/tmp\n<a b>\n<>\n<$x>\n<\"'>\n<line\nbreak>\n\
                    /opt/data /usr/local/bin:/usr/bin:/bin\n";
    assert_eq!(outcome.stdout, expected, "{outcome}");
    assert_eq!(outcome.code(), Some(0), "{outcome}");
}

#[test]
fn a_command_of_hermes_needs_no_name_of_the_program() {
    let outcome = Start::new().command(["profile", "list"]).run();
    assert!(outcome.stdout.contains("default"), "{outcome}");
    assert_eq!(outcome.code(), Some(0), "{outcome}");
    let outcome = Start::new().command(["--help"]).run();
    assert!(outcome.stdout.contains("Usage: hermes"), "{outcome}");
    let outcome = Start::new().command(["hermesctl", "profile", "show", "nope"]).run();
    assert!(outcome.stderr.contains("`hermesctl profile list`"), "{outcome}");
    assert_eq!(outcome.code(), Some(4), "{outcome}");
    let outcome = Start::new().command(["agent", "doctor"]).run();
    assert!(outcome.stderr.contains("the Python agent was found nowhere"), "{outcome}");
    assert_eq!(outcome.code(), Some(2), "{outcome}");
}
