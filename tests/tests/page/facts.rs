//! What the page shows of each gateway: the same as the commands.

use hermes_tests::{Helper, Svscan, eventually};

use crate::Scene;

#[test]
fn a_gateway_that_does_not_run_has_its_reason_advice_and_events() {
    let tree = Svscan::start();
    tree.env.profile_running("broken", "exit 78");
    tree.env.hermes(["gateway", "start", "broken"]).fails_with(1);
    let printed = tree.env.hermes(["gateway", "status", "broken"]).fails_with(3).stdout;
    let of = |key: &str| {
        let line = printed.lines().find(|line| line.starts_with(key)).expect("a line");
        line[key.len()..].trim().replace('`', "")
    };
    let (reason, advice) = (of("parked "), of("hint "));
    let events = tree.env.events("broken");
    let scene = Scene::of(tree);
    let browser = &scene.browser;
    scene.await_state("broken", "parked");
    browser.click("[data-profile=broken] .name");
    browser.await_text("#panel .reason", &reason);
    browser.await_text("#panel .advice", &advice);
    for part in ["reason", "advice", "history"] {
        browser.await_true(&format!("document.querySelector('#panel .{part}').checkVisibility()"));
    }
    for (event, why) in &events {
        browser.await_text("#panel .history", event);
        browser.await_text("#panel .history", why);
    }
    let newest = &events.last().expect("an event").0;
    browser.await_text("#panel .history li b", newest);
    // A new event appears without a reload.
    scene.tree.env.hermes(["gateway", "stop", "broken"]).ok();
    scene.await_state("broken", "down");
    browser.await_text("#panel .advice", "hermes start broken starts it");
    let count = format!("document.querySelectorAll('.history li').length > {}", events.len());
    browser.await_true(&count);
}

#[test]
fn rows_show_use_and_the_built_in_gateway() {
    let tree = Svscan::start();
    tree.env.profile_serving("waits");
    tree.env.profile_running("coder", "while :; do :; done & exec sleep 600");
    for name in ["waits", "coder"] {
        tree.env.hermes(["gateway", "start", name]).ok();
    }
    let scene = Scene::of(tree);
    let browser = &scene.browser;
    browser.await_text("[data-profile=waits] .badge", "built-in");
    browser.await_true("!document.querySelector('[data-profile=coder] .badge').checkVisibility()");
    for name in ["waits", "coder"] {
        browser.await_text(&format!("[data-profile={name}] .memory"), "iB");
    }
    // From the second measurement on.
    browser.await_text("[data-profile=coder] .cpu", "%");
    let share = "parseFloat(document.querySelector('[data-profile=coder] .cpu').textContent) > 1";
    browser.await_true(share);
}

#[test]
fn a_foreign_gateway_has_advice_and_no_buttons() {
    let tree = Svscan::start();
    tree.env.hermes(["profile", "create", "coder"]).ok();
    let config = "gateway: {kind: hermes-agent, program: /bin/false}\n";
    tree.env.write(&tree.env.profile("coder").join("config.yaml"), config);
    let lock = tree.env.profile("coder").join("gateway.lock");
    let mut flock = tree.env.command("flock");
    let _helper = Helper::start(flock.arg("-F").arg(&lock).args(["sleep", "600"]));
    eventually("it is foreign", || (tree.status("coder")["state"] == "foreign").then_some(()));
    let scene = Scene::of(tree);
    let browser = &scene.browser;
    scene.await_state("coder", "foreign");
    browser.await_text("[data-profile=coder] .why", "outside of any supervisor");
    let shown = "[...document.querySelectorAll('[data-profile=coder] .actions button')].some(it => it.checkVisibility())";
    assert_eq!(browser.run(&format!("return {shown}"), &[]), false);
    browser.click("[data-profile=coder] .name");
    browser.await_text("#panel .advice", "hermes adopt coder has it supervised");
}
