//! The behaviour of the page.

use hermes_tests::{Browser, Dashboard, Svscan, TestEnv, eventually, free_port, kill, pid};
use rustix::process::Signal;
use serde_json::json;

use crate::{ESCAPE, Scene};

const DOWN: char = '\u{e015}';
const LEFT: char = '\u{e012}';
const RIGHT: char = '\u{e014}';
const ENTER: char = '\u{e007}';

#[test]
fn without_the_token_nothing_is_shown() {
    let tree = Svscan::start();
    tree.env.profile_running("coder", "exec sleep 600");
    let dashboard = Dashboard::start(&tree.env);
    let browser = Browser::start(&tree.env);
    browser.open(&dashboard.url("/"));
    browser.type_into("#token", "not the token");
    browser.click("#sign-in-form button");
    browser.await_text("#sign-in-error", "the token is missing or wrong");
    assert_eq!(browser.text("[data-profile]"), None);
    assert_eq!(browser.run("return document.getElementById('app').checkVisibility()", &[]), false);
    // The page uses no cookie, which the browser would send to other ports of the host.
    browser.run("document.getElementById('token').value = ''", &[]);
    browser.type_into("#token", &dashboard.token);
    browser.click("#sign-in-form button");
    browser.await_text("[data-profile=coder] .name", "coder");
    assert_eq!(browser.run("return document.cookie", &[]), "");
    assert_eq!(
        browser.run("return location.href.includes(arguments[0])", &[json!(dashboard.token)]),
        false
    );
    browser.click("#sign-out");
    browser.await_true("document.getElementById('sign-in')?.checkVisibility()");
    assert_eq!(browser.run("return sessionStorage.length + localStorage.length", &[]), 0);
}

#[test]
fn a_crash_and_the_restart_are_seen_without_a_reload() {
    let tree = Svscan::start();
    let die = tree.env.profile_mortal("coder");
    tree.env.hermes(["gateway", "start", "coder"]).ok();
    let scene = Scene::of(tree);
    scene.await_state("coder", "up");
    assert_eq!(scene.browser.run("return document.title", &[]), "Hermes");
    let first = pid(&scene.tree.status("coder"));
    // Records every painted state, however short.
    let seen = "window.seen = []; new MutationObserver(() => seen.push(\
                document.querySelector('[data-profile=coder]').dataset.state))\
                .observe(document.querySelector('#grid'), { subtree: true, attributes: true })";
    scene.browser.run(seen, &[]);
    scene.tree.env.write(&die, "");
    scene.browser.await_true("seen.includes('backoff')");
    std::fs::remove_file(&die).unwrap();
    scene.browser.await_text("[data-profile=coder] .last", "SIGKILL");
    scene.await_state("coder", "up");
    // A busy browser may not have painted the first, short backoffs.
    let deaths = scene.tree.status("coder")["deaths"].to_string();
    scene.browser.await_text("[data-profile=coder] .deaths", &deaths);
    let bars = "document.querySelector('[data-profile=coder] path.some').getAttribute('d')";
    scene.browser.await_true(&format!("{bars}?.match(/M/g)?.length >= 1"));
    assert_ne!(pid(&scene.tree.status("coder")), first);
    // A change by a command appears, too.
    scene.tree.env.hermes(["gateway", "stop", "coder"]).ok();
    scene.await_state("coder", "down");
    assert_eq!(scene.browser.console_messages(), [""; 0]);
}

#[test]
fn what_needs_attention_is_first_and_says_why() {
    let mut env = TestEnv::new();
    env.faster = 1;
    let tree = Svscan::start_with(env, &[]);
    for (name, command) in
        [("a-fine", "exec sleep 600"), ("y-crashes", "exit 3"), ("z-broken", "exit 78")]
    {
        tree.env.profile_running(name, command);
        tree.env.hermes(["gateway", "start", name]).run();
    }
    let scene = Scene::of(tree);
    let order = "return [...document.querySelectorAll('.group:not([hidden]) .row')].map(row => row.dataset.profile)";
    eventually("they are in order", || {
        let order = scene.browser.run(order, &[]);
        (order == json!(["z-broken", "y-crashes", "a-fine", "default"])).then_some(())
    });
    scene
        .browser
        .await_text("[data-profile=z-broken] .why", "its configuration is wrong (exit 78)");
    scene.browser.await_text("[data-profile=y-crashes] .why", "starts again");
    eventually("the title counts them", || {
        (scene.browser.run("return document.title", &[]) == "(2) Hermes").then_some(())
    });
    scene.browser.click("[data-group=attention]");
    eventually("others are left out", || {
        (scene.browser.run(order, &[]).as_array().map(Vec::len) == Some(2)).then_some(())
    });
    scene.browser.click("[data-group=all]");
    scene.browser.type_into("#search", "fine");
    eventually("only what was looked for is left", || {
        let shown = "return [...document.querySelectorAll('.row')].filter(row => row.dataset.profile && row.checkVisibility()).length";
        (scene.browser.run(shown, &[]) == 1).then_some(())
    });
}

#[test]
fn a_click_starts_and_stops_and_tells_what_was_seen() {
    let tree = Svscan::start();
    tree.env.profile_running("coder", "exec sleep 600");
    tree.env.profile_running("broken", "exit 78");
    let scene = Scene::of(tree);
    let (browser, tree) = (&scene.browser, &scene.tree);
    scene.await_state("coder", "down");
    browser.click("[data-profile=coder] [data-verb=start]");
    browser.await_text("#toasts", "coder is up");
    scene.await_state("coder", "up");
    let first = pid(&tree.status("coder"));
    browser.await_text("#toasts", &format!("process {first}"));
    browser.click("[data-profile=coder] .actions button:last-child");
    browser.await_text("#toasts", "coder is up again");
    assert_ne!(pid(&tree.status("coder")), first);
    eventually("it can be stopped", || {
        let stop =
            "return document.querySelector('[data-profile=coder] [data-verb=stop]').ariaDisabled";
        (browser.run(stop, &[]) == "false").then_some(())
    });
    browser.click("[data-profile=coder] [data-verb=stop]");
    scene.await_state("coder", "down");
    assert_eq!(tree.status("coder")["intent"], "stopped");
    browser.click("[data-profile=broken] [data-verb=start]");
    browser.await_text(".toast.wrong", "failed to start the gateway of broken");
    browser.await_text(".toast.wrong", "hermes gateway logs broken");
    scene.await_state("broken", "parked");
    assert_eq!(browser.console_messages().len(), 1, "the browser tells of the refusal itself");
}

#[test]
fn the_keyboard_alone_is_enough() {
    let tree = Svscan::start();
    tree.env.profile_running("coder", "exec sleep 600");
    let scene = Scene::of(tree);
    scene.await_state("coder", "down");
    let browser = &scene.browser;
    browser.press('/');
    browser.await_true("document.activeElement.id === 'search'");
    browser.press(DOWN);
    browser.await_true("document.activeElement.textContent === 'default'");
    browser.press(DOWN);
    browser.await_true("document.activeElement.textContent === 'coder'");
    browser.press(RIGHT);
    browser.press(ENTER);
    scene.await_state("coder", "up");
    browser.await_true("document.activeElement.textContent === 'Stop'");
    browser.press(LEFT);
    browser.press(ENTER);
    browser.await_text("#panel-name", "coder");
    // What it uses is asked for when the panel opens.
    browser.await_text("#panel dl", "Memory");
    browser.await_text("#panel dl", "iB PSS");
    browser.await_text("#panel dl", "so far");
    browser.press(ESCAPE);
    browser.await_true("document.getElementById('panel').hidden");
    browser.await_true("document.activeElement.textContent === 'coder'");
    let outline = "return getComputedStyle(document.activeElement).outlineStyle";
    assert_eq!(browser.run(outline, &[]), "solid", "where the focus is, is seen");
}

#[test]
fn a_log_is_followed_searched_and_paused() {
    let tree = Svscan::start();
    let script = "i=0; say() { i=$((i+1)); echo \"line $i\"; }; say; say; \
                  while :; do [ ! -e go ] || { rm go; say; }; sleep 0.1; done";
    tree.env.profile_running("talker", script);
    tree.env.hermes(["gateway", "start", "talker"]).ok();
    let scene = Scene::of(tree);
    let browser = &scene.browser;
    let go = || {
        let go = scene.tree.env.home().join("go");
        scene.tree.env.write(&go, "");
        eventually("it has spoken", || (!go.exists()).then_some(()));
    };
    browser.await_text("[data-profile=talker] .name", "talker");
    browser.click("[data-profile=talker] .name");
    browser.await_text(".log", "line 2");
    go();
    browser.await_text(".log", "line 3");
    browser.click(".log-tools button");
    browser.await_text(".log-tools button", "Resume");
    go();
    browser.await_text(".log-tools button", "Resume (1)");
    assert!(!browser.text(".log").is_some_and(|log| log.contains("line 4")));
    browser.click(".log-tools button");
    browser.await_text(".log", "line 4");
    browser.type_into(".log-tools input", "LINE 3");
    browser.await_text(".log-tools .count", "1 of 4 lines");
    assert_eq!(browser.text(".log mark").as_deref(), Some("line 3"));
    assert!(!browser.text(".log").is_some_and(|log| log.contains("line 4")));
}

#[test]
fn delete_asks_for_the_typed_name() {
    let scene = Scene::of(Svscan::start());
    let (browser, env) = (&scene.browser, &scene.tree.env);
    browser.click("#new");
    browser.type_into("#create [name=name]", "<b>No</b>");
    browser.click("#create [value=do]");
    browser.await_text("#create .error", "<b>No</b>");
    browser.run("document.querySelector('#create [name=name]').value = ''", &[]);
    browser.type_into("#create [name=name]", "coder");
    browser.type_into("#create [name=port]", &free_port().to_string());
    browser.click("#create [name=start]");
    browser.click("#create [value=do]");
    browser.await_text("#toasts", "coder was created");
    scene.await_state("coder", "up");
    assert_eq!(scene.tree.status("coder")["state"], "up");
    browser.click("[data-profile=coder] .name");
    browser.click("#panel footer .danger");
    browser.await_text("#delete h2", "Delete coder?");
    let disabled = "return document.querySelector('#delete [value=do]').disabled";
    browser.type_into("#delete [name=name]", "code");
    assert_eq!(browser.run(disabled, &[]), true);
    assert!(env.profile("coder").exists());
    browser.type_into("#delete [name=name]", "r");
    assert_eq!(browser.run(disabled, &[]), false);
    browser.click("#delete [value=do]");
    browser.await_text("#toasts", "coder was deleted");
    browser.await_true("document.querySelector('[data-profile=coder]') === null");
    assert!(!env.profile("coder").exists());
    browser.await_true("document.getElementById('panel').hidden");
}

#[test]
fn hostile_text_is_text() {
    let tree = Svscan::start();
    let hostile = "<img src=x onerror=alert(1)><script>alert(2)</script>&amp;";
    let script = format!(
        "printf '%s\\n' '{hostile}'; printf '\\342\\200\\256txt\\033[31m red\\n'; exec sleep 600"
    );
    tree.env.profile_running("evil", &script);
    tree.env.hermes(["gateway", "start", "evil"]).ok();
    // The reason for parking contains the gateway's own text.
    tree.env.hermes(["profile", "create", "worse"]).ok();
    let config = format!("gateway:\n  command: ['{hostile}']\n");
    tree.env.write(&tree.env.profile("worse").join("config.yaml"), &config);
    tree.env.hermes(["gateway", "start", "worse"]).fails_with(1);
    let scene = Scene::of(tree);
    let browser = &scene.browser;
    browser.await_text("[data-profile=worse] .why", hostile);
    browser.await_text("[data-profile=evil] .name", "evil");
    browser.click("[data-profile=evil] .name");
    browser.await_text(".log", hostile);
    browser.await_text(".log", "\\u{202e}txt red");
    browser.click("[data-profile=worse] [data-verb=start]");
    browser.await_text(".toast.wrong", hostile);
    let made =
        "return document.querySelectorAll('img[onerror], #app script, .log img, .why img').length";
    assert_eq!(browser.run(made, &[]), 0);
    // Even as markup it would not run.
    browser.run(
        "document.querySelector('.log').innerHTML = '<img src=x onerror=\"window.ran = 1\">'",
        &[],
    );
    eventually("the policy has blocked it", || {
        let console_messages = browser.console_messages();
        console_messages.iter().any(|told| told.contains("Content Security Policy")).then_some(())
    });
    assert_eq!(browser.run("return window.ran ?? null", &[]), json!(null));
}

#[test]
fn it_says_when_the_server_is_gone_and_recovers() {
    let tree = Svscan::start();
    tree.env.profile_running("coder", "exec sleep 600");
    let scene = Scene::of(tree);
    scene.await_state("coder", "down");
    let port = scene.dashboard.port;
    kill(scene.dashboard.pid());
    scene.browser.await_text("#banner", "does not answer");
    scene.browser.await_text("#live", "Not connected");
    scene.browser.await_text("[data-profile=coder] .name", "coder");
    scene.tree.env.hermes(["gateway", "start", "coder"]).ok();
    let again = Dashboard::start_on(&scene.tree.env, port);
    scene.await_state("coder", "up");
    scene.browser.await_true("document.getElementById('banner').hidden");
    assert_eq!(again.end(Signal::TERM), Some(0));
    scene.browser.await_text("#banner", "does not answer");
}
