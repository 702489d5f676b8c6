//! The commands as people type them: the short forms, and hints for the words of other programs.

use hermes_tests::{Svscan, TestEnv, Up, eventually, pid};

#[test]
fn the_short_forms_are_the_gateway_commands() {
    let tree = Svscan::start();
    let env = &tree.env;
    env.profile_running("coder", "echo hello; exec sleep 600");
    env.hermes(["start", "coder"]).ok();
    let first = pid(&tree.status("coder"));
    eventually("it has logged", || {
        let logs = env.hermes(["logs", "coder"]).run();
        logs.stdout.ends_with("  hello\n").then_some(())
    });
    for line in ["ps", "status"] {
        let short = env.hermes([line]).run();
        assert!(short.stdout.contains("\ncoder"), "{short}");
    }
    assert_eq!(env.hermes(["ps", "--json"]).ok().stdout.matches("\"profile\"").count(), 1);
    env.hermes(["restart", "coder"]).ok();
    assert_ne!(pid(&tree.status("coder")), first);
    env.hermes(["stop", "coder"]).ok();
    assert_eq!(tree.status("coder")["state"], "down");
    env.hermes(["status", "coder"]).fails_with(3);
}

#[test]
fn down_ends_the_tree() {
    let up = Up::start_in(TestEnv::new());
    up.env.hermes(["down"]).ok();
    up.env.hermes(["status", "default"]).fails_with(5);
}

#[test]
fn status_without_a_name_is_of_all() {
    let tree = Svscan::start();
    let env = &tree.env;
    env.profile_running("one", "exec sleep 600");
    env.profile_running("two", "exec sleep 600");
    env.hermes(["start", "one"]).ok();
    let all = env.hermes(["status"]).ok();
    for name in ["default", "one", "two"] {
        assert!(all.stdout.lines().any(|line| line.starts_with(name)), "{all}");
    }
    // `profile use` chooses for the commands that change a gateway.
    env.hermes(["profile", "use", "one"]).ok();
    assert_eq!(env.hermes(["status"]).ok().stdout.lines().count(), 4);
    // A gateway asks for itself.
    let home = env.profile("one");
    let own = env.hermes(["status"]).env("HERMES_HOME", home.to_str().expect("it is UTF-8")).ok();
    assert!(own.stdout.starts_with("profile    one\n"), "{own}");
    assert!(
        env.hermes(["-p", "two", "status"]).fails_with(3).stdout.starts_with("profile    two\n")
    );
    // A wanted one that is down counts as in `status --all`.
    env.write(&env.profile("two").join("gateway.intent"), "running\n");
    env.hermes(["status"]).fails_with(1);
}

#[test]
fn the_words_of_other_programs_get_the_command() {
    let env = TestEnv::new();
    for (line, expected) in [
        ("ls", "type `hermes ps`, or `hermes profile list`"),
        ("rm coder", "type `hermes profile delete NAME`"),
        ("tail coder", "type `hermes logs NAME --follow`"),
        (
            "enable coder",
            "type `hermes start NAME`, which also starts it after a restart of the machine",
        ),
        ("gateway enable coder", "type `hermes start NAME`"),
        ("describe coder", "type `hermes status NAME`"),
        ("profile rm coder", "type `hermes profile delete NAME`"),
        ("-p coder gateway ls", "type `hermes gateway list`"),
        ("monit", "type `hermes top`"),
        ("enable", "`hermes stop NAME` ends that\n"),
    ] {
        let refused = env.hermes(line.split(' ')).fails_with(2);
        assert!(refused.stderr.contains(expected), "{refused}");
    }
    let ours = env.hermesctl(["ls"]).fails_with(2);
    assert!(ours.stderr.contains("type `hermesctl ps`"), "{ours}");
    // What nobody types gets the nearest command, as before.
    let near = env.hermes(["gateway", "statsu"]).fails_with(2);
    assert!(near.stderr.contains("'status'"), "{near}");
}

#[test]
fn help_has_topics() {
    let env = TestEnv::new();
    for (topic, expected) in [
        ("states", "  parked        does not run, because another start would fail, too\n"),
        ("exit-codes", "  6   the deadline passed; the operation continues\n"),
        ("environment", "  HERMES_SCANDIR  "),
    ] {
        let text = env.hermes(["help", topic]).ok();
        assert!(text.stdout.contains(expected), "{text}");
        assert_eq!(text.stderr, "");
    }
    assert!(env.hermes(["help", "status"]).ok().stdout.contains("Usage: hermes status"));
}
