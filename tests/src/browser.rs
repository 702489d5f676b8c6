//! A real browser, driven over WebDriver (<https://www.w3.org/TR/webdriver2/>).

#![expect(clippy::print_stderr, reason = "a failed test prints the page")]

use std::path::Path;
use std::process::{Child, Stdio};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::{TestEnv, eventually, free_port, http};

/// The key of an element reference (WebDriver, "Elements").
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A browser with one window. Dropping this value ends it.
#[derive(Debug)]
pub struct Browser {
    driver: Child,
    session: String,
}

/// The colour scheme of the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Theme {
    /// Dark on light.
    Light,
    /// Light on dark.
    Dark,
}

impl Browser {
    /// A new browser, as the test environment's user.
    #[track_caller]
    pub fn start(env: &TestEnv) -> Self {
        let port = free_port();
        let mut command = env.command("chromedriver");
        command.arg(format!("--port={port}")).stdin(Stdio::null()).stdout(Stdio::null());
        let driver = command.stderr(Stdio::null()).spawn();
        let mut driver = driver.expect("chromedriver is installed: `cargo xtask install`");
        let url = format!("http://127.0.0.1:{port}");
        eventually("chromedriver answers", || {
            assert_eq!(driver.try_wait().expect("a child of ours"), None, "chromedriver ended");
            http::begin("GET", &format!("{url}/status"), &[], None).ok()
        });
        // Containers lack privileges for the sandbox, and have a small /dev/shm. The page is trusted.
        let args = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
        ];
        let options = json!({ "args": args });
        let always = json!({
            "goog:chromeOptions": options,
            "goog:loggingPrefs": { "browser": "ALL" },
            "unhandledPromptBehavior": "ignore",
        });
        let capabilities = json!({ "capabilities": { "alwaysMatch": always } });
        let session = command_at(&format!("{url}/session"), "POST", Some(capabilities));
        let id = session["sessionId"].as_str().expect("a session").to_owned();
        Self { driver, session: format!("{url}/session/{id}") }
    }

    #[track_caller]
    fn command(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        command_at(&format!("{}{path}", self.session), method, body)
    }

    /// Opens a URL.
    #[track_caller]
    pub fn open(&self, url: &str) {
        self.command("POST", "/url", Some(json!({ "url": url })));
    }

    /// Runs a script in the page and returns its result.
    #[track_caller]
    pub fn run(&self, script: &str, arguments: &[Value]) -> Value {
        let body = json!({ "script": script, "args": arguments });
        self.command("POST", "/execute/sync", Some(body))
    }

    /// Blocks until a script returns a true value.
    #[track_caller]
    pub fn await_true(&self, script: &str) {
        eventually(script, || {
            (self.run(&format!("return Boolean({script})"), &[]) == true).then_some(())
        });
    }

    /// The visible text of the first matching element, if any.
    pub fn text(&self, selector: &str) -> Option<String> {
        let script = "return document.querySelector(arguments[0])?.innerText";
        self.run(script, &[selector.into()]).as_str().map(str::to_owned)
    }

    /// Blocks until the visible text of the first matching element contains `text`.
    #[track_caller]
    pub fn await_text(&self, selector: &str, text: &str) {
        let mut last = None;
        let seen = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            eventually(text, || {
                last = self.text(selector);
                last.as_ref()?.contains(text).then_some(())
            });
        }));
        assert!(seen.is_ok(), "`{selector}` shows {last:?} and not `{text}`");
    }

    #[track_caller]
    fn element(&self, selector: &str) -> String {
        let body = json!({ "using": "css selector", "value": selector });
        let found = self.command("POST", "/element", Some(body));
        found[ELEMENT].as_str().expect("an element").to_owned()
    }

    /// Clicks an element, which must be visible.
    #[track_caller]
    pub fn click(&self, selector: &str) {
        let element = self.element(selector);
        self.command("POST", &format!("/element/{element}/click"), Some(json!({})));
    }

    /// Types into an element.
    #[track_caller]
    pub fn type_into(&self, selector: &str, text: &str) {
        let element = self.element(selector);
        let body = json!({ "text": text });
        self.command("POST", &format!("/element/{element}/value"), Some(body));
    }

    /// Presses a key in the focused element. Keys without a character have one in Unicode's private use area
    /// (WebDriver, "Keyboard actions").
    #[track_caller]
    pub fn press(&self, key: char) {
        let key = key.to_string();
        let strokes =
            json!([{ "type": "keyDown", "value": key }, { "type": "keyUp", "value": key }]);
        let keyboard = json!({ "type": "key", "id": "keyboard", "actions": strokes });
        self.command("POST", "/actions", Some(json!({ "actions": [keyboard] })));
    }

    /// Sets the size of the page and the theme of the system.
    #[track_caller]
    pub fn show(&self, width: u32, height: u32, theme: Theme) {
        let theme = if theme == Theme::Dark { "dark" } else { "light" };
        let size = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600,
        });
        let features = json!([{ "name": "prefers-color-scheme", "value": theme }]);
        self.protocol("Emulation.setDeviceMetricsOverride", &size);
        self.protocol("Emulation.setEmulatedMedia", &json!({ "features": features }));
    }

    /// Runs a command of Chromium's DevTools protocol.
    #[track_caller]
    fn protocol(&self, command: &str, parameters: &Value) {
        let body = json!({ "cmd": command, "params": parameters });
        self.command("POST", "/goog/cdp/execute", Some(body));
    }

    /// A screenshot, as PNG.
    #[track_caller]
    pub fn picture(&self) -> Vec<u8> {
        let picture = self.command("GET", "/screenshot", None);
        BASE64_STANDARD.decode(picture.as_str().expect("a picture")).expect("base64")
    }

    /// The messages on the page's console since the last call.
    #[track_caller]
    pub fn console_messages(&self) -> Vec<String> {
        let log = self.command("POST", "/se/log", Some(json!({ "type": "browser" })));
        let entries = log.as_array().expect("a log").iter();
        entries.map(|entry| entry["message"].to_string()).collect()
    }
}

#[track_caller]
fn command_at(url: &str, method: &str, body: Option<Value>) -> Value {
    let body = body.map(|body| body.to_string());
    let headers = [("content-type", "application/json; charset=utf-8")];
    let answer = http::request(method, url, &headers, body.as_deref());
    let value = answer.json()["value"].take();
    assert_eq!(answer.status, 200, "{method} {url} {body:?}: {value}");
    value
}

/// The number of colours of a PNG, and its width.
///
/// # Panics
///
/// If `picture` is not a PNG.
#[track_caller]
pub fn colours(picture: &[u8]) -> (usize, u32) {
    let mut reader = png::Decoder::new(std::io::Cursor::new(picture)).read_info().expect("a PNG");
    let mut pixels = vec![0; reader.output_buffer_size().expect("it fits")];
    let info = reader.next_frame(&mut pixels).expect("an image");
    let each = pixels[..info.buffer_size()].chunks_exact(info.color_type.samples());
    (each.collect::<std::collections::HashSet<_>>().len(), info.width)
}

/// Whether `HERMES_TEST_PICTURES` is set.
pub fn keeps_pictures() -> bool {
    std::env::var_os("HERMES_TEST_PICTURES").is_some()
}

/// Writes a picture if the tests keep them. Otherwise tests change no file of the repository.
pub fn keep(picture: &[u8], path: &Path) {
    if keeps_pictures() {
        std::fs::write(path, picture).expect("a place for pictures");
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let shown = http::begin("GET", &format!("{}/source", self.session), &[], None);
            let shown = shown.ok().and_then(|mut shown| shown.body_mut().read_to_string().ok());
            eprintln!("--- the page\n{}", shown.unwrap_or_default());
        }
        let _ = http::begin("DELETE", &self.session, &[], None);
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
