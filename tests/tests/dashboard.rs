//! `hermes dashboard`: its API, access control, and permanent errors. The page is tested in `page`.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use hermes_core::RootHome;
use hermes_core::events::{Journal, What};
use hermes_tests::{
    Dashboard, Hermes, Svscan, TestEnv, Up, alone, chmod, eventually, free_port, kill, pid, request,
};
use rustix::process::Signal;
use serde_json::{Value, json};

const EVERYTHING: [(&str, &str); 11] = [
    ("GET", "/api/v1/openapi.json"),
    ("GET", "/api/v1/events"),
    ("GET", "/api/v1/gateways"),
    ("GET", "/api/v1/gateways/coder"),
    ("GET", "/api/v1/gateways/coder/log"),
    ("POST", "/api/v1/gateways/coder/start"),
    ("POST", "/api/v1/gateways/coder/stop"),
    ("POST", "/api/v1/gateways/coder/restart"),
    ("POST", "/api/v1/profiles"),
    ("DELETE", "/api/v1/profiles/coder"),
    ("GET", "/metrics"),
];

/// A tree with the profile `coder`, which is down, and a dashboard.
fn scene() -> (Svscan, Dashboard) {
    let tree = Svscan::start();
    tree.env.profile_running("coder", "echo begun; exec sleep 600");
    let dashboard = Dashboard::start(&tree.env);
    (tree, dashboard)
}

#[test]
fn the_api_needs_the_token() {
    let (tree, dashboard) = scene();
    for (method, path) in EVERYTHING {
        for given in [None, Some("Bearer wrong"), Some("Bearer "), Some(dashboard.token.as_str())] {
            let headers: Vec<_> = given.map(|given| ("authorization", given)).into_iter().collect();
            let answer = request(method, &dashboard.url(path), &headers, Some("{}"));
            assert_eq!(answer.status, 401, "{method} {path} {given:?}");
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
            assert!(!answer.text.contains("coder"), "{answer:?}");
        }
        // In a URL, where it would get into histories and logs, the token is not accepted.
        let url = dashboard.url(&format!("{path}?token={}", dashboard.token));
        assert_eq!(request(method, &url, &[], Some("{}")).status, 401);
    }
    assert_eq!(tree.status("coder")["state"], "down");
    assert!(!dashboard.output().contains(&dashboard.token), "its output may be logged");
    let command = fs::read(format!("/proc/{}/cmdline", dashboard.pid())).expect("its arguments");
    assert!(!String::from_utf8_lossy(&command).contains(&dashboard.token));
}

#[test]
fn the_page_is_public_and_runs_nothing_inline() {
    let (_tree, dashboard) = scene();
    for path in ["/", "/style.css", "/main.js", "/icon.svg"] {
        let answer = request("GET", &dashboard.url(path), &[], None);
        assert_eq!(answer.status, 200, "{path}");
        let policy = answer.header("content-security-policy").expect("a policy");
        assert!(
            policy.starts_with("default-src 'none';") && !policy.contains("unsafe"),
            "{policy}"
        );
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("access-control-allow-origin"), None);
        assert_eq!(answer.header("set-cookie"), None);
    }
    let page = request("GET", &dashboard.url("/"), &[], None).text;
    assert!(!page.contains("<style") && !page.contains("style=") && !page.contains(" onclick"));
}

#[test]
fn other_names_and_other_origins_get_nothing() {
    let (tree, dashboard) = scene();
    let token = format!("Bearer {}", dashboard.token);
    let stop = dashboard.url("/api/v1/gateways/coder/start");
    let own = format!("http://127.0.0.1:{}", dashboard.port);
    for (name, value, status) in [
        ("host", "evil.example", 421),
        ("origin", "http://evil.example", 403),
        ("origin", "http://127.0.0.1:8642", 403),
        ("sec-fetch-site", "same-site", 403),
        ("origin", own.as_str(), 200),
    ] {
        let headers = [("authorization", token.as_str()), (name, value)];
        assert_eq!(request("POST", &stop, &headers, None).status, status, "{name}: {value}");
        let expected = if status == 200 { "up" } else { "down" };
        assert_eq!(tree.status("coder")["state"], expected, "{name}: {value}");
    }
    let page = request("GET", &dashboard.url("/"), &[("host", "evil.example")], None);
    assert_eq!(page.status, 421);
}

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

#[test]
fn answers_match_the_commands_and_the_schema() {
    let (tree, dashboard) = scene();
    let described = dashboard.ask("GET", "/api/v1/openapi.json", None).json();
    let schema = |name: &str| described["components"]["schemas"][name].clone();
    let timeless = |mut status: Value| {
        status.as_object_mut().expect("an object").remove("uptime_seconds");
        status
    };
    for verb in ["start", "restart", "stop"] {
        let path = format!("/api/v1/gateways/coder/{verb}");
        let answer = dashboard.ask("POST", &path, None);
        assert_eq!(answer.status, 200, "{answer:?}");
        let status = answer.json();
        assert_eq!(keys(&status), keys(&schema("Status")["properties"]), "{verb}");
        assert_eq!(timeless(status), timeless(tree.status("coder")), "{verb}");
    }
    let mut shown = dashboard.ask("GET", "/api/v1/gateways/coder", None).json();
    let died = shown.as_object_mut().expect("an object").remove("died");
    assert_eq!(died, Some(json!([])));
    assert_eq!(timeless(shown), timeless(tree.status("coder")));
    let all = dashboard.ask("GET", "/api/v1/gateways", None).json();
    let names: Vec<_> = all.as_array().expect("a list").iter().map(|one| &one["profile"]).collect();
    assert_eq!(names, ["default", "coder"]);

    let log = dashboard.ask("GET", "/api/v1/gateways/coder/log?lines=1", None).json();
    let printed = tree.env.hermes(["gateway", "logs", "coder", "-n1", "--json"]).ok().json();
    assert_eq!(log, json!([printed]));
    let required = schema("Line")["required"].clone();
    let required = required.as_array().expect("a list").iter().filter_map(Value::as_str);
    assert_eq!(keys(&log[0]), required.collect(), "it is not cut");

    let new = json!({ "name": "writer", "port": 9301 });
    let made = dashboard.ask("POST", "/api/v1/profiles", Some(new));
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(keys(&made.json()), keys(&schema("Profile")["properties"]));
    let printed = tree.env.hermes(["profile", "show", "writer", "--json"]).json();
    assert_eq!(made.json(), printed);

    let refused = dashboard.ask("POST", "/api/v1/gateways/nobody/start", None);
    assert_eq!(refused.status, 404);
    let printed = tree.env.hermes(["gateway", "start", "nobody", "--json"]).fails_with(4).json();
    assert_eq!(refused.json(), printed);
    assert_eq!(keys(&printed), keys(&schema("Error")["properties"]));
    tree.env.profile_running("broken", "exit 78");
    let refused = dashboard.ask("POST", "/api/v1/gateways/broken/start", None);
    assert_eq!(refused.status, 409, "{refused:?}");
    assert!(refused.text.contains("it is parked"), "{refused:?}");
}

#[test]
fn events_reach_every_listener() {
    let (tree, dashboard) = scene();
    let mut listeners = [(); 2].map(|()| dashboard.events("/api/v1/events"));
    for listener in &mut listeners {
        let all = listener.until(|name, _| name == "snapshot");
        assert_eq!(all["gateways"].as_array().map(Vec::len), Some(2), "{all}");
        assert_eq!(all["problem"], Value::Null);
    }
    // A change by a command.
    tree.env.hermes(["gateway", "start", "coder"]).ok();
    let first = pid(&tree.status("coder"));
    kill(first);
    let coder = |data: &Value| data["profile"] == "coder";
    for listener in &mut listeners {
        listener.until(|_, data| coder(data) && data["state"] == "up");
        let died = listener.until(|_, data| coder(data) && data["state"] == "backoff");
        assert_eq!(died["last_exit"], json!({ "signal": 9 }));
        assert_eq!(died["died"].as_array().map(Vec::len), Some(1), "{died}");
        let again = listener.until(|_, data| coder(data) && data["state"] == "up");
        assert_ne!(pid(&again), first);
    }
    for (change, event) in [("create late", "gateway"), ("delete late -y", "removed")] {
        tree.env.hermes(["profile"].into_iter().chain(change.split(' '))).ok();
        for listener in &mut listeners {
            listener.until(|name, data| name == event && data["profile"] == "late");
        }
    }
    let metrics = dashboard.ask("GET", "/metrics", None).text;
    for line in [
        "hermes_gateway_up{profile=\"coder\"} 1",
        "hermes_gateway_up{profile=\"default\"} 0",
        "hermes_gateway_wanted{profile=\"coder\"} 1",
        "hermes_gateway_parked{profile=\"coder\"} 0",
        "hermes_gateway_deaths_last_hour{profile=\"coder\"} 1",
        "hermes_gateway_restarts_total{profile=\"coder\"} 1",
        "# EOF",
    ] {
        assert!(metrics.lines().any(|other| other == line), "{line}:\n{metrics}");
    }
    assert!(metrics.contains("hermes_gateway_uptime_seconds{profile=\"coder\"} "), "{metrics}");
    assert!(!metrics.contains("profile=\"late\""), "{metrics}");
}

#[test]
fn deaths_that_the_journal_alone_has_are_shown() {
    let (tree, dashboard) = scene();
    tree.env.hermes(["gateway", "start", "coder"]).ok();
    let coder = "coder".parse().expect("a name");
    // As of a service manager that keeps no times.
    Journal::new(&RootHome::new(tree.env.home())).record(&coder, What::Died, "exit 3");
    let shown = dashboard.ask("GET", "/api/v1/gateways/coder", None).json();
    assert_eq!(shown["deaths"], 0);
    assert_eq!(shown["died"].as_array().map(Vec::len), Some(1), "{shown}");
    let event = dashboard.ask("GET", "/api/v1/journal?profile=coder&lines=1", None).json();
    assert_eq!(event[0]["time"], shown["died"][0]);
}

#[test]
fn a_log_goes_on_for_one_who_follows_it() {
    let (tree, dashboard) = scene();
    let script = "echo one; echo two; echo three; while [ ! -e go ]; do sleep 0.1; done; echo four; exec sleep 600";
    tree.env.profile_running("talker", script);
    tree.env.hermes(["gateway", "start", "talker"]).ok();
    eventually("it has spoken", || (tree.env.logged("talker").len() == 3).then_some(()));
    let mut log = dashboard.events("/api/v1/gateways/talker/log?follow&lines=2");
    let said = |lines: &Value| {
        let lines = lines.as_array().expect("lines").iter();
        lines.map(|line| line["line"].as_str().expect("a line").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(said(&log.next_event().1), ["two", "three"]);
    tree.env.write(&tree.env.home().join("go"), "");
    assert_eq!(said(&log.next_event().1), ["four"]);
    let also = dashboard.events("/api/v1/gateways/coder/log?follow");
    assert_eq!(dashboard.ask("GET", "/api/v1/gateways/nobody/log?follow", None).status, 404);
    assert_eq!(dashboard.ask("GET", "/api/v1/gateways/talker/log?lines=x", None).status, 400);
    tree.env.hermes(["profile", "create", "gone"]).ok();
    let gone = dashboard.events("/api/v1/gateways/gone/log?follow");
    tree.env.hermes(["profile", "delete", "gone", "-y"]).ok();
    gone.await_end();
    // Listeners don't delay the end.
    assert_eq!(dashboard.end(Signal::TERM), Some(0));
    drop(also);
}

#[test]
fn delete_needs_the_name_twice() {
    let (tree, dashboard) = scene();
    tree.env.hermes(["gateway", "start", "coder"]).ok();
    let config = "gateway: {command: [sleep, \"600\"]}\n";
    tree.env.write(&tree.env.home().join("config.yaml"), config);
    tree.env.hermes(["gateway", "start", "default"]).ok();
    let default = pid(&tree.status("default"));
    let remove = |name: &str, confirm: &str| {
        let path = format!("/api/v1/profiles/{name}");
        dashboard.ask("DELETE", &path, Some(json!({ "confirm": confirm }))).status
    };
    assert_eq!(remove("coder", "code"), 400);
    assert_eq!(remove("default", "default"), 409);
    assert_eq!(remove("nobody", "nobody"), 404);
    assert_eq!(remove("..%2F..", ""), 400);
    assert_eq!(tree.status("coder")["state"], "up");
    assert_eq!(pid(&tree.status("default")), default, "it was not touched");
    assert_eq!(remove("coder", "coder"), 200);
    assert!(!tree.env.profile("coder").exists() && !tree.env.slot("coder").exists());
    for name in ["Coder", "", "a b", "<img>", "test"] {
        let refused = dashboard.ask("POST", "/api/v1/profiles", Some(json!({ "name": name })));
        assert!([400, 409].contains(&refused.status), "{name}: {refused:?}");
    }
    let wrong = json!({ "name": "a", "command": "rm" });
    assert_eq!(dashboard.ask("POST", "/api/v1/profiles", Some(wrong)).status, 400);
    let large = json!({ "name": "a".repeat(5000) });
    assert_eq!(dashboard.ask("POST", "/api/v1/profiles", Some(large)).status, 413);
}

#[test]
fn actions_on_a_profile_serialize() {
    let (tree, dashboard) = scene();
    // Its stop takes the whole budget of two seconds.
    tree.env.profile_running("slow", "trap '' TERM; while :; do sleep 0.1; done");
    tree.env.hermes(["gateway", "start", "slow"]).ok();
    std::thread::scope(|scope| {
        let first = scope.spawn(|| dashboard.ask("POST", "/api/v1/gateways/slow/stop", None));
        eventually("it is being stopped", || {
            (tree.status("slow")["state"] == "stopping").then_some(())
        });
        let second = dashboard.ask("POST", "/api/v1/gateways/slow/restart", None);
        assert_eq!(second.status, 409, "{second:?}");
        assert_eq!(dashboard.ask("POST", "/api/v1/gateways/coder/stop", None).status, 200);
        assert_eq!(first.join().expect("an answer").status, 200);
    });
    let refused = eventually("too much was asked for", || {
        let answer = dashboard.ask("POST", "/api/v1/gateways/nobody/stop", None);
        (answer.status == 429).then_some(answer)
    });
    assert!(refused.header("retry-after").is_some(), "{refused:?}");
    assert_eq!(dashboard.ask("GET", "/api/v1/gateways", None).status, 200, "one may look");
}

#[test]
fn it_needs_no_tree_and_sees_one_that_comes() {
    let env = TestEnv::new();
    let dashboard = Dashboard::start(&env);
    let mut events = dashboard.events("/api/v1/events");
    let problem = events.until(|name, _| name == "snapshot")["problem"].take();
    assert!(
        problem["error"].as_str().is_some_and(|error| error.contains("reach the supervisor")),
        "{problem}"
    );
    assert_eq!(dashboard.ask("GET", "/metrics", None).status, 503);
    let up = Up::start_in(env);
    events.until(|name, data| name == "snapshot" && data["problem"].is_null());
    assert_eq!(dashboard.end(Signal::TERM), Some(0));
    drop(up);
}

/// The dashboard ends by itself with `code`, and an error that contains `words`. The wait is limited, in case it
/// serves after all.
#[track_caller]
fn refuses(dashboard: Hermes, code: i32, words: &str) {
    let (stdout, stderr, ended) = dashboard.stream().ended();
    assert_eq!((stdout.as_str(), ended), ("", Some(code)), "{stderr}");
    assert!(stderr.starts_with("error: ") && stderr.contains(words), "{stderr}");
    assert_eq!(stderr.matches("error: ").count(), 1, "{stderr}");
}

#[test]
fn permanent_faults_are_exit_78() {
    let env = TestEnv::new();
    let on = |port: &str| env.hermes(["dashboard", "--port", port]);
    let named = env.hermes(["dashboard"]).env("HERMES_DASHBOARD_PORT", "http");
    refuses(named, 78, "invalid value `http` for HERMES_DASHBOARD_PORT");
    refuses(
        env.hermes(["dashboard", "--origin", "hermes.example"]),
        78,
        "invalid origin `hermes.example`",
    );
    let token = env.home().join("dashboard.token");
    env.write(&token, &"0".repeat(64));
    chmod(&token, 0o644);
    for host in ["127.0.0.1", "0.0.0.0"] {
        refuses(on("0").env("HERMES_DASHBOARD_HOST", host), 78, "other users have access");
    }
    chmod(&token, 0o600);
    // Another process may release the port.
    let port = free_port();
    let taken = TcpListener::bind(("127.0.0.1", port)).expect("a free port");
    refuses(on(&port.to_string()), 1, "failed to listen on 127.0.0.1");
    drop(taken);
}

#[test]
fn the_token_is_printed_once_to_a_terminal() {
    let told = |env: &TestEnv| {
        let terminal = env.hermes(["dashboard", "--port", "0"]).on_terminal();
        terminal.await_message("the dashboard is at ");
        terminal.signal(Signal::INT);
        let (stdout, stderr, code) = terminal.ended();
        assert_eq!(code, Some(0), "{stderr}");
        let token = fs::read_to_string(env.home().join("dashboard.token")).expect("a token");
        assert!(!stderr.contains(token.trim()), "{stderr}");
        stdout.contains(token.trim())
    };
    let env = TestEnv::new();
    assert!(told(&env));
    assert!(!told(&env));
    let metadata = fs::metadata(env.home().join("dashboard.token")).expect("it is there");
    assert_eq!(metadata.permissions().mode() & 0o7777, 0o600);
}

#[test]
fn health_follows_the_running_intents() {
    let tree = Svscan::start();
    let health = || tree.env.hermes(["doctor", "--health"]).run();
    let is = |code: i32, words: &str| {
        let health = health();
        assert_eq!((health.code(), health.stdout.lines().count()), (Some(code), 1), "{health}");
        assert!(health.stdout.contains(words) && health.stderr.is_empty(), "{health}");
    };
    is(0, "healthy: gateways wanted and up: 0");
    for name in ["coder", "writer"] {
        tree.env.profile_running(name, "exec sleep 600");
        tree.env.hermes(["gateway", "start", name]).ok();
    }
    is(0, "healthy: gateways wanted and up: 2");
    tree.env.profile_running("broken", "exit 78");
    tree.env.hermes(["gateway", "start", "broken"]).fails_with(1);
    is(1, "unhealthy: of 3 wanted gateways 1 not healthy: `broken` is parked");
    let told = tree.env.hermes(["doctor", "--health", "--json"]).fails_with(1).json();
    assert_eq!(
        (&told["healthy"], &told["missing"][0]["profile"]),
        (&false.into(), &"broken".into())
    );
    tree.env.hermes(["gateway", "stop", "broken"]).ok();
    is(0, "healthy: gateways wanted and up: 2");
    let env = tree.stop();
    env.hermes(["doctor", "--health"]).fails_with(1);
    env.hermes(["doctor", "--health"]).env("HERMES_ROLE", "client").ok();
    let nothing = TestEnv::new();
    alone(&nothing, ["doctor", "--health"]).ok();
}
