//! `hermes profile alias`: a command of a profile's own, which follows the profile.

use hermes_tests::{Hermes, TestEnv, chmod};

/// Runs the alias `name` in this environment.
fn call<'a>(env: &TestEnv, name: &str, args: impl IntoIterator<Item = &'a str>) -> Hermes {
    let mut command = env.command(env.path().join(".local/bin").join(name));
    command.args(args).env_remove("HERMES_HOME");
    Hermes::new(command)
}

#[test]
fn an_alias_is_a_command_that_follows_its_profile() {
    let env = TestEnv::new();
    env.profile_for_later("coder", "exec sleep 600", "stopped");
    let bin = env.path().join(".local/bin");
    let made = env.hermes(["profile", "alias", "coder"]).ok();
    assert!(made.stderr.contains("is not in PATH"), "{made}");
    let shown = call(&env, "coder", ["profile", "show", "--json"]).ok().json();
    assert_eq!(shown["profile"], "coder");
    // Twice is once.
    env.hermes(["profile", "alias", "coder"]).ok();

    env.hermes(["profile", "rename", "coder", "writer"]).env_remove("HERMES_SCANDIR").ok();
    assert!(!bin.join("coder").exists());
    assert_eq!(
        call(&env, "writer", ["profile", "show", "--json"]).ok().json()["profile"],
        "writer"
    );
    env.hermes(["profile", "alias", "writer", "--remove"]).ok();
    assert!(!bin.join("writer").exists());
    env.hermes(["profile", "alias", "writer", "--remove"]).ok();
    env.hermes(["profile", "alias", "writer"]).ok();
    env.hermes(["profile", "delete", "writer", "-y"]).env_remove("HERMES_SCANDIR").ok();
    assert!(!bin.join("writer").exists());
}

#[test]
fn another_program_of_that_name_stays() {
    let env = TestEnv::new();
    for name in ["mine", "sleep"] {
        env.profile_for_later(name, "exec sleep 600", "stopped");
    }
    let mine = env.path().join(".local/bin/mine");
    env.make_directory(mine.parent().expect("a directory"));
    env.write(&mine, "#!/bin/sh\necho mine\n");
    chmod(&mine, 0o755);
    // A file of the user's, and a program in PATH.
    for name in ["mine", "sleep"] {
        let refused = env.hermes(["profile", "alias", name]).fails_with(1);
        assert!(refused.stderr.contains("is another program"), "{refused}");
        env.hermes(["profile", "alias", name, "--remove"]).ok();
    }
    env.hermes(["profile", "delete", "mine", "-y"]).env_remove("HERMES_SCANDIR").ok();
    assert_eq!(call(&env, "mine", [""; 0]).ok().stdout, "mine\n");
    env.hermes(["profile", "alias", "nobody"]).fails_with(4);
}
