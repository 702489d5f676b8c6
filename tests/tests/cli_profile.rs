//! `hermes profile`: stdout, stderr, exit codes, and the state after a failure.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use hermes_tests::{
    Hermes, Svscan, TestEnv, alone, chmod, hermes_program, is_free, is_one_clear_error, names,
    short,
};
use serde_json::json;

/// `hermes` on a full disk: no file can grow.
fn on_full_disk(env: &TestEnv, line: &str) -> Hermes {
    env.shell(&format!("trap '' XFSZ; ulimit -f 0; exec hermes {line}"))
}

#[test]
fn create_makes_a_whole_home() {
    let env = TestEnv::new();
    let outcome = alone(&env, ["profile", "create", "coder"]).ok();
    assert_eq!(outcome.stdout, "");
    assert!(outcome.stderr.starts_with("created profile `coder`, port "), "{outcome}");
    let home = env.profile("coder");
    assert_eq!(names(&home), [".env", "SOUL.md", "config.yaml", "gateway.intent", "logs"]);
    assert_eq!(fs::metadata(home.join(".env")).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_to_string(home.join("gateway.intent")).unwrap(), "stopped\n");
    assert_eq!(names(&env.home().join("profiles")), ["coder"]);
    alone(&env, ["profile", "create", "wanted", "--start"]).ok();
    let intent = env.profile("wanted").join("gateway.intent");
    assert_eq!(fs::read_to_string(intent).unwrap(), "running\n");
}

#[test]
fn create_prints_json() {
    let tree = Svscan::start();
    let env = &tree.env;
    let outcome = env.hermes(["profile", "create", "a", "--json", "--port", "9001"]).ok();
    let home = env.profile("a");
    let expected = json!({ "profile": "a", "home": home, "chosen": false, "port": 9001,
        "intent": "stopped", "state": "down", "problem": null });
    assert_eq!(outcome.json(), expected);
    let port = hermes_tests::free_port().to_string();
    let args = ["profile", "create", "b", "--json", "--start", "--port", &port];
    let made = env.hermes(args).json();
    assert_eq!((&made["intent"], &made["state"]), (&json!("running"), &json!("up")));
}

#[test]
fn every_refused_name_has_its_reason() {
    let env = TestEnv::new();
    let long = "a".repeat(252);
    for (name, reason) in [
        ("", "it is empty"),
        ("Coder", "it must be lower case"),
        ("a/b", "it must not contain `/`"),
        (".", "`.` and `..` are directories"),
        ("..", "`.` and `..` are directories"),
        ("-a", "it must not begin with `-`"),
        ("_a", "it must begin with a lower-case letter or a digit, not `_`"),
        ("a b", "it must not contain white space"),
        ("a\tb", "it must not contain control characters"),
        ("a\nb", "it must not contain control characters"),
        ("caf\u{e9}", "it must be plain ASCII"),
        ("a.b", "it must not contain `.`"),
        (&long, "it is longer than 251 bytes"),
    ] {
        let outcome = alone(&env, ["profile", "create", "--", name]).fails_with(2);
        assert!(outcome.stderr.contains(reason), "{name:?}: {outcome}");
        assert_eq!(outcome.stdout, "");
    }
    assert_eq!(names(&env.home()), [""; 0], "nothing was written");
}

#[test]
fn a_name_too_long_for_s6_is_refused() {
    let tree = Svscan::start();
    let name = "a".repeat(244);
    let outcome = tree.env.hermes(["profile", "create", &name]).run();
    assert!(matches!(outcome.code(), Some(1 | 2)), "{outcome}");
    assert!(outcome.stderr.contains("243"), "it names the limit: {outcome}");
    assert_eq!(names(&tree.env.home().join("profiles")), [""; 0]);
    tree.env.hermes(["profile", "create", &name[1..]]).ok();
}

#[test]
fn reserved_and_existing_names_are_refused() {
    let env = TestEnv::new();
    for name in ["hermes", "test", "tmp", "root", "sudo"] {
        let outcome = alone(&env, ["profile", "create", name]).fails_with(1);
        let expected = format!("error: the name `{name}` is reserved\nhint: choose another name\n");
        assert_eq!(outcome.stderr, expected);
    }
    alone(&env, ["profile", "create", "a", "--port", "9000"]).ok();
    for name in ["a", "default"] {
        let outcome = alone(&env, ["profile", "create", name]).fails_with(1);
        let expected = format!(
            "error: profile `{name}` already exists\nhint: `hermes profile show {name}` shows it\n"
        );
        assert_eq!(outcome.stderr, expected);
    }
    let config = fs::read_to_string(env.profile("a").join("config.yaml")).unwrap();
    assert!(config.contains("port: 9000"), "{config}");
}

#[test]
fn a_new_profile_gets_the_lowest_free_port() {
    let env = TestEnv::new();
    let create = |name: &str| alone(&env, ["profile", "create", name, "--json"]).json();
    let free: Vec<_> = (8643..).filter(|port| is_free(*port)).take(5).collect();
    assert_eq!(create("a")["port"], free[0]);
    assert_eq!(create("b")["port"], free[1]);
    assert_eq!(create("c")["port"], free[2]);
    alone(&env, ["profile", "delete", "b", "-y"]).ok();
    assert_eq!(create("d")["port"], free[1], "the hole");
    let named = free[3].to_string();
    alone(&env, ["profile", "create", "e", "--port", &named]).ok();
    assert_eq!(create("f")["port"], free[4]);
    let outcome = alone(&env, ["profile", "create", "g", "--port", &named]).fails_with(1);
    let told = format!("error: port {named} belongs to profile `e`\n");
    assert!(outcome.stderr.starts_with(&told) && !env.profile("g").exists(), "{outcome}");
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let taken = listener.local_addr().unwrap().port().to_string();
    let outcome = alone(&env, ["profile", "create", "h", "--port", &taken]).ok();
    let told = format!("warning: {} (", std::process::id());
    assert!(
        outcome.stderr.contains(&told) || outcome.stderr.contains("warning: another"),
        "{outcome}"
    );
    for wrong in ["0", "65536", "-1", "x"] {
        alone(&env, ["profile", "create", "g", &format!("--port={wrong}")]).fails_with(2);
    }
}

#[test]
fn eight_at_once_get_eight_ports() {
    let env = TestEnv::new();
    let start = |n: u16| {
        let mut command = env.command(hermes_program());
        command.args(["profile", "create", &format!("p{n}"), "--json"]);
        command.env_remove("HERMES_SCANDIR").env("XDG_RUNTIME_DIR", env.path().join("none"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        command.spawn().expect("hermes runs")
    };
    let children: Vec<_> = (0..8).map(start).collect();
    let port = |child: std::process::Child| {
        let output = child.wait_with_output().expect("it ends");
        let made: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        made["port"].as_u64().expect("a port")
    };
    let mut ports: Vec<_> = children.into_iter().map(port).collect();
    ports.sort_unstable();
    let free: Vec<_> = (8643..).filter(|port| is_free(*port)).take(8).map(u64::from).collect();
    assert_eq!(ports, free);
}

#[test]
fn port_keeps_the_rest_of_the_file() {
    let env = TestEnv::new();
    alone(&env, ["profile", "create", "a", "--port", "9000"]).ok();
    let config = env.profile("a").join("config.yaml");
    let shown = alone(&env, ["profile", "port", "a"]).ok();
    assert_eq!((shown.stdout.as_str(), shown.stderr.as_str()), ("9000\n", ""));
    let text =
        "# mine\nmodel: x   # the best\ngateway:\n  port: 9000 # why not\n  stop_timeout: 4\n";
    env.write(&config, text);
    let wrote = alone(&env, ["profile", "port", "a", "9100"]).ok();
    assert_eq!(wrote.stdout, "9100\n");
    let told = "wrote `gateway.port: 9100` to `W/home/profiles/a/config.yaml` line 4\na running gateway keeps its port until `hermes gateway restart a`\n";
    assert_eq!(short(&env, &wrote.stderr), told);
    assert_eq!(fs::read_to_string(&config).unwrap(), text.replace("9000", "9100"));
    env.write(&config, "model: x # no port\n");
    let wrote = alone(&env, ["profile", "port", "a", "--json"]).json();
    let free = (8643..).find(|port| is_free(*port)).unwrap();
    let change = json!({ "key": "gateway.port", "file": config, "line": 3, "port": free });
    assert_eq!(
        wrote,
        json!({ "profile": "a", "port": free, "written": true, "changes": [change] })
    );
    let text = fs::read_to_string(&config).unwrap();
    let named = format!("port: {free}");
    assert!(text.starts_with("model: x # no port\n") && text.contains(&named), "{text}");
    alone(&env, ["profile", "port", "a", "0"]).fails_with(2);
    is_one_clear_error(&alone(&env, ["profile", "port", "nope"]).fails_with(4));
}

#[test]
fn list_and_show_print_tables_and_json() {
    let env = TestEnv::new();
    alone(&env, ["profile", "create", "b", "--port", "9001"]).ok();
    alone(&env, ["profile", "create", "a", "--port", "9000", "--start"]).ok();
    let list = alone(&env, ["profile", "list"]).ok();
    insta::assert_snapshot!(short(&env, &list.stdout), @r"
       PROFILE  PORT  INTENT   STATE  HOME
    *  default  8642  stopped  -      W/home
       a        9000  running  -      W/home/profiles/a
       b        9001  stopped  -      W/home/profiles/b
    ");
    assert_eq!(list.stderr, "");
    let show = alone(&env, ["profile", "show", "a"]).ok();
    insta::assert_snapshot!(short(&env, &show.stdout), @r"
    profile  a
    home     W/home/profiles/a
    port     9000
    intent   running
    state    -
    runs     the built-in gateway
    ");
    let list = alone(&env, ["profile", "list", "--json"]).json();
    let shown = alone(&env, ["profile", "show", "a", "--json"]).json();
    assert_eq!(list[1], shown);
    assert_eq!((&shown["intent"], &shown["port"]), (&json!("running"), &json!(9000)));
    is_one_clear_error(&alone(&env, ["profile", "show", "nope"]).fails_with(4));
}

#[test]
fn list_warns_of_bad_directories() {
    let env = TestEnv::new();
    alone(&env, ["profile", "create", "good"]).ok();
    for name in ["Bad", "default", "locked"] {
        env.make_directory(&env.profile(name));
        env.write(&env.profile(name).join("SOUL.md"), "");
    }
    env.make_directory(&env.profile("no-profile"));
    env.write(&env.profile("good").join("config.yaml"), "gateway:\n  port: high\n");
    chmod(&env.profile("locked"), 0o000);
    let outcome = alone(&env, ["profile", "list"]).ok();
    chmod(&env.profile("locked"), 0o700);
    insta::assert_snapshot!(short(&env, &outcome.stdout), @r"
       PROFILE  PORT  INTENT   STATE  HOME
    *  default  8642  stopped  -      W/home
       good     -     stopped  -      W/home/profiles/good
    ");
    let warnings = short(&env, &outcome.stderr);
    for said in [
        "warning: skipped `W/home/profiles/Bad`: invalid profile name `Bad`",
        "warning: skipped `W/home/profiles/default`: the profile `default` lives in",
        "warning: skipped `W/home/profiles/locked`: failed to read it: Permission denied",
        "warning: invalid `gateway.port` in `W/home/profiles/good/config.yaml` line 2 column 9",
    ] {
        assert!(warnings.contains(said), "{said}\n{outcome}");
    }
    assert_eq!(warnings.lines().count(), 4, "{outcome}");
}

#[test]
fn the_named_profile_wins_then_home_then_choice() {
    let env = TestEnv::new();
    for name in ["a", "b", "c"] {
        alone(&env, ["profile", "create", name]).ok();
    }
    let shown = |hermes: Hermes| hermes.json()["profile"].as_str().expect("a name").to_owned();
    let show = || alone(&env, ["profile", "show", "--json"]);
    assert_eq!(shown(show()), "default");
    let outcome = alone(&env, ["profile", "use", "a"]).ok();
    assert_eq!(outcome.stderr, "default profile is now `a`\n");
    assert_eq!(outcome.stdout, "");
    assert_eq!(shown(show()), "a");
    let home = env.profile("b");
    let home = home.to_str().unwrap();
    assert_eq!(shown(show().env("HERMES_HOME", home)), "b");
    for args in [
        ["-p", "c", "profile", "show", "--json"],
        ["profile", "--profile", "c", "show", "--json"],
        ["profile", "show", "--json", "-p", "c"],
    ] {
        assert_eq!(shown(alone(&env, args).env("HERMES_HOME", home)), "c");
    }
    let outcome = alone(&env, ["-p", "C", "profile", "show"]).fails_with(2);
    assert!(outcome.stderr.contains("it must be lower case"), "{outcome}");
    is_one_clear_error(&alone(&env, ["profile", "use", "nope"]).fails_with(4));
    assert_eq!(shown(show()), "a");
    alone(&env, ["profile", "delete", "a", "-y"]).ok();
    assert_eq!(shown(show()), "default", "the choice goes with its profile");
    alone(&env, ["profile", "use", "b"]).ok();
    alone(&env, ["profile", "use", "default"]).ok();
    assert!(!env.home().join("active_profile").exists());
}

#[test]
fn delete_asks_and_removes_all_or_keeps_the_logs() {
    let tree = Svscan::start();
    let env = &tree.env;
    for name in ["a", "b"] {
        env.profile_serving(name);
        env.hermes(["gateway", "start", name]).ok();
    }
    let outcome = env.hermes(["profile", "delete", "a"]).fails_with(2);
    insta::assert_snapshot!(outcome.stderr, @r"
    error: `a` was not deleted: stdin is not a terminal
    hint: `-y` deletes without asking
    ");
    assert_eq!(tree.status("a")["state"], "up");
    let outcome = env.hermes(["profile", "delete", "default", "-y"]).fails_with(1);
    is_one_clear_error(&outcome);
    is_one_clear_error(&env.hermes(["profile", "delete", "nope", "-y"]).fails_with(4));
    let outcome = env.hermes(["profile", "delete", "a", "-y", "--keep-logs"]).ok();
    let told = (outcome.stdout.as_str(), outcome.stderr.as_str());
    assert_eq!(told, ("", "deleted profile `a`\n"));
    env.hermes(["profile", "delete", "b", "--yes"]).ok();
    assert_eq!(names(&env.home().join("logs/gateways")), ["a"]);
    assert_eq!(names(&env.home().join("profiles")), [""; 0]);
    assert!(!env.slot("a").exists() && !env.slot("b").exists());
}

#[test]
fn an_unwritable_scan_directory_undoes_create() {
    let tree = Svscan::start();
    let env = &tree.env;
    env.profile_serving("a");
    chmod(&env.scandir(), 0o500);
    let created = env.hermes(["profile", "create", "b"]).run();
    let deleted = env.hermes(["profile", "delete", "a", "-y"]).run();
    chmod(&env.scandir(), 0o700);
    assert_eq!((created.code(), deleted.code()), (Some(5), Some(5)), "{created}\n{deleted}");
    is_one_clear_error(&created);
    is_one_clear_error(&deleted);
    assert_eq!(names(&env.home().join("profiles")), ["a"]);
    assert!(env.slot("a").exists() && !env.slot("b").exists());
}

#[test]
fn create_without_the_named_tree_is_undone() {
    let env = TestEnv::new();
    let outcome = env.hermes(["profile", "create", "a"]).fails_with(5);
    insta::assert_snapshot!(short(&env, &outcome.stderr), @r"
    error: failed to register the gateway of `a`
      no s6-svscan holds the scan directory `W/service`
    hint: `hermes up` runs a supervision tree for this user
    ");
    assert_eq!(names(&env.home().join("profiles")), [""; 0]);
}

#[test]
fn an_unwritable_home_is_exit_5() {
    let env = TestEnv::new();
    chmod(&env.home(), 0o500);
    let outcome = alone(&env, ["profile", "create", "a"]).run();
    chmod(&env.home(), 0o700);
    assert_eq!(outcome.code(), Some(5), "{outcome}");
    is_one_clear_error(&outcome);
    assert!(outcome.stderr.contains("`a`"), "it names the profile: {outcome}");
    assert_eq!(names(&env.home()), [""; 0]);
}

#[test]
fn a_full_disk_loses_nothing() {
    let env = TestEnv::new();
    alone(&env, ["profile", "create", "a", "--port", "9000"]).ok();
    alone(&env, ["profile", "use", "a"]).ok();
    let files = [env.profile("a").join("config.yaml"), env.home().join("active_profile")];
    let before = files.each_ref().map(|file| fs::read(file).unwrap());
    for (line, names_it) in [
        ("profile create b", "`b`"),
        ("profile port a 9001", "config.yaml"),
        ("profile use a", "active_profile"),
    ] {
        let outcome = on_full_disk(&env, line).fails_with(1);
        is_one_clear_error(&outcome);
        assert!(outcome.stderr.contains("File too large"), "{line}: {outcome}");
        assert!(outcome.stderr.lines().next().unwrap().contains(names_it), "{line}: {outcome}");
    }
    assert_eq!(files.each_ref().map(|file| fs::read(file).unwrap()), before);
    assert_eq!(names(&env.home()), ["active_profile", "profiles"], "no temporary file stays");
    assert_eq!(names(&env.home().join("profiles")), ["a"]);
    assert_eq!(names(&env.profile("a")).len(), 5);
}
