//! The appearance of the page: both themes, all widths, many profiles.

use std::path::Path;

use hermes_tests::{
    Dashboard, Svscan, TestEnv, Theme, colours, eventually, free_port, keep, keeps_pictures,
};

use crate::{ESCAPE, Scene};

/// Creates `count` unsupervised profiles quickly.
fn crowd(env: &TestEnv, count: usize) {
    env.make_directory(&env.home().join("profiles"));
    for number in 0..count {
        let home = env.profile(&format!("p{number}"));
        env.make_directory(&home);
        env.write(&home.join("SOUL.md"), "");
    }
}

#[test]
fn rows_of_450_profiles_are_updated_in_place() {
    let tree = Svscan::start();
    crowd(&tree.env, 450);
    let scene = Scene::of(tree);
    let browser = &scene.browser;
    browser.await_true("document.querySelectorAll('[data-profile]').length === 451");
    let watch = "window.made = 0; window.first = document.querySelector('[data-profile=p7]'); \
                 new MutationObserver(all => all.forEach(one => one.addedNodes.forEach(node => { \
                   made += node.nodeType === 1 && !node.wasHere; }))) \
                 .observe(document.querySelector('#grid'), { subtree: true, childList: true }); \
                 document.querySelectorAll('#grid *').forEach(node => { node.wasHere = true; })";
    browser.run(watch, &[]);
    // A third of them moves to the group that needs attention.
    for number in (0..450).step_by(3) {
        let intent = scene.tree.env.profile(&format!("p{number}")).join("gateway.intent");
        scene.tree.env.write(&intent, "running\n");
    }
    browser.await_text("[data-group=attention]", "150");
    browser.await_true(
        "document.querySelectorAll('[aria-label=\"Needs attention\"] .row').length === 150",
    );
    assert_eq!(browser.run("return window.made", &[]), 0, "elements were made anew");
    assert_eq!(browser.run("return window.first.isConnected", &[]), true);
    let painted = "return [...document.querySelectorAll('.group .row')].every(row => getComputedStyle(row).contentVisibility === 'auto')";
    assert_eq!(browser.run(painted, &[]), true, "what is out of sight costs nothing");
}

#[test]
fn pictures_are_taken_in_both_themes_and_widths() {
    let tree = Svscan::start();
    let ticks = "echo listening on two channels; i=0; while [ $i -lt 12 ]; do i=$((i+1)); \
                 echo \"message $i: answered in 0.$((i*7%9))s\"; done; exec sleep 600";
    // In the kept pictures the ports are those that a user has.
    let port = |usual: u16| if keeps_pictures() { usual } else { free_port() };
    for (name, usual) in [("coder", 8643), ("writer", 8644)] {
        let port = port(usual).to_string();
        tree.env.hermes(["profile", "create", name, "--port", &port]).ok();
        tree.env.hermes(["gateway", "start", name]).ok();
    }
    for (name, command, usual) in [
        ("research", ticks, 8650),
        ("support", ticks, 8651),
        ("nightly", ticks, 8652),
        ("scout", "exit 3", 8653),
        ("billing", "exit 78", 8654),
    ] {
        tree.env.profile_running(name, command);
        tree.env.hermes(["profile", "port", name, &port(usual).to_string()]).ok();
    }
    for name in ["research", "support"] {
        tree.env.hermes(["gateway", "start", name]).ok();
    }
    tree.env.hermes(["gateway", "register", "default"]).ok();
    tree.env.hermes(["gateway", "start", "scout"]).fails_with(1);
    tree.env.hermes(["gateway", "start", "billing"]).fails_with(1);
    let scene = Scene::on(tree, port(9119));
    let browser = &scene.browser;
    scene.await_state("billing", "parked");
    // From the second measurement on.
    browser.await_text("[data-profile=coder] .cpu", "%");
    let pictures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/dashboard");
    for (width, height, size) in [(1280, 720, "wide"), (390, 760, "phone")] {
        for (theme, called) in [(Theme::Light, "light"), (Theme::Dark, "dark")] {
            browser.show(width, height, theme);
            let set = "return getComputedStyle(document.body).color + innerWidth";
            eventually("it is shown so", || {
                let text = browser.run(set, &[]).as_str()?.to_owned();
                let dark = text.starts_with("rgb(231");
                (text.ends_with(&width.to_string()) && dark == (theme == Theme::Dark)).then_some(())
            });
            let wider = "return document.documentElement.scrollWidth > innerWidth";
            assert_eq!(browser.run(wider, &[]), false, "{size}: nothing is cut off");
            let picture = browser.picture();
            let (colours, is) = colours(&picture);
            assert!(colours > 50 && is == width, "{size} {called}: {colours} colours, {is} wide");
            keep(&picture, &pictures.join(format!("{size}-{called}.png")));
        }
    }
    // The panel of one that does not run, and of one that does.
    for (name, (width, height, size)) in
        [("billing", (390, 760, "phone")), ("coder", (1280, 720, "wide"))]
    {
        browser.show(width, height, Theme::Light);
        browser.click(&format!("[data-profile={name}] .name"));
        browser.await_true("document.querySelector('.history li')");
        let wider = "return document.documentElement.scrollWidth > innerWidth";
        assert_eq!(browser.run(wider, &[]), false, "{size}: the panel is cut off");
        let higher = "const reason = document.querySelector('.reason'); \
                      return reason.scrollHeight > reason.clientHeight";
        assert_eq!(browser.run(higher, &[]), false, "{size}: the reason is cut off");
        keep(&browser.picture(), &pictures.join(format!("{size}-panel.png")));
        browser.press(ESCAPE);
        browser.await_true("document.getElementById('panel').hidden");
    }
    // The user's choice overrides the system's theme, and persists.
    browser.click("#theme");
    browser.await_true("document.documentElement.dataset.theme === 'light'");
    browser.await_true("getComputedStyle(document.body).color === 'rgb(27, 29, 32)'");
}

#[test]
fn every_colour_of_text_can_be_read() {
    let tree = Svscan::start();
    let style = Dashboard::start(&tree.env).ask("GET", "/style.css", None).text;
    let colour = |name: &str, dark: usize| {
        let (_, rest) = style.split_once(&format!("--{name}: light-dark(")).expect("a colour");
        let hex = rest.split([',', ')']).nth(dark).expect("two").trim().trim_start_matches('#');
        let part =
            |at: usize| f64::from(u8::from_str_radix(&hex[at..at + 2], 16).expect("hex")) / 255.0;
        let linear =
            |c: f64| if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) };
        0.2126 * linear(part(0)) + 0.7152 * linear(part(2)) + 0.0722 * linear(part(4))
    };
    // WCAG 2.2, 1.4.3: 4.5 for text; 1.4.11: 3 for the outlines of controls.
    let pairs = [
        ("text", 4.5),
        ("soft", 4.5),
        ("accent", 4.5),
        ("good", 4.5),
        ("warn", 4.5),
        ("bad", 4.5),
        ("edge", 3.0),
    ];
    for (dark, theme) in ["light", "dark"].into_iter().enumerate() {
        let ratio = |a: f64, b: f64| (a.max(b) + 0.05) / (a.min(b) + 0.05);
        for ground in ["ground", "surface", "raised"] {
            for (name, least) in pairs {
                let ratio = ratio(colour(name, dark), colour(ground, dark));
                assert!(ratio >= least, "{theme}: {name} on {ground} is {ratio:.2}");
            }
        }
        let on_accent = ratio(colour("on-accent", dark), colour("accent", dark));
        assert!(on_accent >= 4.5, "{theme}: on-accent is {on_accent:.2}");
        let on_bad = ratio(colour("text", dark), colour("bad-ground", dark));
        assert!(on_bad >= 4.5, "{theme}: on bad-ground it is {on_bad:.2}");
    }
    // The style loads nothing from the network.
    assert!(!style.contains("url(") && !style.contains("@import"));
}
