//! `hermes config edit`, and the lines that errors of a configuration quote.

use std::io::Write;
use std::path::PathBuf;
use std::process::Stdio;

use hermes_tests::{Hermes, TestEnv, Up, hermes_program, pid};
use std::fs;

const SLEEPS: &str = "gateway: {command: [sleep, \"600\"]}\n";
const RIGHT: &str = "gateway: {command: [sleep, \"601\"]}";
const OLD: &str = "gateway:\n  port: 9000\n";

/// A home with the profile `coder`.
fn with_coder() -> TestEnv {
    let env = TestEnv::new();
    let home = env.profile("coder");
    for directory in [env.home().join("profiles"), home.clone()] {
        env.make_directory(&directory);
    }
    env.write(&home.join("config.yaml"), OLD);
    env
}

/// `config edit NAME` with an editor that is a shell script; `$1` is the file. Copies are in `tmp`.
fn edit(env: &TestEnv, name: &str, script: &str) -> Hermes {
    let copies = env.path().join("tmp");
    env.make_directory(&copies);
    let edit = env.hermes(["config", "edit", name]).env("TMPDIR", &copies.to_string_lossy());
    // VISUAL comes first.
    edit.env("EDITOR", "false").env("VISUAL", &editor(env, script))
}

fn editor(env: &TestEnv, script: &str) -> String {
    let program = env.path().join("editor");
    env.write_program(&program, &format!("#!/bin/sh\n{script}\n"));
    program.to_string_lossy().into_owned()
}

fn written(env: &TestEnv) -> String {
    fs::read_to_string(env.profile("coder").join("config.yaml")).expect("a configuration")
}

/// The directories of copies that are left.
fn copies(env: &TestEnv) -> Vec<PathBuf> {
    let entries = fs::read_dir(env.path().join("tmp")).expect("a directory");
    entries.map(|entry| entry.expect("an entry").path()).collect()
}

#[test]
fn a_right_text_takes_the_files_place_and_nothing_is_left() {
    let env = with_coder();
    let editor = "stat -c %a \"$1\" \"${1%/*}\" >&2; sed -i s/9000/9001/ \"$1\"";
    let edited = edit(&env, "coder", editor).ok();
    assert_eq!(written(&env), OLD.replace("9000", "9001"));
    assert!(edited.stderr.contains("wrote `"), "{edited}");
    assert!(edited.stderr.contains("700\n"), "others can't read the copy: {edited}");
    let same = edit(&env, "coder", "true").ok();
    assert!(same.stderr.contains("was not changed"), "{same}");
    let json = edit(&env, "coder", "sed -i s/9001/9002/ \"$1\"").args(["--json"]).json();
    assert_eq!(json, serde_json::json!({ "profile": "coder", "changed": true }));
    assert_eq!(copies(&env), Vec::<PathBuf>::new());
}

#[test]
fn a_wrong_text_is_kept_apart_and_the_old_one_stays() {
    let env = with_coder();
    let refused = edit(&env, "coder", "sed -i s/9000/0/ \"$1\"").fails_with(1);
    assert_eq!(written(&env), OLD);
    assert!(refused.stdout.contains("config.yaml:2:9"), "{refused}");
    assert!(refused.stdout.contains("2 |   port: 0\n  |         ^\n"), "{refused}");
    let kept = copies(&env).pop().expect("a copy").join("config.yaml");
    assert_eq!(fs::read_to_string(&kept).expect("a text"), OLD.replace("9000", "0"));
    let hint = format!("hint: the edited text is in `{}`", kept.display());
    assert!(refused.stderr.contains(&hint), "{refused}");
}

#[test]
fn the_editors_end_and_the_changes_of_others_are_seen() {
    let env = with_coder();
    let failed = edit(&env, "coder", "echo x >\"$1\"; exit 3").fails_with(1);
    assert!(failed.stderr.contains("nothing was changed: the editor failed"), "{failed}");
    assert!(failed.stderr.contains("exit status: 3"), "{failed}");
    let config = env.profile("coder").join("config.yaml");
    let other = format!("echo '# other' >>'{}'; echo '# mine' >>\"$1\"", config.display());
    let refused = edit(&env, "coder", &other).fails_with(1);
    assert!(refused.stderr.contains("was changed while it was edited"), "{refused}");
    assert_eq!(written(&env), format!("{OLD}# other\n"));
    assert!(refused.stderr.contains("hint: the edited text is in `"), "{refused}");
}

/// What `default` shares with all is checked as it will be, not as it is.
#[test]
fn the_root_homes_own_keys_are_checked() {
    let env = with_coder();
    env.write(&env.home().join("config.yaml"), "model: x\n");
    for (text, problem) in [
        ("gateway: {defaults: {stop_timeout: 1}}", "`gateway.defaults.stop_timeout`"),
        ("notify: {command: []}", "`notify.command`"),
    ] {
        let refused = edit(&env, "default", &format!("echo '{text}' >\"$1\"")).fails_with(1);
        assert!(refused.stdout.contains(problem), "{refused}");
    }
}

/// On a terminal a mistake is edited again, and a gateway that runs is restarted if the user says so.
#[test]
fn a_terminal_is_asked() {
    let env = with_coder();
    env.write(&env.profile("coder").join("config.yaml"), SLEEPS);
    let up = Up::start_in(env);
    let env = &up.env;
    env.hermes(["gateway", "start", "coder"]).ok();
    let before = pid(&up.status("coder"));
    let first_wrong = format!(
        "if grep -q 600 \"$1\"; then echo 'gateway: [' >\"$1\"; else echo '{RIGHT}' >\"$1\"; fi"
    );
    let mut typed = env.command("script");
    let hermes = hermes_program();
    typed.args(["-qec", &format!("'{}' config edit coder", hermes.display()), "/dev/null"]);
    typed.env("VISUAL", editor(env, &first_wrong)).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut typed = typed.spawn().expect("script, of util-linux");
    typed.stdin.as_mut().expect("its input").write_all(b"e\ny\n").expect("typed");
    let typed = typed.wait_with_output().expect("its output");
    let shown = String::from_utf8_lossy(&typed.stdout);
    assert!(typed.status.success(), "{shown}");
    assert!(shown.contains("(e)dit it again, or (k)eep the old file?"), "{shown}");
    assert!(shown.contains("restart it now? [y/N]"), "{shown}");
    assert_eq!(written(env), format!("{RIGHT}\n"));
    assert_ne!(pid(&up.status("coder")), before);
}

#[test]
fn errors_quote_the_lines_that_they_are_about() {
    let env = with_coder();
    let home = env.profile("coder");
    env.write(&home.join("config.yaml"), "gateway:\n  kind: hermes-agent\n  port: 8650\n");
    env.write(&home.join(".env"), "API_SERVER_KEY=hush\nAPI_SERVER_PORT=8651\n");
    let checked = env.hermes(["config", "check", "coder"]).fails_with(1);
    for quoted in [".env:2:1", "2 | API_SERVER_PORT=8651", "config.yaml:3:9", "3 |   port: 8650"] {
        assert!(checked.stdout.contains(quoted), "{quoted}: {checked}");
    }
    assert!(!checked.stdout.contains("hush"), "{checked}");
    let shown = env.hermes(["config", "show", "coder"]).fails_with(1);
    assert!(shown.stderr.contains("3 |   port: 8650"), "{shown}");
}
