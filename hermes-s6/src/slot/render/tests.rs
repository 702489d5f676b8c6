//! Snapshots of the scripts, and tests that a real shell parses and quotes them as intended.

use std::process::{Command, Stdio};

use proptest::prelude::*;

use hermes_core::shell::check_variable;

use super::*;

/// s6-overlay's layout, and that of a Linux package.
fn layouts() -> [ScriptPrograms; 2] {
    let programs = |dir: &str, with_contenv: Option<&str>| {
        let s6 = S6Programs { dir: dir.into(), with_contenv: with_contenv.map(PathBuf::from) };
        ScriptPrograms::new(s6, "/usr/local/bin/hermes".as_ref())
    };
    [programs("/command", Some("/command/with-contenv")), programs("/usr/bin", None)]
}

fn render(programs: &ScriptPrograms, profile: &str, extra_env: &[(&str, &str)]) -> Scripts {
    let env = extra_env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    scripts(programs, &profile.parse().unwrap(), &env.collect()).unwrap()
}

const NASTY: [(&str, &str); 4] = [
    ("B_QUOTES", "it's \"quoted\" `id` $(id) $HOME \\"),
    ("A_LINES", "one\ntwo\n"),
    ("EMPTY", ""),
    ("Z_PLAIN", "https://example.org/?a=b"),
];

#[test]
fn run_under_s6_overlay() {
    insta::assert_snapshot!(render(&layouts()[0], "coder", &[]).run, @r#"
    #!/command/with-contenv sh
    # Runs the gateway of profile coder. Made by `hermes gateway register`.
    exec 2>&1
    : "${HERMES_HOME:?is not set in this supervision tree}"
    set --
    if [ -z "${HERMES_UP:-}" ] && [ "$(id -u)" -eq 0 ]; then
      set -- /command/s6-setuidgid hermes
    fi
    [ -n "${HERMES_UP:-}" ] || export HOME="${HERMES_HOME}"
    cd "${HERMES_HOME}" || exit 111
    exec "$@" /usr/local/bin/hermes -p coder gateway start --foreground 0<&3
    "#);
}

#[test]
fn finish_under_s6_overlay() {
    insta::assert_snapshot!(render(&layouts()[0], "coder", &[]).finish, @r#"
    #!/command/with-contenv sh
    # Decides what follows a death of the gateway of profile coder; 125 leaves it down.
    exec 2>&1
    : "${HERMES_HOME:?is not set in this supervision tree}"
    set --
    if [ -z "${HERMES_UP:-}" ] && [ "$(id -u)" -eq 0 ]; then
      set -- /command/s6-setuidgid hermes
    fi
    echo ' -- no newline at the end'
    exec "$@" /usr/local/bin/hermes -p coder gateway after-death "$4"
    "#);
}

#[test]
fn log_run_under_s6_overlay() {
    insta::assert_snapshot!(render(&layouts()[0], "coder", &[]).log_run, @r#"
    #!/command/with-contenv sh
    # Logs the gateway of profile coder: with its name where the tree writes, and to rotated files.
    exec 2>&1
    : "${HERMES_HOME:?is not set in this supervision tree}"
    set --
    if [ -z "${HERMES_UP:-}" ] && [ "$(id -u)" -eq 0 ]; then
      set -- /command/s6-setuidgid hermes
    fi
    umask 027
    "$@" mkdir -p -- "${HERMES_HOME}/logs/gateways/coder" || exit 111
    exec "$@" /command/s6-log -bp -- '-^ -- no newline at the end$' 'p[coder]' 1 p t n10 s1000000 "${HERMES_HOME}/logs/gateways/coder"
    "#);
}

#[test]
fn run_of_default_with_nasty_variables_in_a_plain_layout() {
    insta::assert_snapshot!(render(&layouts()[1], "default", &NASTY).run, @r#"
    #!/bin/sh
    # Runs the gateway of profile default. Made by `hermes gateway register`.
    exec 2>&1
    : "${HERMES_HOME:?is not set in this supervision tree}"
    set --
    if [ -z "${HERMES_UP:-}" ] && [ "$(id -u)" -eq 0 ]; then
      set -- /usr/bin/s6-setuidgid hermes
    fi
    [ -n "${HERMES_UP:-}" ] || export HOME="${HERMES_HOME}"
    cd "${HERMES_HOME}" || exit 111
    export A_LINES='one
    two
    '
    export B_QUOTES='it'\''s "quoted" `id` $(id) $HOME \'
    export EMPTY=''
    export Z_PLAIN='https://example.org/?a=b'
    exec "$@" /usr/local/bin/hermes -p default gateway start --foreground 0<&3
    "#);
}

#[test]
fn finish_of_default_in_a_plain_layout() {
    insta::assert_snapshot!(render(&layouts()[1], "default", &[]).finish, @r#"
    #!/bin/sh
    # Decides what follows a death of the gateway of profile default; 125 leaves it down.
    exec 2>&1
    : "${HERMES_HOME:?is not set in this supervision tree}"
    set --
    if [ -z "${HERMES_UP:-}" ] && [ "$(id -u)" -eq 0 ]; then
      set -- /usr/bin/s6-setuidgid hermes
    fi
    echo ' -- no newline at the end'
    exec "$@" /usr/local/bin/hermes -p default gateway after-death "$4"
    "#);
}

#[test]
fn log_run_of_default_in_a_plain_layout() {
    insta::assert_snapshot!(render(&layouts()[1], "default", &[]).log_run, @r#"
    #!/bin/sh
    # Logs the gateway of profile default: with its name where the tree writes, and to rotated files.
    exec 2>&1
    : "${HERMES_HOME:?is not set in this supervision tree}"
    set --
    if [ -z "${HERMES_UP:-}" ] && [ "$(id -u)" -eq 0 ]; then
      set -- /usr/bin/s6-setuidgid hermes
    fi
    umask 027
    "$@" mkdir -p -- "${HERMES_HOME}/logs/gateways/default" || exit 111
    exec "$@" /usr/bin/s6-log -bp -- '-^ -- no newline at the end$' 'p[default]' 1 p t n10 s1000000 "${HERMES_HOME}/logs/gateways/default"
    "#);
}

#[test]
fn the_home_stays_an_expansion() {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"\$\{HERMES_HOME\}", "$<HERMES_HOME>");
    settings.bind(|| {
        let log_run = render(&layouts()[0], "coder", &[]).log_run;
        let line = log_run.lines().last().unwrap().to_owned();
        insta::assert_snapshot!(line, @r#"exec "$@" /command/s6-log -bp -- '-^ -- no newline at the end$' 'p[coder]' 1 p t n10 s1000000 "$<HERMES_HOME>/logs/gateways/coder""#);
    });
}

#[test]
fn invalid_and_reserved_variables_are_refused() {
    let cases = [
        ("", "x", "not a shell identifier"),
        ("1A", "x", "not a shell identifier"),
        ("A-B", "x", "not a shell identifier"),
        ("A=B", "x", "not a shell identifier"),
        ("A;id", "x", "not a shell identifier"),
        ("É", "x", "not a shell identifier"),
        ("HERMES_HOME", "/elsewhere", "reserved for the supervision tree"),
        ("HERMES_SCANDIR", "/elsewhere", "reserved for the supervision tree"),
        ("A", "x\0y", "a NUL byte"),
    ];
    for (name, value, reason) in cases {
        let error = check_variable(name, value).unwrap_err().to_string();
        assert!(error.contains(reason), "{name:?}: {error}");
    }
}

#[test]
fn every_script_is_what_a_shell_and_shellcheck_accept() {
    let dir = tempfile::tempdir().unwrap();
    for programs in layouts() {
        for (profile, env) in [("coder", &[] as &[_]), ("default", &[]), ("a_b-1", &NASTY)] {
            let Scripts { run, finish, log_run } = render(&programs, profile, env);
            for script in [run, finish, log_run] {
                let path = dir.path().join("script");
                std::fs::write(&path, &script).unwrap();
                let sh = Command::new("sh").arg("-n").arg(&path).status().unwrap();
                assert!(sh.success(), "{script}");
                // The two excluded checks warn of literal text in single quotes, which is intended.
                let shellcheck = Command::new("shellcheck")
                    .args(["--shell=sh", "--severity=style", "--exclude=SC1003,SC2016"])
                    .arg(&path)
                    .output()
                    .expect("shellcheck is installed: `cargo xtask install`");
                let findings = String::from_utf8_lossy(&shellcheck.stdout);
                assert!(shellcheck.status.success(), "{findings}\n{script}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_value_survives_a_real_shell(value in "[^\0]*|['\"`$\\\\\n\r\t !*?~#&;<>|(){}-]*") {
        let script = format!("V={}\nexport V\nexec printenv V", quote(&value));
        let output = Command::new("sh")
            .args(["-c", &script])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        prop_assert_eq!(output.stdout, format!("{value}\n").into_bytes());
    }
}
