//! A real browser, driven as <https://www.w3.org/TR/webdriver2/> says.

#![expect(clippy::print_stderr, reason = "the scene of a failed test is told")]

use std::path::Path;
use std::process::{Child, Stdio};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::{TestEnv, eventually, free_port, http};

/// Under which name an element is told (WebDriver, "Elements").
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A browser with one window. It ends with this value.
#[derive(Debug)]
pub struct Browser {
    driver: Child,
    session: String,
}

/// What the system likes better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Theme {
    /// Dark on light.
    Light,
    /// Light on dark.
    Dark,
}

impl Browser {
    /// A new one, as the test environment's user.
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
        // A sandbox needs what containers don't give, and /dev/shm is small in them. The page is ours.
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
        let wanted = json!({ "capabilities": { "alwaysMatch": always } });
        let session = command_at(&format!("{url}/session"), "POST", Some(wanted));
        let id = session["sessionId"].as_str().expect("a session").to_owned();
        Self { driver, session: format!("{url}/session/{id}") }
    }

    #[track_caller]
    fn command(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        command_at(&format!("{}{path}", self.session), method, body)
    }

    /// Goes to an address.
    #[track_caller]
    pub fn open(&self, url: &str) {
        self.command("POST", "/url", Some(json!({ "url": url })));
    }

    /// What a script of the page's returns.
    #[track_caller]
    pub fn run(&self, script: &str, arguments: &[Value]) -> Value {
        let body = json!({ "script": script, "args": arguments });
        self.command("POST", "/execute/sync", Some(body))
    }

    /// Blocks until a script returns something that is true.
    #[track_caller]
    pub fn await_true(&self, script: &str) {
        eventually(script, || {
            (self.run(&format!("return Boolean({script})"), &[]) == true).then_some(())
        });
    }

    /// The text that is shown in the first element that fits, if there is one.
    pub fn text(&self, selector: &str) -> Option<String> {
        let script = "return document.querySelector(arguments[0])?.innerText";
        self.run(script, &[selector.into()]).as_str().map(str::to_owned)
    }

    /// Blocks until the first element that fits shows `text`, among other things.
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

    /// Clicks as a mouse does, where an element is seen.
    #[track_caller]
    pub fn click(&self, selector: &str) {
        let element = self.element(selector);
        self.command("POST", &format!("/element/{element}/click"), Some(json!({})));
    }

    /// Types into an element, as a keyboard does.
    #[track_caller]
    pub fn type_into(&self, selector: &str, text: &str) {
        let element = self.element(selector);
        let body = json!({ "text": text });
        self.command("POST", &format!("/element/{element}/value"), Some(body));
    }

    /// Presses a key, wherever the focus is. Those without a character have one in Unicode's private
    /// area (WebDriver, "Keyboard actions").
    #[track_caller]
    pub fn press(&self, key: char) {
        let key = key.to_string();
        let strokes =
            json!([{ "type": "keyDown", "value": key }, { "type": "keyUp", "value": key }]);
        let keyboard = json!({ "type": "key", "id": "keyboard", "actions": strokes });
        self.command("POST", "/actions", Some(json!({ "actions": [keyboard] })));
    }

    /// How large what is shown is, and in which theme the system is.
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

    /// What WebDriver has no word for: a command of Chromium's own protocol.
    #[track_caller]
    fn protocol(&self, command: &str, parameters: &Value) {
        let body = json!({ "cmd": command, "params": parameters });
        self.command("POST", "/goog/cdp/execute", Some(body));
    }

    /// A picture of what is shown, as PNG.
    #[track_caller]
    pub fn picture(&self) -> Vec<u8> {
        let picture = self.command("GET", "/screenshot", None);
        BASE64_STANDARD.decode(picture.as_str().expect("a picture")).expect("base64")
    }

    /// What the page complained of on its console since the last call.
    #[track_caller]
    pub fn complaints(&self) -> Vec<String> {
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

/// How many colours a PNG has, and its width.
///
/// # Panics
///
/// If it is none.
#[track_caller]
pub fn colours(picture: &[u8]) -> (usize, u32) {
    let mut reader = png::Decoder::new(std::io::Cursor::new(picture)).read_info().expect("a PNG");
    let mut pixels = vec![0; reader.output_buffer_size().expect("it fits")];
    let info = reader.next_frame(&mut pixels).expect("an image");
    let each = pixels[..info.buffer_size()].chunks_exact(info.color_type.samples());
    (each.collect::<std::collections::HashSet<_>>().len(), info.width)
}

/// Writes a picture where one is kept, if `HERMES_TEST_PICTURES` says so: a run of the tests changes no
/// file of the tree by itself.
pub fn keep(picture: &[u8], path: &Path) {
    if std::env::var_os("HERMES_TEST_PICTURES").is_some() {
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
