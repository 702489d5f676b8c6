//! `hermes config show` and `check`: what counts, where it comes from, and no secrets.

use hermes_tests::TestEnv;
use serde_json::json;

/// A home with the profile `coder`.
fn with_coder() -> TestEnv {
    let env = TestEnv::new();
    let home = env.profile("coder");
    for directory in [env.home().join("profiles"), home.clone()] {
        env.make_directory(&directory);
    }
    env.write(&home.join("config.yaml"), "gateway: {port: 9000}\n");
    env
}

#[test]
fn each_key_has_what_set_it_and_no_secret_is_shown() {
    let env = with_coder();
    let root = "gateway:\n  defaults:\n    host: 0.0.0.0\n    stop_timeout: 20\n";
    env.write(&env.home().join("config.yaml"), root);
    let home = env.profile("coder");
    let config = "gateway:\n  kind: hermes-agent\n  program: /nowhere/hermes\n  env:\n    BOT_TOKEN: abcdef\n    PLAIN: '${HOME}'\n  \
                  stop_timeout: 9\n";
    env.write(&home.join("config.yaml"), config);
    env.write(&home.join(".env"), "API_SERVER_KEY=hush\nAPI_SERVER_PORT=9001\n");
    let own = env.hermes(["config", "show", "coder"]).ok().stdout;
    let expected = "gateway:\n  kind: \"hermes-agent\"\n  program: \"/nowhere/hermes\"\n  env:\n    BOT_TOKEN: \"********\"\n    \
                    PLAIN: \"${HOME}\"\n  stop_timeout: 9\n";
    assert_eq!(own, expected);
    let all = env.hermes(["config", "show", "coder", "--effective"]).ok().stdout;
    for line in [
        "  host: \"0.0.0.0\"  # gateway.defaults",
        "  port: 9001  # .env line 2",
        "    BOT_TOKEN: \"********\"  # config.yaml line 5",
        "    API_SERVER_PORT: \"{port}\"  # preset hermes-agent",
        "  on_hang: \"report\"  # default",
        "  stop_timeout: 9  # config.yaml line 7",
        "# program: none: `gateway.program` is `/nowhere/hermes`, which is not there",
    ] {
        assert!(all.lines().any(|it| it == line), "{line}:\n{all}");
    }
    let json = env.hermes(["config", "show", "coder", "--effective", "--json"]).json();
    assert_eq!(json["gateway"]["port"], 9001);
    assert_eq!(json["origins"]["env.PYTHONUNBUFFERED"], "preset hermes-agent");
    for shown in [all, json.to_string()] {
        assert!(!shown.contains("hush") && !shown.contains("abcdef"), "{shown}");
    }
}

#[test]
fn check_finds_what_a_start_refuses() {
    let env = with_coder();
    let fine = env.hermes(["config", "check"]).ok().stdout;
    assert_eq!(fine, "ok `default`\nok `coder`\n");
    let config = env.profile("coder").join("config.yaml");
    env.write(&config, "gateway: {port: 9000, comand: x, env: {A: '${B}'}}\n");
    let warned = env.hermes(["config", "check", "coder"]).ok().stdout;
    assert!(warned.contains("did you mean `command`?"), "{warned}");
    assert!(warned.contains("`gateway.env.A` passes `${…}` on as it is"), "{warned}");
    env.write(&config, "gateway: {port: x}\n");
    let wrong = env.hermes(["config", "check"]).fails_with(1).stdout;
    assert!(wrong.contains("error `coder`: invalid `gateway.port`"), "{wrong}");
    let json = env.hermes(["config", "check", "coder", "--json"]).fails_with(1).json();
    assert_eq!((&json[0]["profile"], &json[0]["ok"]), (&json!("coder"), &json!(false)));
    env.hermes(["config", "check", "nobody"]).fails_with(4);
}

#[test]
fn a_port_that_another_profile_names_is_warned_of() {
    let env = with_coder();
    let other = env.profile("other");
    env.make_directory(&other);
    env.write(&other.join("config.yaml"), "gateway: {port: 9001}\n");
    let fine = env.hermes(["profile", "port", "coder", "9002"]).ok();
    assert!(!fine.stderr.contains("warning:"), "{fine}");
    let warned = env.hermes(["profile", "port", "coder", "9001"]).ok();
    assert!(warned.stderr.contains("warning: port 9001 is that of `other`, too"), "{warned}");
}
