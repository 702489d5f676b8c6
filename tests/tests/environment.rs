//! The environment of a gateway that is the user's program.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use hermes_tests::{
    Svscan, TestEnv, Up, chmod, eventually, free_port, hermes_program, pid, processes_naming,
};
use rustix::fs::{CWD, FileType, Mode};
use rustix::process::Signal;

/// A gateway that writes its environment and its command line into its profile's home.
const TELL: &str = r#"cat /proc/$$/cmdline >"$HERMES_HOME/line" &&
cat /proc/$$/environ >"$HERMES_HOME/new" && mv "$HERMES_HOME/new" "$HERMES_HOME/seen"
exec sleep 600"#;

/// Creates a profile with such a gateway, this `.env`, and these lines in its `gateway.env`.
fn telling(env: &TestEnv, name: &str, dotenv: &str, variables: &str) {
    env.profile_running(name, TELL);
    let config = env.profile(name).join("config.yaml");
    let text = fs::read_to_string(&config).expect("a config");
    env.write(&config, &format!("{text}  env: {variables}\n"));
    write_secret(env, &env.profile(name).join(".env"), dotenv);
}

fn write_secret(env: &TestEnv, path: &Path, text: &str) {
    env.write(path, text);
    chmod(path, 0o600);
}

/// The environment of the gateway whose home this is.
fn seen(home: &Path) -> BTreeMap<String, String> {
    let text = eventually("the gateway tells", || fs::read(home.join("seen")).ok());
    let text = String::from_utf8(text).expect("UTF-8");
    let pairs = text.split_terminator('\0').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[test]
fn dotenv_is_for_its_own_gateway_and_wins() {
    let env = TestEnv::new();
    let mut up = env.command(hermes_program());
    up.arg("up")
        .envs(["TREE", "HOSTED", "BOTH", "CONFIG", "EMPTY", "NO_VALUE"].map(|name| (name, "tree")));
    let up = Up::launch(env, up).await_up();
    telling(
        &up.env,
        "coder",
        "BOTH=dotenv\nTREE=dotenv\nexport SECRET='two\nlines' # c\nEMPTY=\nNO_VALUE\n\
         FILLED=${TREE}/${HOSTED}/${CONFIG}/${HERMES_PROFILE}/${UNTOUCHED}/${NONE:-none}\n",
        "{BOTH: config, CONFIG: config, UNTOUCHED: config}",
    );
    telling(&up.env, "other", "", "{}");
    up.env.hermes(["gateway", "start", "coder", "other"]).ok();

    let coder = seen(&up.env.profile("coder"));
    let coder = |name: &str| coder.get(name).map(String::as_str);
    assert_eq!(coder("BOTH"), Some("dotenv"));
    assert_eq!(coder("TREE"), Some("dotenv"));
    assert_eq!(coder("CONFIG"), Some("config"));
    assert_eq!(coder("SECRET"), Some("two\nlines"));
    assert_eq!(coder("EMPTY"), Some(""));
    assert_eq!(coder("NO_VALUE"), Some("tree"));
    assert_eq!(coder("FILLED"), Some("dotenv/tree/config/coder/config/none"));
    let log = up.env.logged("coder").join("\n");
    assert_eq!(log.matches("warning: ").count(), 1, "{log}");
    assert!(log.contains("/coder/.env` wins over `gateway.env.BOTH` in `"), "{log}");

    let other = seen(&up.env.profile("other"));
    assert_eq!(other["TREE"], "tree");
    assert!(!other.contains_key("SECRET") && !other.contains_key("FILLED"), "{other:?}");
    assert_eq!(up.env.logged("other"), [""; 0]);
    let (_world, code) = up.end(Signal::TERM);
    assert_eq!(code, Some(0));
}

#[test]
fn the_root_homes_file_is_for_default_alone() {
    let tree = Svscan::start();
    let env = &tree.env;
    telling(env, "coder", "CODER=1\n", "{}");
    let config = fs::read_to_string(env.profile("coder").join("config.yaml")).expect("a config");
    env.write(&env.home().join("config.yaml"), &config);
    write_secret(env, &env.home().join(".env"), "ROOT=1\n");
    env.hermes(["gateway", "start", "default", "coder"]).ok();
    let default = seen(&env.home());
    assert_eq!((default.get("ROOT"), default.get("CODER")), (Some(&"1".to_owned()), None));
    let coder = seen(&env.profile("coder"));
    assert_eq!((coder.get("ROOT"), coder.get("CODER")), (None, Some(&"1".to_owned())));
}

#[test]
fn the_api_server_of_the_tree_is_that_of_default_alone() {
    let env = TestEnv::new();
    let mut up = env.command(hermes_program());
    up.arg("up").envs([("API_SERVER_KEY", "key"), ("API_SERVER_PORT", "1")]);
    let up = Up::launch(env, up).await_up();
    let env = &up.env;
    let program = env.path().join("agent");
    env.write_program(&program, &format!("#!/bin/sh\n{TELL}\n"));
    let root = env.home().join("config.yaml");
    let defaults = format!("{{kind: hermes-agent, program: {}}}", program.display());
    env.write(&root, &format!("gateway: {{defaults: {defaults}}}\n"));
    env.hermes(["profile", "create", "coder"]).ok();
    env.hermes(["gateway", "start", "default", "coder"]).ok();
    let [of_default, of_coder] = [env.home(), env.profile("coder")].map(|home| seen(&home));
    assert_eq!(of_default.get("API_SERVER_KEY").map(String::as_str), Some("key"));
    let named: Vec<_> = of_coder.keys().filter(|name| name.starts_with("API_SERVER_")).collect();
    assert_eq!(named, [""; 0]);
}

#[test]
fn reserved_variables_are_ignored() {
    let names = [
        "HERMES_HOME",
        "HERMES_PROFILE",
        "HERMES_SCANDIR",
        "HERMES_ROLE",
        "HERMES_UP",
        "HERMES_UP_NOFILE",
        "HERMES_S6_SUPERVISED_CHILD",
    ];
    let tree = Svscan::start();
    let env = &tree.env;
    let dotenv = names.map(|name| format!("{name}=/elsewhere\n")).concat();
    let variables = names.map(|name| format!("{name}: /elsewhere")).join(", ");
    telling(env, "coder", &format!("{dotenv}MINE=${{HERMES_HOME}}\n"), &format!("{{{variables}}}"));
    env.hermes(["gateway", "start", "coder"]).ok();
    let home = env.profile("coder");
    let seen = seen(&home);
    assert!(!seen.values().any(|value| value == "/elsewhere"), "{seen:?}");
    assert_eq!(seen["HERMES_HOME"], home.to_str().expect("UTF-8"));
    assert_eq!(seen["HERMES_PROFILE"], "coder");
    assert_eq!(seen["HERMES_S6_SUPERVISED_CHILD"], "1");
    assert_eq!(seen["MINE"], seen["HERMES_HOME"]);
    let log = env.logged("coder").join("\n");
    for (line, name) in (1..).zip(names) {
        assert!(log.contains(&format!("warning: `{name}` in line {line} of `")), "{log}");
        assert!(log.contains(&format!("warning: `gateway.env.{name}` in `")), "{log}");
    }
    assert_eq!(log.matches("warning: ").count(), 2 * names.len(), "{log}");
}

/// The regular files below `dir`.
fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry"));
    let below = |entry: fs::DirEntry| match entry.file_type().expect("a type") {
        kind if kind.is_dir() => files(&entry.path()),
        kind if kind.is_file() => vec![entry.path()],
        _ => vec![],
    };
    entries.flat_map(below).collect()
}

#[test]
fn secrets_stay_out_of_files_and_command_lines() {
    let tree = Svscan::start();
    let env = &tree.env;
    let port = env.profile_serving("inner");
    let bad = "=s3cret\nSECRET=s3cret\nHERMES_ROLE=s3cret\n's3cret=s3cret'=1\ns3cret s3cret\n";
    telling(env, "coder", bad, "{SECRET: other}");
    let config = env.profile("coder").join("config.yaml");
    let text = fs::read_to_string(&config).expect("a config");
    let url = "  ready_url: 'http://127.0.0.1:{port}/health'\n";
    env.write(&config, &format!("{text}  port: {port}\n{url}"));
    chmod(&env.profile("coder").join(".env"), 0o644);
    // While the prober checks its readiness.
    env.hermes(["gateway", "start", "coder", "--timeout", "2"]).fails_with(6);
    assert_eq!(seen(&env.profile("coder"))["SECRET"], "s3cret");
    let holders: Vec<_> = files(env.path())
        .into_iter()
        .filter(|path| {
            fs::read(path).is_ok_and(|text| String::from_utf8_lossy(&text).contains("s3cret"))
        })
        .map(|path| path.file_name().expect("a name").to_owned())
        .collect();
    assert_eq!(holders.len(), 2, "`.env` and the gateway's own file: {holders:?}");
    let lines = eventually("svscan, supervisors, logger, gateway and asker are there", || {
        let processes = processes_naming(env.path().to_str().expect("UTF-8")).into_iter();
        let line = |pid| fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let lines: Vec<_> = processes.map(line).collect();
        let asked = lines.iter().any(|line| line.contains("await-ready"));
        (asked && lines.len() > 5).then_some(lines)
    });
    for line in lines {
        assert!(!line.contains("s3cret"), "{line}");
    }
    for warning in [
        "(mode 0644): `chmod go= ",
        "warning: line 1 of `",
        "warning: line 4 of `",
        "warning: line 5 of `",
        "warning: `HERMES_ROLE` in line 3 of `",
        "wins over `gateway.env.SECRET`",
    ] {
        eventually(warning, || env.logged("coder").join("\n").contains(warning).then_some(()));
    }
}

#[test]
fn an_unreadable_dotenv_parks() {
    let tree = Svscan::start();
    let env = &tree.env;
    telling(env, "coder", "", "{}");
    let dotenv = env.profile("coder").join(".env");
    let parks = |why: &str| {
        let outcome = env.hermes(["gateway", "start", "coder"]).fails_with(1);
        let reason = "it is parked: failed to load the `.env` of `coder`: ";
        assert!(outcome.stderr.contains(reason) && outcome.stderr.contains(why), "{outcome}");
    };
    chmod(&dotenv, 0);
    parks("Permission denied");
    fs::write(&dotenv, b"A=1\nB=s3cr\xe4t\n").expect("root or owner");
    chmod(&dotenv, 0o600);
    parks("invalid UTF-8 in line 2 of `");
    fs::remove_file(&dotenv).expect("it is there");
    rustix::fs::mknodat(CWD, &dotenv, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a FIFO");
    env.give(&dotenv);
    parks("is not a regular file");
    fs::remove_file(&dotenv).expect("it is there");
    write_secret(env, &dotenv, &format!("A={}", "s3cret".repeat(30_000)));
    let outcome = env.hermes(["gateway", "start", "coder"]).fails_with(1);
    assert!(outcome.stderr.contains("Argument list too long"), "{outcome}");
    assert!(!outcome.stderr.contains("s3cret"), "{outcome}");
    assert_eq!(tree.status("coder")["state"], "parked");
    fs::remove_file(&dotenv).expect("it is there");
    // Each line doubles the value of the one above.
    let doubled = |line: u32| format!("V{}=\"${{V{line}}}${{V{line}}}\"\n", line + 1);
    let lines: String = (0..40).map(doubled).collect();
    write_secret(env, &dotenv, &format!("V0=s3cret\n{lines}"));
    parks("the expansion of `V17` in line 18 exceeds 1024 KiB (`");
    assert_eq!(tree.status("coder")["state"], "parked");
    for line in ["doctor", "gateway list", "profile show coder", "gateway status --all"] {
        let script = format!("ulimit -v 1000000; exec hermes {line}");
        let outcome = env.shell(&script).run();
        assert!(matches!(outcome.code(), Some(0 | 1)), "{line}: {outcome}");
        assert!(!outcome.stderr.contains("s3cret"), "{outcome}");
    }
    fs::remove_file(&dotenv).expect("it is there");
    let shared = env.path().join("shared.env");
    write_secret(env, &shared, "A=shared");
    symlink(&shared, &dotenv).expect("a link");
    env.hermes(["gateway", "start", "coder"]).ok();
    assert_eq!(seen(&env.profile("coder"))["A"], "shared");
    env.hermes(["gateway", "stop", "coder"]).ok();
    fs::remove_file(&dotenv).expect("it is there");
    env.hermes(["gateway", "start", "coder"]).ok();
}

#[test]
fn the_built_in_gateway_needs_no_variables() {
    let tree = Svscan::start();
    let env = &tree.env;
    env.hermes(["profile", "create", "coder", "--port", &free_port().to_string()]).ok();
    chmod(&env.profile("coder").join(".env"), 0);
    env.hermes(["gateway", "start", "coder"]).ok();
    assert!(pid(&tree.status("coder")) > 0);
}
