//! The dashboard's page in a real browser, over a live tree.

mod behaves;
mod behind_proxy;
mod facts;
mod looks;
mod opens;

use hermes_tests::{Browser, Dashboard, Svscan, Theme, free_port};

/// The key, as WebDriver names it.
const ESCAPE: char = '\u{e00c}';

/// A tree, its dashboard, and a signed-in browser.
struct Scene {
    browser: Browser,
    dashboard: Dashboard,
    tree: Svscan,
}

impl Scene {
    #[track_caller]
    fn of(tree: Svscan) -> Self {
        Self::on(tree, free_port())
    }

    /// The dashboard listens on this port.
    #[track_caller]
    fn on(tree: Svscan, port: u16) -> Self {
        let dashboard = Dashboard::start_on(&tree.env, port);
        let browser = Browser::start(&tree.env);
        browser.show(1280, 800, Theme::Light);
        browser.open(&dashboard.url("/"));
        browser.type_into("#token", &dashboard.token);
        browser.click("#sign-in-form button");
        browser.await_text("#live", "Live");
        // Lost if the page is reloaded.
        browser.run("window.same = true", &[]);
        Self { browser, dashboard, tree }
    }

    #[track_caller]
    fn await_state(&self, profile: &str, state: &str) {
        self.browser.await_text(&format!("[data-profile={profile}] .state"), state);
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(self.browser.run("return window.same", &[]), true, "the page was reloaded");
        }
    }
}
