//! `hermes dashboard --open`: the page in the user's browser, signed in.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use hermes_tests::{Browser, Dashboard, TestEnv, eventually, free_port, request};
use rustix::process::Signal;
use serde_json::json;

#[test]
fn open_signs_the_browser_in_once_and_shows_no_secret_to_others() {
    let env = TestEnv::new();
    let arguments = env.path().join("arguments");
    let program = env.path().join("browser");
    let script =
        format!("#!/bin/sh\nprintf '%s\\n' \"$@\" >{0}.new; mv {0}.new {0}\n", arguments.display());
    env.write_program(&program, &script);
    // The first is tried, too.
    let browsers = format!("/nonexistent:{} --new-window %s", program.display());
    let open = env.hermes(["dashboard", "--open"]).env("BROWSER", &browsers);
    let dashboard = Dashboard::start_in(open, &env, free_port());
    let given = eventually("the browser was started", || fs::read_to_string(&arguments).ok());
    let file = env.home().join("dashboard.token.html");
    assert_eq!(given, format!("--new-window\n{}\n", file.display()));
    assert_eq!(fs::metadata(&file).expect("a file").permissions().mode() & 0o777, 0o600);
    let html = fs::read_to_string(&file).expect("a page");
    assert!(!html.contains(&dashboard.token), "{html}");
    let (_, rest) = html.split_once("#sign-in=").expect("a code");
    let code = rest.split('"').next().expect("a code").to_owned();
    assert!(!dashboard.output().contains(&code), "its output may be logged");
    let redeem = |code: &str, origin: &str| {
        let body = json!({ "code": code }).to_string();
        let url = dashboard.url("/api/v1/sign-in");
        request("POST", &url, &[("origin", origin)], Some(&body)).status
    };
    let own = dashboard.url("");
    assert_eq!(redeem("", &own), 401);
    assert_eq!(redeem(&code[1..], &own), 401);
    assert_eq!(redeem(&code, "http://127.0.0.1:8642"), 403);

    let browser = Browser::start(&env);
    browser.open(&format!("file://{}", file.display()));
    browser.await_text("#live", "Live");
    assert_eq!(browser.run("return location.href", &[]), dashboard.url("/"));
    assert_eq!(browser.run("return localStorage.length", &[]), 0, "for this tab alone");
    eventually("the file is removed", || (!file.exists()).then_some(()));
    assert_eq!(redeem(&code, &own), 401, "the code is valid once");
    browser.open("about:blank");
    browser.open(&dashboard.url(&format!("/#sign-in={code}")));
    browser.await_text("#live", "Live");
    assert_eq!(dashboard.end(Signal::TERM), Some(0));
}

#[test]
fn without_a_browser_it_says_so_and_serves() {
    let env = TestEnv::new();
    for (browser, why) in [
        (None, "BROWSER, DISPLAY and WAYLAND_DISPLAY are not set"),
        (Some("/nonexistent"), "failed to run `/nonexistent`"),
        (Some("false"), "`false` ended with exit status: 1"),
    ] {
        let mut open = env.hermes(["dashboard", "--open"]);
        if let Some(browser) = browser {
            open = open.env("BROWSER", browser);
        }
        let dashboard = Dashboard::start_in(open, &env, free_port());
        let output = eventually("it says why", || {
            let output = dashboard.output();
            output.contains("no browser was opened").then_some(output)
        });
        assert!(output.contains(why), "{output}");
        assert!(output.contains(&format!("the page is at {}", dashboard.url("/"))), "{output}");
        assert_eq!(dashboard.ask("GET", "/api/v1/openapi.json", None).status, 200);
        assert_eq!(dashboard.end(Signal::TERM), Some(0));
        assert!(!env.home().join("dashboard.token.html").exists());
    }
}
